//! A length of time as an operator writes it, for parameters: `"200ms"`, `"1.5s"`, `"1h 30m"`.
//!
//! As in the agent's own configuration; a test compares the two. The agent's library would be 9 KiB of each plugin. A
//! bare number is refused: nobody could tell its unit. Nothing here panics.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::Error;

/// Loose, because operators are shown it, and the parser is strict and says more.
pub(crate) const PATTERN: &str = "^[0-9].*[A-Za-z]$";

/// Nanoseconds of what lengths are shown in.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// What else they may be written in. A year is 365.25 days, a month a twelfth of it: as in the agent's library.
const NAMES: [(&[&str], u64); 10] = [
    (&["sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["hr", "hrs", "hour", "hours"], 3_600_000_000_000),
    (&["day", "days"], 86_400_000_000_000),
    (&["w", "wk", "wks", "week", "weeks"], 604_800_000_000_000),
    (&["M", "month", "months"], 2_630_016_000_000_000),
    (&["y", "yr", "yrs", "year", "years"], 31_557_600_000_000_000),
    (&["msec", "millis"], 1_000_000),
    (&["usec"], 1_000),
    (&["nsec", "nanos"], 1),
];

/// A length of time with its unit: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`, or their usual names; several in a row are
/// added. At most some 500 years.
///
/// ```
/// use vitald_sdk::Length;
/// use vitald_sdk::prelude::*;
///
/// #[params]
/// struct Params {
///     /// How far a replica may be behind: "10s".
///     lag_above: Option<Length>,
/// }
///
/// let length: Length = "1h 30m".parse().unwrap();
/// assert_eq!(length.get().as_secs(), 5400);
/// assert_eq!(length.to_string(), "1h 30m");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Length(Duration);

impl Length {
    /// For a default.
    pub const fn new(length: Duration) -> Self {
        Self(length)
    }

    /// To count with.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Length {
    type Err = Error;

    /// # Errors
    /// An [`Error::invalid_params`] that says what to write.
    fn from_str(text: &str) -> Result<Self, Error> {
        match parse(text) {
            Some(nanos) => Ok(Self(Duration::from_nanos(nanos))),
            None => Err(Error::invalid_params(format!(
                "{text:?}: write a length of time with its unit, such as \"200ms\" or \"10s\""
            ))),
        }
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim_ascii();
    let mut total = 0_u64;
    loop {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let (unit, after) = split(after.trim_ascii_start(), |byte| byte.is_ascii_alphabetic());
        total = total.checked_add(nanos_of(number, factor(unit)?)?)?;
        rest = after.trim_ascii_start();
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// What the bytes at its beginning are, and the rest.
fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().take_while(|byte| belongs(*byte)).count();
    text.split_at_checked(end).unwrap_or_default()
}

fn factor(unit: &str) -> Option<u64> {
    let short = UNITS.iter().find(|(name, _)| *name == unit);
    let long = NAMES.iter().find(|(names, _)| names.contains(&unit));
    short.map(|(_, factor)| *factor).or(long.map(|(_, factor)| *factor))
}

/// Whole numbers all the way; digits below a nanosecond are cut off.
fn nanos_of(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let mut place = factor;
    for digit in fraction.bytes().filter(u8::is_ascii_digit) {
        place /= 10;
        nanos = nanos.checked_add(place * u64::from(digit - b'0'))?;
    }
    let well_formed = !fraction.is_empty() && !fraction.contains('.');
    well_formed.then_some(nanos)
}

/// Saturates: what is longer is the longest that can be written.
pub(crate) fn nanos(length: Duration) -> u64 {
    length.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(length.subsec_nanos()))
}

impl From<Duration> for Length {
    fn from(length: Duration) -> Self {
        Self(length)
    }
}

/// For what takes a [`Duration`]: `length.into()`.
impl From<Length> for Duration {
    fn from(length: Length) -> Self {
        length.0
    }
}

/// `1h 30m`, `1s 500ms`, `0s`: can be read again.
impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = nanos(self.0);
        if left == 0 {
            return f.write_str("0s");
        }
        let mut gap = "";
        for (unit, factor) in UNITS {
            let count = left / factor;
            left %= factor;
            if count > 0 {
                write!(f, "{gap}{count}{unit}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Schemas show defaults by it.
impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Length {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn length(text: &str) -> Option<Duration> {
        text.parse().ok().map(Length::get)
    }

    #[test]
    fn is_written_as_in_the_agents_configuration() {
        let right = "200ms|1.5s|1h 30m|1h30m|0s|2 hours 5min|0.5d| 7 s |1.25ms|3us|1m 1m|12345678ns|1.000000001s|1sec\
                     |9hrs|1y|2w|1M|3 months|5nanos|1.5 weeks";
        let wrong =
            "|5|ms|-1s|+1s|1e3s|soon|1 fortnight|99999999999999999999s|999999999d 9|1.s|.5s|1..5s|1.5.5s|1s,2s|µs|1µ";
        for text in right.split('|') {
            assert_eq!(length(text), humantime::parse_duration(text).ok(), "{text}");
            assert!(length(text).is_some(), "{text}");
        }
        for text in wrong.split('|') {
            assert_eq!((length(text), humantime::parse_duration(text).ok()), (None, None), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        let error = serde_json::from_value::<Length>(json!("soon")).unwrap_err().to_string();
        assert_eq!(error, "\"soon\": write a length of time with its unit, such as \"200ms\" or \"10s\"");
        assert!(serde_json::from_value::<Length>(json!(5)).unwrap_err().to_string().contains("expected a string"));
    }

    #[test]
    fn shows_what_can_be_read_again() {
        for text in ["200ms", "1s 500ms", "1h 30m", "0s", "1d 1ns", "3us"] {
            let length = text.parse::<Length>().unwrap();
            assert_eq!(length.to_string(), text);
            assert_eq!(humantime::format_duration(length.get()).to_string().replace("day", "d"), text);
        }
        assert_eq!(serde_json::to_value(Length::new(Duration::from_secs(90))).unwrap(), json!("1m 30s"));
        assert_eq!(Duration::from(Length::from(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(format!("{:?}", Length::default()), "0s");
        assert!(Length::new(Duration::MAX).to_string().starts_with("213503d"));
    }
}
