//! One run of a check: what it was given beside its target, and what it collects beside its judgement.
//!
//! Nothing here judges. Measurements, parts and state are kept whatever way the run ends in a judgement, also by `?`;
//! a run that could not judge leaves the state as it was. The host holds the caps and drops what is beyond them.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::vitald::check::types;
use crate::error::{Error, Result};
use crate::outcome::{Outcome, Status};
use crate::quantity::{Measurable, Quantity};
use crate::sys;

/// What the agent keeps of a check's state.
const MAX_STATE: usize = 64 * 1024;

/// How bad a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Only for who looks for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Something broke.
    Error,
}

/// A run: its time, its check's name, what the last run left, and what this one observes.
#[derive(Debug)]
pub struct Run {
    started: Instant,
    timeout: Duration,
    attributes: Vec<(String, String)>,
    state: Option<Vec<u8>>,
    measurements: Vec<Measurement>,
    parts: Vec<types::Part>,
}

/// A number that was just added to a run, to put labels on.
#[derive(Debug)]
pub struct Measurement(types::Measurement);

impl Run {
    pub(crate) fn new(timeout: u64, attributes: Vec<(String, String)>, state: Option<Vec<u8>>) -> Self {
        Self {
            started: Instant::now(),
            timeout: Duration::from_nanos(timeout),
            attributes,
            state,
            measurements: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds a number that goes up and down. `/metrics` shows it as `vitald_value_<name>_<unit>`.
    ///
    /// `name` is `[a-z_][a-z0-9_]{0,63}`, without its unit. A run has room for 64 numbers, labels counted apart;
    /// the agent drops what is beyond that, or misnamed, or not finite.
    ///
    /// ```
    /// # use vitald_sdk::prelude::*;
    /// # fn f(run: &mut Run) {
    /// run.measure("connections", 12);
    /// run.measure("replication_lag", seconds(0.8));
    /// run.measure("answer", run.elapsed());
    /// run.measure("free", bytes(4e9)).label("mount", "/var");
    /// # }
    /// ```
    pub fn measure(&mut self, name: &str, value: impl Measurable) -> &mut Measurement {
        self.add(name, types::Kind::Gauge, value.into())
    }

    /// Adds a number that only grows and starts over at zero. `/metrics` shows it as
    /// `vitald_value_<name>_<unit>_total`. Names and caps as for [`measure`](Run::measure).
    pub fn counter(&mut self, name: &str, value: impl Measurable) -> &mut Measurement {
        self.add(name, types::Kind::Counter, value.into())
    }

    fn add(&mut self, name: &str, kind: types::Kind, Quantity { value, unit }: Quantity) -> &mut Measurement {
        self.measurements.push_mut(Measurement(types::Measurement {
            name: name.to_owned(),
            kind,
            value,
            unit: unit.name().to_owned(),
            labels: Vec::new(),
        }))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn measured(&self) -> usize {
        self.measurements.len()
    }

    /// Drops what was measured since.
    #[cfg(feature = "tokio")]
    pub(crate) fn forget_measured(&mut self, since: usize) {
        self.measurements.truncate(since);
    }

    /// Adds a piece of the judgement for a person to see: one mount, one broker, one step. Shown, never counted;
    /// at most 64 are kept.
    pub fn part(&mut self, name: impl Into<String>, status: Status, message: impl Into<String>) {
        self.parts.push(types::Part { name: name.into(), status: status.into(), message: message.into() });
    }

    /// What the last run of this check left behind. `None` in the first run, and where it is no `T` (any more): a new
    /// version of a checker that cannot read its old state starts over instead of failing for ever.
    ///
    /// ```
    /// use vitald_sdk::prelude::*;
    ///
    /// #[state]
    /// #[derive(Default)]
    /// struct Seen {
    ///     restarts: u32,
    /// }
    ///
    /// # fn f(run: &mut Run) -> Result<()> {
    /// let mut seen: Seen = run.state().unwrap_or_default();
    /// seen.restarts += 1;
    /// run.set_state(&seen)?;
    /// # Ok(()) }
    /// ```
    ///
    /// [`#[state]`](macro@crate::state) needs no crate but this one. Numbers, texts, lists and tables do without it.
    pub fn state<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.state.as_deref()?).ok()
    }

    /// Leaves `state` for the next run, as JSON. A run that does not call this leaves what it was given.
    ///
    /// # Errors
    /// If it does not serialize, or is longer than 64 KiB.
    pub fn set_state<T: Serialize + ?Sized>(&mut self, state: &T) -> Result<()> {
        let bytes = serde_json::to_vec(state)?;
        if bytes.len() > MAX_STATE {
            return Err(Error::internal(format!("state of {} bytes, at most {MAX_STATE} are kept", bytes.len())));
        }
        self.state = Some(bytes);
        Ok(())
    }

    /// Leaves nothing for the next run.
    pub fn forget_state(&mut self) {
        self.state = None;
    }

    /// Writes a line to the agent's log, tagged with the check's name. Rate and size are capped by the agent.
    pub fn log(&self, level: Level, message: impl AsRef<str>) {
        sys::log(level, message.as_ref());
    }

    /// How long the whole run may take. The host ends it when that is over; a checker need not watch the time.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long the run has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is left of the [`timeout`](Run::timeout); zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.timeout.saturating_sub(self.elapsed())
    }

    /// The check's name in the operator's configuration; empty where the host does not say.
    pub fn check_name(&self) -> &str {
        self.attribute("check").unwrap_or_default()
    }

    /// What the host says of the run under a key: `check`, `service` or `agent`; the first, where there are several.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All that the host says of the run, as keys and values.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The run cannot judge its target, and the reason is not the target's: to be returned as `Err`.
    /// The check keeps the status that it had.
    pub fn cannot_judge(&self, reason: impl AsRef<str>) -> Error {
        Error::internal(reason)
    }

    pub(crate) fn finish(self, outcome: Outcome) -> types::Outcome {
        types::Outcome {
            status: outcome.status.into(),
            message: outcome.message,
            measurements: self.measurements.into_iter().map(|Measurement(inner)| inner).collect(),
            parts: self.parts,
            state: self.state,
            attributes: Vec::new(),
        }
    }
}

impl Measurement {
    /// Tells apart numbers of one name: `("mount", "/var")`. At most 4 are kept.
    pub fn label(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.labels.push((name.into(), value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::up;
    use crate::quantity::bytes;

    fn run(state: Option<&str>) -> Run {
        let attributes = [("check", "orders-db"), ("service", "a"), ("service", "b")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Run::new(1_000_000_000, attributes.to_vec(), state.map(Into::into))
    }

    #[test]
    fn collects_what_goes_with_the_judgement() {
        let mut run = run(None);
        run.measure("free", bytes(4.0)).label("mount", "/var").label("kind", "ext4");
        run.counter("commands", 12);
        run.part("replica", Status::Degraded, "3 s behind");
        let outcome = run.finish(up("fine"));
        assert_eq!((outcome.status, outcome.message.as_str()), (types::Status::Up, "fine"));
        let [free, commands] = outcome.measurements.try_into().unwrap();
        assert_eq!((free.name.as_str(), free.unit.as_str(), free.value), ("free", "bytes", 4.0));
        assert_eq!(free.labels[0], ("mount".into(), "/var".into()));
        assert_eq!((commands.kind, commands.unit.as_str()), (types::Kind::Counter, ""));
        assert_eq!(outcome.parts[0].status, types::Status::Degraded);
    }

    #[test]
    fn state_stays_until_it_is_changed() {
        assert_eq!(run(Some("7")).finish(up("")).state.as_deref(), Some(&b"7"[..]));
        let mut changed = run(Some("7"));
        changed.set_state(&8).unwrap();
        assert_eq!(changed.state(), Some(8));
        let mut forgotten = run(Some("7"));
        forgotten.forget_state();
        assert_eq!(forgotten.finish(up("")).state, None);
    }

    #[test]
    fn state_that_cannot_be_read_is_none_and_too_much_is_refused() {
        assert_eq!(run(None).state::<u8>(), None);
        assert_eq!(run(Some("\"text\"")).state::<u8>(), None);
        let mut run = run(Some("7"));
        assert!(!run.set_state(&"x".repeat(MAX_STATE)).unwrap_err().is_down());
        assert_eq!(run.state(), Some(7));
    }

    #[test]
    fn knows_its_check_and_its_time() {
        let run = run(None);
        assert_eq!(run.check_name(), "orders-db");
        assert_eq!(run.attribute("service"), Some("a"));
        assert_eq!(run.attributes().filter(|(key, _)| *key == "service").count(), 2);
        assert_eq!(run.timeout(), Duration::from_secs(1));
        assert!(run.remaining() <= run.timeout());
        assert!(!run.cannot_judge("no idea").is_down());
    }
}
