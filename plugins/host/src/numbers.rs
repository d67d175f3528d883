//! The sample's series, by the names of node_exporter.

use std::time::Duration;

use vitald_sdk::host::{Sample, Series};
use vitald_sdk::{Error, Result};

use crate::units;

/// Where series come from: the agent, or a test. It is asked for a prefix of their names.
pub(crate) type Ask<'a> = &'a dyn Fn(&str) -> Result<Sample>;

/// Series of one moment. Each question may be answered from a later sample, so each has its own moment.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Since boot, suspend included: no clock that is set moves it.
    pub(crate) boot: Duration,
    pub(crate) series: Vec<Series>,
}

impl Numbers {
    pub(crate) fn ask(ask: Ask<'_>, prefix: &str) -> Result<Self> {
        let sample = ask(prefix)?;
        Ok(Self { boot: sample.boot, series: sample.series })
    }

    /// The value of a series without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.series.iter().find(|series| series.name == name).map(|series| series.value)
    }
}

/// Refuses a sample that is too old to say how the host is.
pub(crate) fn fresh(sample: Sample, max_age: Duration) -> Result<Sample> {
    let age = sample.age();
    if age > max_age {
        let problem = format!(
            "the host's numbers are {} old, older than max_age ({}): the agent cannot sample them, or max_age is \
             shorter than the interval of [host]",
            units::length(age),
            units::length(max_age)
        );
        return Err(Error::internal(problem));
    }
    Ok(sample)
}

/// Why a threshold has no numbers, for a person who can change that.
pub(crate) fn absent(family: &str) -> String {
    format!(
        "there is no {family} among the host's numbers: the kernel does not offer it, [host] leaves it out, or its \
         collector fails (the log says why)"
    )
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Series as `/metrics` shows them, one a line, at that second since boot.
    pub(crate) fn sample(boot: u64, text: &str) -> Sample {
        let series = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(series);
        Sample { wall: Duration::from_secs(1_700_000_000), boot: Duration::from_secs(boot), series: series.collect() }
    }

    fn series(line: &str) -> Series {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        Series {
            name: name.to_owned(),
            labels: pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect(),
            value: value.parse().expect("a number"),
        }
    }

    /// What the agent would answer.
    pub(crate) fn asking(sample: Sample) -> impl Fn(&str) -> Result<Sample> {
        move |prefix| {
            let series = sample.series.iter().filter(|series| series.name.starts_with(prefix)).cloned().collect();
            Ok(Sample { series, ..sample.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_numbers_are_refused_with_their_age() {
        let old = testing::sample(1, "");
        let error = fresh(old.clone(), Duration::from_secs(60)).unwrap_err();
        assert!(error.message().contains("older than max_age (60 s)"), "{error}");
        assert!(!error.is_down());
        let ahead = Sample { wall: Duration::MAX, ..old };
        assert!(fresh(ahead, Duration::from_secs(60)).is_ok());
    }
}
