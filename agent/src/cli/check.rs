//! `vitald config check`

use std::path::Path;

use crate::config::{self, Config, EXIT_CONFIG, Mistakes};
use crate::report::Target;

pub fn check(file: &Path) -> u8 {
    match config::load(file) {
        Ok(loaded) => {
            println!("{}", summary(file, &loaded.config));
            0
        }
        Err(mistakes) => report(&mistakes),
    }
}

/// `1 mistake`, `3 mistakes`
pub fn counted(mistakes: usize) -> String {
    format!("{mistakes} {}", if mistakes == 1 { "mistake" } else { "mistakes" })
}

/// Says what is wrong; the exit code.
pub fn report(mistakes: &Mistakes) -> u8 {
    eprintln!("{mistakes}\n{} in the configuration", counted(mistakes.0.len()));
    EXIT_CONFIG
}

fn summary(file: &Path, config: &Config) -> String {
    let (checks, services) = (config.definitions.checks.len(), config.definitions.services.len());
    let registry = match &config.registry {
        Some(registry) => format!("registers at {}", registry.etcd.endpoints.join(", ")),
        None => "stands alone (no [registry])".to_owned(),
    };
    let problems = config.definitions.checks.values().filter_map(|check| check.problem.as_ref());
    let reports = config.report.iter().flat_map(|report| &report.targets).filter_map(Target::warning);
    let problems: String = problems.cloned().chain(reports).map(|problem| format!("\nwarning: {problem}")).collect();
    format!(
        "{}: good; agent {} with {checks} checks and {services} services, {registry}{problems}",
        file.display(),
        config.agent_id
    )
}
