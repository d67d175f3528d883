//! Lengths of time and sizes, which are strings with units.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};

/// `"500ms"`, `"10s"`, `"2h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub Duration);

/// Longer ones are mistakes, and would not fit once they are multiplied.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// `"64MiB"`, `"512 KiB"`, `"4096B"`: bytes, units of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::fmt::Display for Size {
    /// In the largest unit in which it is whole.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = |bits: u32| self.0 > 0 && self.0.trailing_zeros() >= bits;
        match self.0 {
            bytes if whole(30) => write!(f, "{}GiB", bytes >> 30),
            bytes if whole(20) => write!(f, "{}MiB", bytes >> 20),
            bytes if whole(10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

struct Text<T>(fn(&str) -> Option<T>, &'static str);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = "a length of time with its unit, such as \"500ms\", \"10s\" or \"2h\", of a year at most";
        let parse = |text: &str| humantime::parse_duration(text).ok().filter(|length| *length <= LONGEST).map(Self);
        deserializer.deserialize_any(Text(parse, wanted))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = deserializer
            .deserialize_any(Text(|text| Some(parse_size(text)), "a size with its unit, such as \"64MiB\""))?;
        size.map(Self).ok_or_else(|| D::Error::custom("not a size: write a whole number and B, KiB, MiB or GiB"))
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_they_are_read() {
        for (bytes, text) in
            [(0, "0B"), (1, "1B"), (4096, "4KiB"), (64 << 20, "64MiB"), (1 << 31, "2GiB"), (1025, "1025B")]
        {
            assert_eq!(Size(bytes).to_string(), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("64MiB", Some(64 << 20)),
            ("1 KiB", Some(1024)),
            ("7B", Some(7)),
            ("64", None),
            ("MiB", None),
            ("64MB", None),
            ("-1B", None),
            ("99999999999999999999GiB", None),
        ];
        for (text, size) in cases {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }
}
