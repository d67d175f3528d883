//! `vitald status`: what the agent knows, for people and for Nagios and its heirs.
//!
//! Exit codes: 0 UP; 1 DEGRADED, in maintenance, or well and not registered although it should be; 2 DOWN; 3 UNKNOWN,
//! PENDING, no such name, or no agent that answers. Of the whole the worst by Nagios' order (2, 1, 3, 0): what services
//! and host add up to, any service in maintenance or not registered, any check UNKNOWN (those of severity `info` apart).
//! Of a name, that service or, if there is none, that check alone.

mod text;

use std::io::IsTerminal as _;

use crate::control::protocol::{Answer, Ask};
use crate::control::report::{KeyReport, ServiceReport, StatusReport};

use super::ask::{Failure, Where, print, unexpected};
use super::table::{terminal_width, wants_colour};
use super::{EXIT_UNKNOWN, WORST_FIRST};

/// Keys are written within this, unless something is wrong.
const HICCUP_MS: u64 = 10_000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A service or a check; without, everything.
    #[arg(value_name = "SERVICE|CHECK")]
    name: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub fn status(arguments: &Arguments) -> u8 {
    let report = match arguments.place.ask(Ask::Status {}) {
        Ok((_, Answer::Status(report))) => *report,
        Ok(_) => return fail(&unexpected(), arguments.json),
        Err(failure) => return fail(&failure, arguments.json),
    };
    let (report, code) = match &arguments.name {
        None => {
            let code = code_of_all(&report);
            (report, code)
        }
        Some(name) => match select(report, name) {
            Ok(selected) => selected,
            Err(failure) => return fail(&failure, arguments.json),
        },
    };
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default()));
    } else {
        let terminal = std::io::stdout().is_terminal();
        let colour = wants_colour(terminal);
        print(&text::text(&report, arguments.name.is_none(), terminal_width(terminal), colour));
    }
    code
}

/// Monitoring shows what stands in standard output.
fn fail(failure: &Failure, json: bool) -> u8 {
    if json {
        eprintln!("vitald: {failure}");
    } else {
        print(&format!("UNKNOWN: {failure}\n"));
    }
    EXIT_UNKNOWN
}

fn code_of(status: &str) -> u8 {
    match status {
        "UP" => 0,
        "DEGRADED" | "MAINTENANCE" => 1,
        "DOWN" => 2,
        _ => EXIT_UNKNOWN,
    }
}

/// A service that is well and that readers do not find is what nobody else will say.
fn code_of_service(service: &ServiceReport, registers: bool) -> u8 {
    let code = code_of(&service.status);
    if code == 0 && registers && is_missing(service) { 1 } else { code }
}

/// Should be in etcd, and is not: in conflict, refused, or not written for longer than a hiccup lasts.
pub fn is_missing(service: &ServiceReport) -> bool {
    let bad = |key: &KeyReport| match key.state.as_str() {
        "conflict" | "refused" => true,
        "pending" | "absent" => key.for_ms > HICCUP_MS,
        _ => false,
    };
    service.registrable && (service.keys.is_empty() && service.for_ms > HICCUP_MS || service.keys.iter().any(bad))
}

fn code_of_all(report: &StatusReport) -> u8 {
    let registers = report.registry.is_some();
    let services = report.services.iter().filter(|service| service.maintenance.is_some() || is_missing(service));
    let services = services.map(|service| code_of_service(service, registers));
    let unknown = |check: &&crate::control::report::CheckReport| check.status == "UNKNOWN" && check.severity != "info";
    let checks = report.checks.iter().filter(unknown).map(|check| code_of(&check.status));
    let codes: Vec<u8> = std::iter::once(code_of(&report.status)).chain(services).chain(checks).collect();
    WORST_FIRST.into_iter().find(|code| codes.contains(code)).unwrap_or(EXIT_UNKNOWN)
}

/// Leaves one service with its checks, or one check; with the exit code.
fn select(mut report: StatusReport, name: &str) -> Result<(StatusReport, u8), Failure> {
    if let Some(service) = report.services.iter().find(|service| &*service.name == name).cloned() {
        report.checks.retain(|check| service.checks.contains(&check.name));
        let code = code_of_service(&service, report.registry.is_some());
        report.services = vec![service];
        return Ok((report, code));
    }
    if let Some(check) = report.checks.iter().find(|check| &*check.name == name).cloned() {
        let code = code_of(&check.status);
        report.services.clear();
        report.checks = vec![check];
        return Ok((report, code));
    }
    let services: Vec<&str> = report.services.iter().map(|service| &*service.name).collect();
    let checks: Vec<&str> = report.checks.iter().map(|check| &*check.name).collect();
    Err(Failure::Refused(format!(
        "there is no service or check {name:?}; services: {}; checks: {}",
        services.join(", "),
        checks.join(", ")
    )))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
