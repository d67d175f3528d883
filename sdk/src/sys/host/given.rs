//! What the host gives beside connections: its log and its numbers.

use std::time::Duration;

use crate::bindings::vitald::check::{host, log as wire};
use crate::error::{Error, Result};
use crate::host::{Sample, Series, denied};
use crate::run::Level;

pub(crate) fn log(level: Level, message: &str) {
    wire::log(level.into(), message);
}

pub(crate) fn samples(prefix: &str) -> Result<Sample> {
    match host::samples(prefix) {
        Ok(sample) => Ok(Sample {
            wall: Duration::from_nanos(sample.wall),
            boot: Duration::from_nanos(sample.boot),
            series: sample.series.into_iter().map(Series::from).collect(),
        }),
        Err(host::Error::Denied) => Err(denied()),
        Err(host::Error::Unavailable(why) | host::Error::Other(why)) => {
            Err(Error::other(format!("the host's numbers: {why}")))
        }
    }
}

impl From<Level> for wire::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl From<host::Series> for Series {
    fn from(series: host::Series) -> Self {
        Self { name: series.name, labels: series.labels, value: series.value }
    }
}
