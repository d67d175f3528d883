//! What came of a trial.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::vitald::check::types;
use crate::error::{Error, Result};
use crate::outcome::{Outcome, Status};
use crate::run::Level;

use super::handler::Answer;

/// How a run ended, and all that it left. It prints as what a person would want to read in a failed assertion.
#[derive(Debug, Clone)]
pub struct Ran {
    judged: Result<Outcome>,
    measurements: Vec<types::Measurement>,
    parts: Vec<Part>,
    state: Option<Vec<u8>>,
    log: Vec<(Level, String)>,
    took: Duration,
}

/// A piece of the judgement, as [`Run::part`](crate::Run::part) added it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// Why.
    pub message: String,
}

impl Ran {
    pub(super) fn new(
        answer: Answer,
        log: Vec<(Level, String)>,
        before: Option<Vec<u8>>,
        took: Duration,
        timeout: Duration,
    ) -> Self {
        let mut ran = Self {
            judged: Ok(Outcome::new(Status::Up, "")),
            measurements: Vec::new(),
            parts: Vec::new(),
            state: before,
            log,
            took,
        };
        if took >= timeout {
            ran.judged = past_deadline(answer, took, timeout);
            return ran;
        }
        match answer {
            Ok(outcome) => {
                ran.judged = Ok(Outcome::new(outcome.status.into(), outcome.message));
                ran.measurements = outcome.measurements;
                ran.parts = outcome.parts.into_iter().map(Part::from).collect();
                ran.state = outcome.state;
            }
            Err(error) => ran.judged = Err(unjudged(error)),
        }
        ran
    }

    /// Of a run that did not end by itself.
    pub(super) fn ended(
        waited_for: Option<&str>,
        log: Vec<(Level, String)>,
        before: Option<Vec<u8>>,
        took: Duration,
        timeout: Duration,
    ) -> Self {
        let judged = waited_for.map_or_else(
            || Err(Error::other(format!("slept past the deadline of {} ms without a connection", timeout.as_millis()))),
            |step| Ok(timed_out(timeout, step)),
        );
        Self { judged, measurements: Vec::new(), parts: Vec::new(), state: before, log, took }
    }

    /// How the target is; none where the run could not judge it: see [`error`](Self::error).
    pub fn status(&self) -> Option<Status> {
        self.judged.as_ref().ok().map(|outcome| outcome.status)
    }

    /// The line for a person: of the judgement, or why there is none.
    pub fn message(&self) -> &str {
        match &self.judged {
            Ok(outcome) => &outcome.message,
            Err(error) => error.message(),
        }
    }

    /// The judgement, or why there is none.
    ///
    /// # Errors
    /// Why the run could not judge its target.
    pub fn outcome(&self) -> Result<&Outcome, &Error> {
        self.judged.as_ref()
    }

    /// Why the run could not judge its target; none where it could.
    pub fn error(&self) -> Option<&Error> {
        self.judged.as_ref().err()
    }

    /// The first measurement of that name, in its base unit.
    pub fn measurement(&self, name: &str) -> Option<f64> {
        self.measurement_of(name, &[])
    }

    /// The first measurement of that name that has these labels.
    pub fn measurement_of(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |own: &types::Measurement, (key, value): &(&str, &str)| {
            own.labels.iter().any(|(own_key, own_value)| own_key == key && own_value == value)
        };
        let mut named = self.measurements.iter().filter(|own| own.name == name);
        named.find(|own| labels.iter().all(|label| has(own, label))).map(|own| own.value)
    }

    /// Name and unit of every measurement, in the order of the run: `("lag", "seconds")`.
    pub fn measurements(&self) -> Vec<(&str, &str)> {
        self.measurements.iter().map(|own| (own.name.as_str(), own.unit.as_str())).collect()
    }

    /// The pieces of the judgement.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What the next run would find, where it is a `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.state.as_deref()?).ok()
    }

    /// What the run has logged.
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// What the agent would have said: a run that waited for its target at the end has a target that is down; one that did
/// something else tells nothing of it.
fn past_deadline(answer: Answer, took: Duration, timeout: Duration) -> Result<Outcome> {
    let waited_for = match &answer {
        Ok(outcome) => outcome.message.strip_suffix(": timeout"),
        Err(_) => None,
    };
    match waited_for {
        Some(step) => Ok(timed_out(timeout, step)),
        None => Err(Error::other(format!(
            "the run took {} ms; the agent ends it after {} ms",
            took.as_millis(),
            timeout.as_millis()
        ))),
    }
}

fn timed_out(timeout: Duration, step: &str) -> Outcome {
    Outcome::new(Status::Down, format!("timeout after {} ms: {step}", timeout.as_millis()))
}

impl From<types::Part> for Part {
    fn from(part: types::Part) -> Self {
        Self { name: part.name, status: part.status.into(), message: part.message }
    }
}

impl From<types::Status> for Status {
    fn from(status: types::Status) -> Self {
        match status {
            types::Status::Up => Self::Up,
            types::Status::Degraded => Self::Degraded,
            types::Status::Down => Self::Down,
        }
    }
}

fn unjudged(error: types::Error) -> Error {
    match error {
        types::Error::InvalidParams(reason) => Error::invalid_params(reason),
        types::Error::Denied(reason) => Error::denied(reason),
        types::Error::Internal(reason) => Error::internal(reason),
        types::Error::Other(reason) => Error::other(reason),
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.judged {
            Ok(outcome) => write!(f, "{:?}: {}", outcome.status, outcome.message)?,
            Err(error) => write!(f, "not judged, {error:?}")?,
        }
        write!(f, " (after {:.1?})", self.took)?;
        for part in &self.parts {
            write!(f, "\n  {} {:?}: {}", part.name, part.status, part.message)?;
        }
        for types::Measurement { name, value, unit, labels, .. } in &self.measurements {
            write!(f, "\n  {name} = {value} {unit}")?;
            labels.iter().try_for_each(|(key, value)| write!(f, " {key}={value:?}"))?;
        }
        if let Some(state) = &self.state {
            write!(f, "\n  state: {}", String::from_utf8_lossy(state))?;
        }
        self.log.iter().try_for_each(|(level, line)| write!(f, "\n  log {level:?}: {line}"))
    }
}
