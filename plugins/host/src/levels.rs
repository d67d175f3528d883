//! A threshold with two levels, and what a value comes to between them.

use vitald_sdk::{Error, Result, Status};

use crate::params;
use crate::units::Written;

/// What is DEGRADED, and what is DOWN. At least one of them is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels<T> {
    pub(crate) warning: Option<T>,
    pub(crate) critical: Option<T>,
}

/// On which side of a threshold it gets bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    Above,
    Below,
}

impl<T: Copy> Levels<T> {
    /// The status, and the level that was crossed.
    pub(crate) fn judge(&self, crosses: impl Fn(T) -> bool) -> (Status, Option<T>) {
        let crossed = |level: Option<T>| level.filter(|level| crosses(*level));
        match (crossed(self.critical), crossed(self.warning)) {
            (Some(level), _) => (Status::Down, Some(level)),
            (None, Some(level)) => (Status::Degraded, Some(level)),
            (None, None) => (Status::Up, None),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.warning.into_iter().chain(self.critical)
    }

    fn map<U>(self, parse: impl Fn(T) -> Result<U>) -> Result<Levels<U>> {
        Ok(Levels { warning: self.warning.map(&parse).transpose()?, critical: self.critical.map(&parse).transpose()? })
    }

    /// A warning that would come after the critical one is a mistake. What cannot be compared passes.
    fn in_order(self, key: &str, bad: Bad) -> Result<Self>
    where
        T: PartialOrd,
    {
        let reversed = match (self.warning, self.critical, bad) {
            (Some(warning), Some(critical), Bad::Above) => warning > critical,
            (Some(warning), Some(critical), Bad::Below) => warning < critical,
            _ => false,
        };
        if reversed {
            return Err(Error::invalid_params(format!("params.{key}: warning must be reached before critical")));
        }
        Ok(self)
    }
}

/// What was typed, still as texts or numbers.
fn typed<T>(key: &str, raw: params::Levels<T>) -> Result<Levels<T>> {
    match raw {
        params::Levels::One(value) => Ok(Levels { warning: None, critical: Some(value) }),
        params::Levels::Two(params::Two { warning: None, critical: None }) => {
            Err(Error::invalid_params(format!("params.{key}: write warning, critical or both")))
        }
        params::Levels::Two(params::Two { warning, critical }) => Ok(Levels { warning, critical }),
    }
}

/// Levels that are texts. `key` is what the operator calls them.
pub(crate) fn written<T: Written + Copy + PartialOrd>(
    key: &str,
    raw: Option<&params::Levels<String>>,
    bad: Bad,
) -> Result<Option<Levels<T>>> {
    let Some(raw) = raw.cloned() else { return Ok(None) };
    let texts = typed(key, raw)?;
    let texts = Levels { warning: texts.warning.as_deref(), critical: texts.critical.as_deref() };
    texts.map(|text| crossable(key, text, bad))?.in_order(key, bad).map(Some)
}

/// A level that no value can be beyond would be watched for nothing.
fn crossable<T: Written>(key: &str, text: &str, bad: Bad) -> Result<T> {
    let level: T = parse(key, text)?;
    let instead = match bad {
        Bad::Above if level.is_highest() => "less, such as \"95%\"",
        Bad::Below if level.is_lowest() => "more, such as \"5%\"",
        _ => return Ok(level),
    };
    Err(Error::invalid_params(format!("params.{key}: {text:?} is never crossed: write {instead}")))
}

/// Levels that are plain numbers above zero.
pub(crate) fn numbers(key: &str, raw: Option<&params::Levels<f64>>) -> Result<Option<Levels<f64>>> {
    let Some(raw) = raw.cloned() else { return Ok(None) };
    let positive = |number: f64| {
        let wrong = || Error::invalid_params(format!("params.{key}: write a number above 0, such as 2.0"));
        if number.is_finite() && number > 0.0 { Ok(number) } else { Err(wrong()) }
    };
    typed(key, raw)?.map(positive)?.in_order(key, Bad::Above).map(Some)
}

pub(crate) fn parse<T: Written>(key: &str, text: &str) -> Result<T> {
    let wrong = || Error::invalid_params(format!("params.{key}: {text:?}: write {}", T::EXPECTED));
    T::parse(text).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Amount, Share};

    fn two(warning: &str, critical: &str) -> params::Levels<String> {
        params::Levels::Two(params::Two { warning: Some(warning.into()), critical: Some(critical.into()) })
    }

    #[test]
    fn the_worst_level_that_is_crossed_counts() {
        let levels = Levels { warning: Some(1.0), critical: Some(2.0) };
        let judged = |value: f64| levels.judge(|level| value > level);
        assert_eq!(judged(1.0), (Status::Up, None));
        assert_eq!(judged(1.5), (Status::Degraded, Some(1.0)));
        assert_eq!(judged(2.5), (Status::Down, Some(2.0)));
        assert_eq!(Levels { warning: None, critical: Some(2.0) }.judge(|level| 2.5 > level).0, Status::Down);
    }

    #[test]
    fn one_value_is_critical() {
        let raw = params::Levels::One("90%".to_owned());
        let levels: Option<Levels<Share>> = written("cpu_above", Some(&raw), Bad::Above).unwrap();
        assert_eq!(levels, Some(Levels { warning: None, critical: Some(Share(0.9)) }));
    }

    #[test]
    fn mistakes_name_the_parameter_and_what_to_write() {
        let mistake = |raw, bad| written::<Share>("cpu_above", Some(&raw), bad).unwrap_err().to_string();
        assert_eq!(
            mistake(params::Levels::One("ninety".into()), Bad::Above),
            "params.cpu_above: \"ninety\": write a percentage from 0% to 100%, such as \"90%\""
        );
        assert!(mistake(two("90%", "80%"), Bad::Above).contains("warning must be reached before"));
        assert!(mistake(two("5%", "10%"), Bad::Below).contains("warning must be reached before"));
        let none = params::Levels::Two(params::Two { warning: None, critical: None });
        assert!(mistake(none, Bad::Above).contains("write warning, critical or both"));
        assert!(numbers("load_per_cpu_above", Some(&params::Levels::One(0.0))).is_err());
    }

    #[test]
    fn a_percentage_and_a_size_have_no_order() {
        let levels = written::<Amount>("memory_available_below", Some(&two("10%", "512MiB")), Bad::Below);
        assert!(levels.is_ok());
    }
}
