//! The host's own numbers, from the agent's latest sample: the series that `/metrics` shows, under the same names.
//!
//! They cost no system call of the checker's. A check needs the grant `host`.

use std::time::Duration;

use crate::bindings::vitald::check::host;
use crate::error::{Error, Result};

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

impl Series {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All series whose name starts with `prefix`.
///
/// # Errors
/// `denied` without the grant `host`; another error where there is no sample. Neither says anything of a target.
pub fn samples(prefix: &str) -> Result<Sample> {
    match host::samples(prefix) {
        Ok(sample) => Ok(Sample {
            wall: Duration::from_nanos(sample.wall),
            boot: Duration::from_nanos(sample.boot),
            series: sample.series.into_iter().map(Series::from).collect(),
        }),
        Err(host::Error::Denied) => Err(Error::denied("the host's numbers: the check has no grant `host`")),
        Err(host::Error::Unavailable(why) | host::Error::Other(why)) => {
            Err(Error::other(format!("the host's numbers: {why}")))
        }
    }
}

impl From<host::Series> for Series {
    fn from(series: host::Series) -> Self {
        Self { name: series.name, labels: series.labels, value: series.value }
    }
}
