//! The command line: what was asked for, one file per sub-command. `--help`, `--version` and `config check` need
//! nothing that could be broken.

mod alone;
mod ask;
mod check;
mod collect;
mod compile;
mod demo;
mod handover;
mod maintenance;
mod plugin;
mod reload;
mod run;
mod services;
mod show;
mod status;
mod table;
mod trial;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::DEFAULT_FILE;
use crate::telemetry::{LogFormat, init_logs};

/// The exit code for a command line that cannot be understood (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// What Nagios calls UNKNOWN.
const EXIT_UNKNOWN: u8 = 3;
/// Its exit codes, the worst first.
const WORST_FIRST: [u8; 4] = [2, 1, EXIT_UNKNOWN, 0];

/// One health agent per host: runs checks as sandboxed WebAssembly components, answers /health and /metrics, and keeps
/// well services registered in etcd.
#[derive(Debug, Parser)]
#[command(name = "vitald", version, after_help = AFTER_HELP)]
struct Cli {
    /// How to write logs, to standard error.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    /// What to log: error, warn, info, debug, trace, or a filter such as "vitald::registry=debug,info". The variable
    /// RUST_LOG wins.
    #[arg(long, global = true, default_value = "info", value_name = "LEVEL")]
    log_level: String,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Without a command: `run` if /etc/vitald/vitald.toml is there, else `demo`.
Exit codes: 0 asked to stop, 64 usage (3 of `try`), 69 nobody answers, 70 a task of the agent died, 78 configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent.
    Run {
        /// The main file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Exit with 78 if the configuration has a mistake, instead of going on with the last good copy.
        #[arg(long)]
        strict: bool,
    },
    /// Run a demonstration that checks the agent itself and needs nothing.
    Demo,
    /// Print who is registered in etcd. Exits with 1 if the service that was asked for has no instance, 69 if etcd cannot
    /// be read.
    Services(services::Arguments),
    /// Print what the agent knows. Exits with 0 UP, 1 DEGRADED or in maintenance, 2 DOWN, 3 UNKNOWN, PENDING or no agent.
    Status(status::Arguments),
    /// Take services of this host out of traffic, and back. Exits with 1 if that was refused, 69 if no agent answers.
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Let the agent end and leave its keys to the next one. Exits with 1 if that was refused, 69 if no agent answers.
    Handover {
        #[command(flatten)]
        place: ask::Where,
    },
    /// Let the agent look at its configuration and plugins now, and print what that changed. It looks by itself whenever
    /// a file changes. Exits with 1 if the configuration has a mistake, 69 if no agent answers.
    Reload {
        #[command(flatten)]
        place: ask::Where,
    },
    /// List, approve and inspect plugins; begin, build and test one of your own. Exits with 1 if that was refused or
    /// failed, 69 if no agent answers.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Run a check once, now, in the same sandbox as the agent's, and say all there is to say of it. Exits with 0 UP,
    /// 1 DEGRADED, 2 DOWN, 3 anything else.
    Try(Box<trial::Arguments>),
    /// Receive the reports of agents ([[report]]) into a file, one line of JSON for each.
    Collect(collect::Arguments),
    /// Look at configurations.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Compile a plugin: the agent starts it.
    #[command(hide = true)]
    Compile,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Report every mistake of a configuration, its drop-ins included. Exits with 78 if there is one.
    Check {
        /// The main file.
        #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Print the effective configuration: every key, its value, and where that comes from. Secrets are masked. Exits with
    /// 78 if there is a mistake.
    Show {
        /// The main file.
        #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the program; returns its exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
            if asked || !said_as_asked(&error, &arguments) {
                let _ = error.print();
            }
            return if asked { 0 } else { usage_code(&arguments) };
        }
    };
    if let Some(Command::Compile) = cli.command {
        return compile::compile();
    }
    crate::sandbox::in_children();
    // A trial has a log of its own.
    if !matches!(cli.command, Some(Command::Try(_))) {
        init_logs(cli.log_format, &cli.log_level);
    }
    let default = Path::new(DEFAULT_FILE);
    match cli.command {
        None if default.exists() => run::run(default, false),
        None => demo::run(true),
        Some(Command::Run { config: Some(file), strict }) => run::run(&file, strict),
        Some(Command::Run { config: None, strict }) if default.exists() => run::run(default, strict),
        Some(Command::Run { config: None, .. }) => run::no_file(),
        Some(Command::Demo) => demo::run(false),
        Some(Command::Services(arguments)) => services::run(&arguments),
        Some(Command::Status(arguments)) => status::status(&arguments),
        Some(Command::Maintenance(command)) => maintenance::maintenance(command),
        Some(Command::Handover { place }) => handover::handover(&place),
        Some(Command::Reload { place }) => reload::reload(&place),
        Some(Command::Plugin(command)) => plugin::plugin(&command),
        Some(Command::Collect(arguments)) => collect::run(&arguments),
        Some(Command::Config(ConfigCommand::Check { file })) => check::check(&file),
        Some(Command::Config(ConfigCommand::Show { file, json })) => show::show(&file, json),
        Some(Command::Compile) => compile::compile(),
        Some(Command::Try(arguments)) => trial::trial(&arguments, cli.log_format, &cli.log_level),
    }
}

/// A command line of `try` that cannot be understood may still say how the answer is wanted.
fn said_as_asked(error: &clap::Error, arguments: &[OsString]) -> bool {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    is_try(arguments) && trial::usage(&error.render().to_string(), has("--json"), has("--nagios"))
}

/// Who tries checks is often a monitoring system, for which everything but 0 to 2 is 3.
fn usage_code(arguments: &[OsString]) -> u8 {
    if is_try(arguments) { EXIT_UNKNOWN } else { EXIT_USAGE }
}

/// Which command was meant by a line that cannot be understood: its first word that is one.
fn is_try(arguments: &[OsString]) -> bool {
    let cli = Cli::command();
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    words.find(|word| cli.find_subcommand(word).is_some()) == Some("try")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_try_is_no_try() {
        let code = |line: &str| usage_code(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!([code("try tcp --bogus"), code("--log-level x try")], [EXIT_UNKNOWN; 2]);
        assert_eq!([code("plugin new try --bogus"), code("status try --josn"), code("tyr")], [EXIT_USAGE; 3]);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
