//! The runs of one build: `vitald try --every`, a process of its own, so that a run is the same as there, and a plugin is
//! compiled once for all of them. It says each run as a JSON object; what it has to say beside that, it says to the
//! terminal itself.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{future, io};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cli::table::one_line;

use super::super::tools::Group;

/// Where nothing is known of a verdict.
const NOT_JUDGED: &str = "UNKNOWN";
/// Of one run. More is no object of ours.
const MAX_SAID: usize = 1 << 20;

/// How a run went.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    /// `UP`, `DEGRADED`, `DOWN`, `UNKNOWN`
    pub status: String,
    pub message: String,
    pub took_ms: Option<f64>,
    /// What the checker logged and printed, and what is to be done, a line each.
    pub beside: Vec<String>,
}

impl Verdict {
    /// Runs take their time, and that is never the same twice.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.status, &self.message, &self.beside) == (&other.status, &other.message, &other.beside)
    }
}

/// Ends, with all that it started, when it is dropped.
#[derive(Debug)]
pub struct Runner {
    lines: Lines<BufReader<ChildStdout>>,
    said: String,
    _group: Group,
    _child: Child,
}

impl Runner {
    pub fn start(main: &Path, check: &str, every: Duration, arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["try", "--json", "--every", &humantime::format_duration(every).to_string(), "--config"]);
        command.arg(main).arg(check).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let group = Group::of(&child);
        Ok(Self { lines: BufReader::new(stdout).lines(), said: String::new(), _group: group, _child: child })
    }

    /// The next run's. None: it has ended, and says no more. May be dropped while it waits.
    async fn next(&mut self) -> Option<Verdict> {
        while let Ok(Some(line)) = self.lines.next_line().await {
            self.said.push_str(&line);
            self.said.push('\n');
            // It is printed prettily: only its last line is that.
            if line == "}"
                && let Ok(said) = serde_json::from_str(&self.said)
            {
                self.said.clear();
                return Some(verdict(&said));
            }
            if self.said.len() > MAX_SAID {
                return None;
            }
        }
        None
    }
}

/// The next run of a runner, if there is one; it is gone once it has ended.
pub async fn next(runner: &mut Option<Runner>) -> Verdict {
    if let Some(running) = runner.as_mut() {
        if let Some(verdict) = running.next().await {
            return verdict;
        }
        *runner = None;
    }
    future::pending().await
}

/// Of what `vitald try --json` says.
fn verdict(said: &Value) -> Verdict {
    let text = |key: &str| said.get(key).and_then(Value::as_str).map(one_line);
    let list = |key: &str| said.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let logged = list("log").into_iter().map(|line| {
        let part = |key: &str| line.get(key).and_then(Value::as_str).map(one_line).unwrap_or_default();
        format!("{}: {}", part("level"), part("message"))
    });
    let lines = |key: &str| list(key).into_iter().filter_map(|line| line.as_str().map(one_line));
    Verdict {
        status: text("status").unwrap_or_else(|| NOT_JUDGED.to_owned()),
        message: text("message").unwrap_or_default(),
        took_ms: said.get("duration_ms").and_then(Value::as_f64),
        beside: logged
            .chain(lines("printed"))
            .chain(lines("backtrace").filter(|frame| !is_the_languages(frame)))
            .chain(text("advice"))
            .collect(),
    }
}

/// Is it a function of Rust's own libraries, which only carry a panic?
fn is_the_languages(frame: &str) -> bool {
    const BEGIN: [&str; 8] = ["std::", "core::", "alloc::", "__rust", "rust_", "<std::", "<core::", "<alloc::"];
    frame == "abort" || BEGIN.iter().any(|begin| frame.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_is_what_try_says() {
        let said = json!({
            "status": "DOWN", "message": "connect a:1: refused\u{1b}[2J", "duration_ms": 1.25,
            "log": [{"level": "info", "message": "asking"}], "printed": ["one", "two"], "advice": null,
        });
        let Verdict { status, message, took_ms, beside } = verdict(&said);
        assert_eq!((status.as_str(), took_ms), ("DOWN", Some(1.25)));
        assert_eq!(message, "connect a:1: refused [2J");
        assert_eq!(beside, ["info: asking", "one", "two"]);
        let unknown = verdict(&json!({"message": "no\u{1b}[2J target"}));
        assert_eq!((unknown.status.as_str(), unknown.message.as_str()), ("UNKNOWN", "no [2J target"));
    }
}
