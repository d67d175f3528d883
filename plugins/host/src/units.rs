//! Numbers as operators write them, and as a message shows them.
//!
//! A text that is no such number is none here; what to write instead stands beside each kind, and whoever knows the
//! parameter's name makes the error.

use std::time::Duration;

use vitald_sdk::Length;

/// A kind of number in the parameters.
pub(crate) trait Written: Sized {
    /// What to write: the end of an error message.
    const EXPECTED: &str;
    fn parse(text: &str) -> Option<Self>;

    /// No value is above it.
    fn is_highest(&self) -> bool {
        false
    }

    /// No value is below it.
    fn is_lowest(&self) -> bool {
        false
    }
}

/// A share of a whole, 0 to 1; written and shown as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Share(pub(crate) f64);

impl Written for Share {
    const EXPECTED: &str = "a percentage from 0% to 100%, such as \"90%\"";

    fn parse(text: &str) -> Option<Self> {
        let percent = decimal(text.trim().strip_suffix('%')?)?;
        (0.0..=100.0).contains(&percent).then_some(Self(percent / 100.0))
    }

    fn is_highest(&self) -> bool {
        self.0 >= 1.0
    }

    fn is_lowest(&self) -> bool {
        self.0 <= 0.0
    }
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Size(pub(crate) f64);

/// The names of powers of 1024, the largest first.
const UNITS: [(&str, f64); 5] = [
    ("TiB", (1_u64 << 40) as f64),
    ("GiB", (1_u64 << 30) as f64),
    ("MiB", (1_u64 << 20) as f64),
    ("KiB", (1_u64 << 10) as f64),
    ("B", 1.0),
];

impl Written for Size {
    const EXPECTED: &str = "a size in B, KiB, MiB, GiB or TiB, such as \"512MiB\"";

    fn parse(text: &str) -> Option<Self> {
        let (number, factor) =
            UNITS.iter().find_map(|(unit, factor)| Some((text.trim().strip_suffix(unit)?, *factor)))?;
        Some(Self(decimal(number)? * factor))
    }

    fn is_lowest(&self) -> bool {
        self.0 <= 0.0
    }
}

/// Digits with or without a point: no sign, no exponent, no names such as `inf`.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim_end();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// A part of a whole, or so many bytes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    Share(Share),
    Size(Size),
}

/// A share and a size have no order without the whole.
impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Share(a), Self::Share(b)) => a.partial_cmp(b),
            (Self::Size(a), Self::Size(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

impl Written for Amount {
    const EXPECTED: &str = "a percentage or a size, such as \"5%\" or \"512MiB\"";

    fn parse(text: &str) -> Option<Self> {
        Share::parse(text).map(Self::Share).or_else(|| Size::parse(text).map(Self::Size))
    }

    fn is_lowest(&self) -> bool {
        match self {
            Self::Share(share) => share.is_lowest(),
            Self::Size(size) => size.is_lowest(),
        }
    }
}

/// As in the agent's own configuration.
impl Written for Duration {
    const EXPECTED: &str = "a length of time above zero with its unit, such as \"100ms\", \"30m\" or \"24h\"";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Length::get).filter(|length| !length.is_zero())
    }
}

/// `93 %`; with a decimal where the whole number would look like the limit that it has passed.
pub(crate) fn percent(share: f64, limit: Option<Share>) -> String {
    let percent = share * 100.0;
    let looks_like_it = limit.is_some_and(|limit| percent.round() == (limit.0 * 100.0).round());
    if looks_like_it || (percent > 0.0 && percent < 1.0) {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// `90 %`, `0.5 %`: a limit as it was written.
pub(crate) fn limit(share: Share) -> String {
    let percent = (share.0 * 1000.0).round() / 10.0;
    format!("{percent} %")
}

/// `512 MiB`, `1.5 GiB`.
pub(crate) fn bytes(size: f64) -> String {
    let (unit, factor) = UNITS.into_iter().find(|(_, factor)| size >= *factor).unwrap_or(("B", 1.0));
    let number = (size / factor * 10.0).round() / 10.0;
    format!("{number} {unit}")
}

/// `40 s`, `75 min`, `20 h`, `12 days`, and below a second `250 ms`.
pub(crate) fn length(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    match length.as_secs() {
        0 => format!("{:.3} ms", seconds * 1000.0).replace(".000", ""),
        1..120 => format!("{seconds:.0} s"),
        120..7200 => format!("{:.0} min", seconds / 60.0),
        7200..172_800 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares() {
        assert_eq!(Share::parse("90%"), Some(Share(0.9)));
        assert_eq!(Share::parse(" 0.5 % "), Some(Share(0.005)));
        for wrong in ["90", "0.9", "ninety%", "-1%", "-0%", "1e1%", "101%", "NaN%", "inf%", "%", ""] {
            assert_eq!(Share::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_and_amounts() {
        assert_eq!(Size::parse("512MiB"), Some(Size(536_870_912.0)));
        assert_eq!(Size::parse("7 B"), Some(Size(7.0)));
        assert_eq!(Size::parse("1.5GiB"), Some(Size(1_610_612_736.0)));
        for wrong in ["512", "512MB", "MiB", "-1MiB", "1.5.0GiB", "infGiB", "1e3B"] {
            assert_eq!(Size::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Amount::parse("5%"), Some(Amount::Share(Share(0.05))));
        assert_eq!(Amount::parse("1GiB"), Some(Amount::Size(Size(1_073_741_824.0))));
        assert_eq!(Amount::parse("5"), None);
    }

    #[test]
    fn lengths() {
        assert_eq!(<Duration as Written>::parse("2h 30m"), Some(Duration::from_secs(9000)));
        for wrong in ["24", "0s", "soon", ""] {
            assert_eq!(<Duration as Written>::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_shown_short() {
        assert_eq!(percent(0.931, Some(Share(0.9))), "93 %");
        assert_eq!(percent(0.9004, Some(Share(0.9))), "90.0 %");
        assert_eq!(percent(0.004, None), "0.4 %");
        assert_eq!(limit(Share(0.9)), "90 %");
        assert_eq!(limit(Share(0.005)), "0.5 %");
        assert_eq!(bytes(1.5 * 1024.0 * 1024.0), "1.5 MiB");
        assert_eq!(bytes(0.0), "0 B");
        let shown = [(0.25, "250 ms"), (0.0001, "0.100 ms"), (40.0, "40 s"), (4500.0, "75 min"), (72_000.0, "20 h")];
        for (seconds, text) in shown {
            assert_eq!(length(Duration::from_secs_f64(seconds)), text);
        }
        assert_eq!(length(Duration::from_secs(1_000_000)), "12 days");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,20}[%BKMi]{0,3}") {
            let _ = (Amount::parse(&text), <Duration as Written>::parse(&text));
        }
    }
}
