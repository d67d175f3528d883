//! The host's own numbers, from the agent's latest sample: the series that `/metrics` shows, under the same names.
//!
//! They cost no system call of the checker's. A check needs the grant `host`.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::sys;

/// All series of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When it was taken, since the Unix epoch.
    pub wall: Duration,
    /// When it was taken, since boot (suspend included).
    pub boot: Duration,
    /// The series asked for; empty where none has such a name.
    pub series: Vec<Series>,
}

/// One number with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// As in `/metrics`: `node_memory_MemAvailable_bytes`.
    pub name: String,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// In the unit that the name says.
    pub value: f64,
}

impl Sample {
    /// How old it is by the wall clock; zero where that was set back since. A clock that was set forward makes one
    /// sample look old, the next does not.
    pub fn age(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the clock that the host gives to a run")]
        let now = SystemTime::now();
        now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(self.wall)
    }
}

impl Series {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn denied() -> Error {
    Error::denied("the host's numbers are not granted: add allow = [\"host\"] to the check")
}

/// All series whose name starts with `prefix`.
///
/// # Errors
/// `denied` without the grant `host`; another error where there is no sample. Neither says anything of a target.
pub fn samples(prefix: &str) -> Result<Sample> {
    sys::samples(prefix)
}
