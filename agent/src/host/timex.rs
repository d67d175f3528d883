//! What the kernel knows of its clock's accuracy, from adjtimex(2): offset, frequency, errors, PPS, TAI.
//!
//! The call only asks (`modes` is 0). Where it is forbidden, as in some containers, there is nothing to show.
//! No well-kept crate wraps it for reading: rustix and nix lack it, clock-steering only sets. So the one call is here.

use super::collector::{CollectError, Collector, Families, Settings};
use crate::model::host::HostKind::{self, Counter, Gauge};

/// The clock follows no reliable source (`TIME_ERROR`).
const UNSYNCHRONIZED: i32 = 5;
/// Offset and jitter are in nanoseconds, not microseconds (`STA_NANO`).
const NANO: i32 = 0x2000;
/// Frequencies are in parts per million, with 16 bits after the point.
const PPM: f64 = 1e6 * 65536.0;

pub struct Timex {}

impl Timex {
    pub fn new(_settings: &Settings) -> Self {
        Self {}
    }
}

impl Collector for Timex {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let clock = ask().map_err(|source| match source.kind() {
            std::io::ErrorKind::PermissionDenied => CollectError::Absent(format!("adjtimex: {source}")),
            _ => CollectError::Read { path: "adjtimex".into(), source },
        })?;
        for (kind, name, help, value) in families(&clock) {
            out.family(kind, name, help).add(&[], value);
        }
        Ok(())
    }
}

/// `struct timex`, and what the call returned. Its `long`s are kept as what they are shown as.
#[derive(Debug, Default)]
struct Clock {
    state: i32,
    status: i32,
    offset: f64,
    frequency: f64,
    max_error: f64,
    estimated_error: f64,
    constant: f64,
    tick: f64,
    pps_frequency: f64,
    jitter: f64,
    shift: i32,
    stability: f64,
    jitter_count: f64,
    calibration_count: f64,
    error_count: f64,
    stability_count: f64,
    tai: i32,
}

#[expect(unsafe_code, reason = "no safe wrapper of adjtimex(2) exists; zeroed integers, and a pointer to them")]
#[expect(clippy::cast_precision_loss, reason = "errors and counts lose nothing below 2^53")]
fn ask() -> std::io::Result<Clock> {
    // SAFETY: the struct has integers alone, for which zero is a value, and the kernel writes no more than the struct.
    let (state, raw) = unsafe {
        let mut raw: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut raw), raw)
    };
    if state == -1 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Clock {
        state,
        status: raw.status,
        offset: raw.offset as f64,
        frequency: raw.freq as f64,
        max_error: raw.maxerror as f64,
        estimated_error: raw.esterror as f64,
        constant: raw.constant as f64,
        tick: raw.tick as f64,
        pps_frequency: raw.ppsfreq as f64,
        jitter: raw.jitter as f64,
        shift: raw.shift,
        stability: raw.stabil as f64,
        jitter_count: raw.jitcnt as f64,
        calibration_count: raw.calcnt as f64,
        error_count: raw.errcnt as f64,
        stability_count: raw.stbcnt as f64,
        tai: raw.tai,
    })
}

type Shown = (HostKind, &'static str, &'static str, f64);

fn families(clock: &Clock) -> [Shown; 17] {
    let synchronized = f64::from(u8::from(clock.state != UNSYNCHRONIZED));
    let fine = if clock.status & NANO == 0 { 1e6 } else { 1e9 };
    [
        (Gauge, "node_timex_sync_status", "1 where the clock follows a reliable source, else 0.", synchronized),
        (Gauge, "node_timex_offset_seconds", "How far the clock is from its source, in seconds.", clock.offset / fine),
        (
            Gauge,
            "node_timex_frequency_adjustment_ratio",
            "By how much the clock's frequency is corrected: 1 is not at all.",
            1.0 + clock.frequency / PPM,
        ),
        (
            Gauge,
            "node_timex_maxerror_seconds",
            "How wrong the clock is at most, in seconds. It grows while nothing corrects the clock.",
            clock.max_error / 1e6,
        ),
        (
            Gauge,
            "node_timex_estimated_error_seconds",
            "How wrong the clock probably is, in seconds.",
            clock.estimated_error / 1e6,
        ),
        (Gauge, "node_timex_status", "The status bits of adjtimex(2).", f64::from(clock.status)),
        (Gauge, "node_timex_loop_time_constant", "Time constant of the phase-locked loop.", clock.constant),
        (Gauge, "node_timex_tick_seconds", "Time between two ticks of the clock, in seconds.", clock.tick / 1e6),
        (
            Gauge,
            "node_timex_pps_frequency_hertz",
            "Frequency of the pulse per second (PPS), in hertz.",
            clock.pps_frequency / PPM,
        ),
        (Gauge, "node_timex_pps_jitter_seconds", "Jitter of the PPS signal, in seconds.", clock.jitter / fine),
        (Gauge, "node_timex_pps_shift_seconds", "Length of a PPS interval, in seconds.", f64::from(clock.shift)),
        (
            Gauge,
            "node_timex_pps_stability_hertz",
            "Mean of the PPS signal's last changes of frequency, in hertz.",
            clock.stability / PPM,
        ),
        (Counter, "node_timex_pps_jitter_total", "How often the PPS jitter was too large.", clock.jitter_count),
        (Counter, "node_timex_pps_calibration_total", "PPS intervals that calibrated.", clock.calibration_count),
        (Counter, "node_timex_pps_error_total", "PPS calibrations that failed.", clock.error_count),
        (
            Counter,
            "node_timex_pps_stability_exceeded_total",
            "How often the PPS frequency changed too much.",
            clock.stability_count,
        ),
        (
            Gauge,
            "node_timex_tai_offset_seconds",
            "How far International Atomic Time (TAI) is ahead of UTC, in seconds.",
            f64::from(clock.tai),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::collector::seen_by;

    fn value(clock: &Clock, name: &str) -> f64 {
        families(clock).iter().find(|family| family.1 == name).unwrap().3
    }

    #[test]
    fn the_kernel_answers() {
        let (out, ended) = seen_by(&mut Timex::new(&Settings::below("/nowhere".as_ref())));
        match ended {
            Ok(()) => {
                assert_eq!(out.0.len(), 17);
                assert!(out.value("node_timex_tick_seconds", "").unwrap() > 0.008, "10 ms, and 10 % up or down");
            }
            // In a container that forbids it.
            Err(error) => assert!(matches!(error, CollectError::Absent(_)), "{error}"),
        }
    }

    #[test]
    fn units_follow_the_status() {
        let micro = Clock { offset: 1500.0, jitter: 3.0, ..Clock::default() };
        assert_eq!(value(&micro, "node_timex_offset_seconds"), 0.0015);
        assert_eq!(value(&micro, "node_timex_pps_jitter_seconds"), 3e-6);
        let nano = Clock { status: 0x2001, ..micro };
        assert_eq!(value(&nano, "node_timex_offset_seconds"), 1.5e-6);
        assert_eq!(value(&nano, "node_timex_status"), 8193.0);
    }

    #[test]
    fn a_clock_that_nothing_corrects_says_so() {
        let free = Clock { state: UNSYNCHRONIZED, max_error: 16e6, ..Clock::default() };
        assert_eq!(value(&free, "node_timex_sync_status"), 0.0);
        assert_eq!(value(&free, "node_timex_maxerror_seconds"), 16.0);
        // Leap seconds and the like are states of a clock that is right.
        for state in 0..UNSYNCHRONIZED {
            assert_eq!(value(&Clock { state, ..Clock::default() }, "node_timex_sync_status"), 1.0);
        }
    }

    #[test]
    fn a_frequency_is_a_ratio() {
        let fast = Clock { frequency: 65536.0 * 10.0, ..Clock::default() };
        assert_eq!(value(&fast, "node_timex_frequency_adjustment_ratio"), 1.00001);
    }
}
