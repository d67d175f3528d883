//! `vitald try`: one run of one check, now, in the same sandbox as the agent's, with everything that is to be said of it.
//!
//! It leaves nothing behind: no state directory, no compiled code, no lock, nothing that listens and nothing in etcd. What
//! cannot even be begun (no such checker, a parameter that the schema refuses) is said in the form that was asked for, and
//! ends with 3 as a run does that judged nothing.

mod advice;
mod every;
mod eye;
pub mod flags;
mod form;
mod json;
mod nagios;
mod runs;
mod subject;
mod text;
mod trace;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files::{self, FileError};
use crate::model::check::Check;
use crate::model::checkset::{Checker, Compiler as _, LoadError};
use crate::plugins::{self, Unsuited};
use crate::sandbox::{self, Observer};
use crate::telemetry::{LogFormat, init_logs_beside};

use self::every::Every;
use self::eye::Eye;
use self::flags::Flags;
use self::form::{Form, Tried};
use self::runs::Runs;
use self::subject::{Subject, SubjectError};
use super::EXIT_UNKNOWN;
use super::alone::{Alone, AloneError, alone};
use super::ask::print;
use super::table::one_line;

/// Who waits for the compiler longer wants to know what for.
const PATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .wasm file, a bundled checker, or a plugin of the plugin directories; with --config, a check of that file.
    #[arg(value_name = "CHECKER|NAME")]
    what: Option<String>,
    /// Try a check of this main file or its drop-ins, as it is configured; what is given beside it wins.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "nagios")]
    json: bool,
    /// Print one line, as Nagios and its heirs want it from a plugin.
    #[arg(long)]
    nagios: bool,
    /// Show every host call of the (last) run, with its time.
    #[arg(long, conflicts_with = "nagios")]
    trace: bool,
    /// Run so often, one after the other, the state going from run to run; says what the runs took.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Run again and again, so far apart, and say each run, until it is ended.
    #[arg(long, value_name = "LENGTH", value_parser = every::length, conflicts_with = "count")]
    every: Option<Duration>,
    /// The file that the checker's state is read from, and written to afterwards.
    #[arg(long, value_name = "FILE", conflicts_with = "every")]
    state: Option<PathBuf>,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(transparent)]
    Alone(#[from] AloneError),
    #[error("{plugin}: {source}")]
    Load { plugin: String, source: LoadError },
    #[error("{plugin}: {source}")]
    Unsuited { plugin: String, source: Unsuited },
    #[error("{0}")]
    Params(String),
    #[error("the state of the checker: {0}")]
    State(FileError),
    #[error("the sandbox itself failed: please report this, with the plugin")]
    Panicked,
}

pub fn trial(arguments: &Arguments, log_format: LogFormat, level: &str) -> u8 {
    let form = Form::of(arguments.json, arguments.nagios);
    match attempt(arguments, form, log_format, level) {
        Ok(tried) => {
            print(&form.shown(&tried, arguments.trace));
            tried.runs.exit_code()
        }
        Err(failure) => {
            fail(&failure, form);
            EXIT_UNKNOWN
        }
    }
}

/// What is wrong with the command line itself, said where it is looked for. False where a person wants it, in full.
pub fn usage(problem: &str, json: bool, nagios: bool) -> bool {
    let first = one_line(problem.lines().next().unwrap_or_default());
    let words = first.strip_prefix("error: ").unwrap_or(&first);
    match Form::of(json, nagios) {
        Form::Text => return false,
        Form::Json => print(&json::failure(words)),
        Form::Nagios => print(&nagios::failure(words)),
    }
    true
}

/// Monitoring shows what stands in standard output, tools read JSON there; people look at both.
fn fail(failure: &Failure, form: Form) {
    let lines: Vec<String> = failure.to_string().lines().map(one_line).collect();
    match form {
        Form::Text => {
            let _ = writeln!(io::stderr(), "vitald: {}", lines.join("\n"));
        }
        Form::Json => print(&json::failure(&lines.join("; "))),
        Form::Nagios => print(&nagios::failure(&lines.join("; "))),
    }
}

fn attempt(arguments: &Arguments, form: Form, log_format: LogFormat, level: &str) -> Result<Tried, Failure> {
    let subject = match &arguments.config {
        Some(file) => Subject::configured(file, arguments.what.as_deref(), &arguments.flags)?,
        None => Subject::given(arguments.what.as_deref(), &arguments.flags)?,
    };
    let eye = Eye::new(subject.definition.masker.clone(), (form == Form::Text).then_some(log_format), arguments.trace);
    // What the agent would say on its way is said at the end, where it matters to the run.
    let level = if level == "info" { "error" } else { level };
    init_logs_beside(log_format, level, arguments.trace.then(|| eye.onlooker()));
    let observer: Arc<dyn Observer> = eye.clone();
    alone(&subject.sandbox.clone(), Some(observer), |alone| attempt_on(alone, arguments, subject, &eye))?
}

fn attempt_on(alone: &Alone<'_>, arguments: &Arguments, mut subject: Subject, eye: &Eye) -> Result<Tried, Failure> {
    let checker = load(alone, &subject)?;
    let check = bind(&checker, &mut subject, &arguments.flags)?;
    if subject.reads_host() && !alone.sample_host(subject.host.clone()) {
        tracing::error!("the host's numbers could not be had in time");
    }
    let before = arguments.state.as_deref().map(read_state).transpose()?.flatten();
    let runs = Runs::run(alone, &check, eye, arguments.count, before).ok_or(Failure::Panicked)?;
    let unkept = arguments.state.as_deref().and_then(|path| keep_state(path, runs.state()).err());
    let description = checker.description().clone();
    let mut tried = Tried { subject, description, powers: checker.powers().clone(), runs, sight: eye.seen() };
    // The verdict stands, whatever becomes of the file.
    tried.subject.notes.extend(unkept.map(|error| format!("the state of the checker is not kept: {error}")));
    if let Some(length) = arguments.every {
        let form = Form::of(arguments.json, arguments.nagios);
        every::go_on(Every { length, form, trace: arguments.trace }, alone, &check, eye, &mut tried)?;
    }
    Ok(tried)
}

/// What the last trial left; none before the first.
fn read_state(path: &std::path::Path) -> Result<Option<Vec<u8>>, Failure> {
    match files::read_capped(path, sandbox::MOST_STATE as u64) {
        Err(error) if error.is_missing() => Ok(None),
        read => read.map(Some).map_err(Failure::State),
    }
}

/// For the next trial; where the checker has forgotten its state, so does the file.
fn keep_state(path: &std::path::Path, state: Option<&[u8]>) -> Result<(), FileError> {
    match state {
        Some(state) => files::write_atomic(path, state),
        None => files::remove(path),
    }
}

fn load(alone: &Alone<'_>, subject: &Subject) -> Result<Arc<dyn Checker>, Failure> {
    let plugin = &subject.plugin;
    let name = subject.definition.checker.clone();
    let loading = alone.sandbox().load(name, plugin.digest.clone(), plugin.bytes.clone());
    let loaded = alone.wait_for(async {
        let mut loading = loading;
        if let Ok(loaded) = tokio::time::timeout(PATIENCE, &mut loading).await {
            return loaded;
        }
        let progress = Progress::begin(&one_line(&plugin.source));
        let loaded = loading.await;
        drop(progress);
        loaded
    });
    loaded.map_err(|source| Failure::Load { plugin: subject.called(), source })
}

/// A line that goes again, for who sits before a terminal.
struct Progress(bool);

impl Progress {
    fn begin(of: &str) -> Self {
        let terminal = io::stderr().is_terminal();
        if terminal {
            let _ = write!(io::stderr(), "compiling {of} ...");
        }
        Self(terminal)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A value that is refused may only have been read too cleverly.
fn bind(checker: &Arc<dyn Checker>, subject: &mut Subject, flags: &Flags) -> Result<Arc<dyn Check>, Failure> {
    let bound = |subject: &Subject| plugins::bound(checker.clone(), &subject.definition, subject.services.clone());
    let schema = &checker.description().params_schema;
    let mut tried = bound(subject);
    if matches!(tried, Err(Unsuited::Check(_))) && subject.definition.problem.is_none() {
        let schema = serde_json::from_str(schema).unwrap_or_default();
        let definition = Arc::make_mut(&mut subject.definition);
        if flags.take_as_texts(&mut definition.params, &schema) {
            tried = bound(subject);
        }
    }
    tried.map_err(|source| match source {
        Unsuited::Check(problem) => {
            let params = &subject.definition.params;
            let problem = problem.replace("target is missing;", "target is missing: name it with --target;");
            Failure::Params(advice::of_params(&subject.definition.checker, &problem, params, schema))
        }
        source => Failure::Unsuited { plugin: subject.called(), source },
    })
}
