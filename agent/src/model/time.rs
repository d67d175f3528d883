//! A point in time, as the agent keeps it: on the clock that counts suspended time too, and on the wall.

use std::time::Duration;

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Moment {
    /// Since the host booted, suspend included (`CLOCK_BOOTTIME`): for ages.
    pub boot: Duration,
    /// Since the Unix epoch: for people.
    pub wall: Duration,
}

impl Moment {
    /// How long `earlier` is ago; zero when it is not.
    pub fn since(self, earlier: Moment) -> Duration {
        self.boot.saturating_sub(earlier.boot)
    }
}

/// The wall clock's part as RFC 3339 with milliseconds, in UTC.
pub fn rfc3339(wall: Duration) -> String {
    let millis = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::from("unknown"), |time| format!("{time:.3}"))
}

/// A length of time for a person: at most two units, `3d2h`, `12s`, `250ms`.
pub fn brief(length: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = length.as_secs();
    if seconds == 0 {
        return format!("{}ms", length.as_millis());
    }
    let mut rest = seconds;
    let mut text = String::new();
    for (index, (size, unit)) in UNITS.iter().enumerate() {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            // One more unit is enough for a person.
            if let Some((next, unit)) = UNITS.get(index + 1)
                && rest / next > 0
            {
                text.push_str(&format!("{}{unit}", rest / next));
            }
            break;
        }
    }
    text
}

/// Milliseconds with three decimals, as answers in JSON have them.
pub fn rounded_ms(length: Duration) -> f64 {
    (length.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_for_people() {
        let cases = [(0, "0ms"), (12, "12s"), (61, "1m1s"), (3600, "1h"), (3 * 86_400 + 7_300, "3d2h")];
        for (seconds, text) in cases {
            assert_eq!(brief(Duration::from_secs(seconds)), text);
        }
        assert_eq!(brief(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn wall_times() {
        assert_eq!(rfc3339(Duration::from_millis(1_500)), "1970-01-01T00:00:01.500Z");
    }
}
