//! How far the clock is off, as its NTP daemon tells the kernel (adjtimex(2)).
//!
//! The offset counts, or the estimated error if that is larger: chrony steers by the frequency and leaves the offset at
//! zero, and its estimate is at least what it has yet to correct. The kernel's maximum error does not count: it grows by
//! half a millisecond a second until the daemon looks again, which says more of the daemon's patience than of the clock.

use std::time::Duration;

use vitald_sdk::{Result, Status, Unit};

use crate::levels::Levels;
use crate::numbers::{Ask, Numbers, absent};
use crate::report::Report;
use crate::units::length;

const OFFSET: &str = "node_timex_offset_seconds";
const ESTIMATED: &str = "node_timex_estimated_error_seconds";
/// What the kernel says as long as no daemon has told it an error, and after the clock was set (`NTP_PHASE_LIMIT`).
const UNTOLD: f64 = 16.0;
const SYNCHRONISED: &str = "node_timex_sync_status";

pub(crate) fn judge(levels: &Levels<Duration>, ask: Ask<'_>, report: &mut Report) -> Result<()> {
    let numbers = Numbers::ask(ask, "node_timex_")?;
    let length_of = |seconds: f64| Duration::try_from_secs_f64(seconds.abs()).ok();
    let offset = numbers.value(OFFSET).and_then(length_of);
    let (Some(offset), Some(synchronised)) = (offset, numbers.value(SYNCHRONISED)) else {
        report.missing("clock_skew", absent(OFFSET));
        return Ok(());
    };
    // The offset of a clock that nobody looks after is zero, which means nothing.
    if synchronised == 0.0 {
        report.add("clock", Status::Degraded, "is not synchronised: nobody knows how far it is off");
        return Ok(());
    }
    let estimated = numbers.value(ESTIMATED).filter(|seconds| *seconds < UNTOLD).and_then(length_of);
    let offset = estimated.unwrap_or_default().max(offset);
    report.gauge("clock_skew", Unit::Seconds, offset.as_secs_f64());
    let (status, crossed) = levels.judge(|level| offset > level);
    let beyond = crossed.map(|level| format!(" (above {})", length(level))).unwrap_or_default();
    report.add("clock", status, &format!("{} off{beyond}", length(offset)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::testing::{asking, sample};

    fn run(offset: f64, synchronised: u8) -> (Status, String) {
        let mut report = Report::default();
        let levels = Levels { warning: None, critical: Some(Duration::from_millis(100)) };
        let text = format!("{OFFSET} {offset}\n{SYNCHRONISED} {synchronised}");
        judge(&levels, &asking(sample(1, &text)), &mut report).unwrap();
        report.told().unwrap()
    }

    #[test]
    fn an_offset_either_way() {
        assert_eq!(run(-0.25, 1), (Status::Down, "clock 250 ms off (above 100 ms)".into()));
        assert_eq!(run(0.0001, 1), (Status::Up, "clock 0.100 ms off".into()));
    }

    #[test]
    fn where_the_offset_is_always_zero_the_estimated_error_counts() {
        let run = |estimated: f64| {
            let mut report = Report::default();
            let levels = Levels { warning: None, critical: Some(Duration::from_millis(100)) };
            let text = format!("{OFFSET} 0.01\n{SYNCHRONISED} 1\n{ESTIMATED} {estimated}");
            judge(&levels, &asking(sample(1, &text)), &mut report).unwrap();
            report.told().unwrap()
        };
        assert_eq!(run(0.25), (Status::Down, "clock 250 ms off (above 100 ms)".into()));
        assert_eq!(run(0.0).1, "clock 10 ms off");
        assert_eq!(run(16.0).1, "clock 10 ms off", "nobody told the kernel");
    }

    #[test]
    fn a_clock_that_nobody_looks_after_is_degraded() {
        assert_eq!(run(0.0, 0).0, Status::Degraded);
    }

    #[test]
    fn odd_numbers_are_no_offset() {
        let mut report = Report::default();
        let levels = Levels { warning: None, critical: Some(Duration::from_millis(100)) };
        judge(&levels, &asking(sample(1, &format!("{OFFSET} NaN\n{SYNCHRONISED} 1"))), &mut report).unwrap();
        assert!(report.told().is_err());
    }
}
