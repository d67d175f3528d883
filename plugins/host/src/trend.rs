//! When a file system will be full, if it goes on filling as it did.
//!
//! A history is looked at through windows of many lengths, each for itself:
//!
//! - A window is divided into [`BUCKETS`], of which each gives its lowest point: what is written and deleted again
//!   within a bucket is not seen.
//! - Of the slopes between all pairs of points (Theil and Sen) that one counts which [`AGREE`] of them reach. The
//!   median of the textbook would take one large file in the middle of a window for a slope.
//! - **A window of a day sees a day ahead.** What would be full later than the window is long is not said.
//! - It must be a new low: where there was as little room before, within two more lengths of the window and at least
//!   within a day, room comes back here. That leaves saw-teeth alone (logs that are rotated, spools that are emptied,
//!   what a working day brings) once one was seen, or if they leave a third of their height free.
//!
//! So a fill that lasts is told when at the latest about a third of it is left, or as early as was asked for; and what
//! happened once (a large file written or deleted) is never told.

use std::time::Duration;

/// Free space at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// Milliseconds since boot.
    pub(crate) at: u64,
    /// KiB.
    pub(crate) free: u64,
}

pub(crate) const BUCKETS: usize = 12;
/// Buckets that must have a point: an agent that was away for a while does not matter.
const NEEDED: usize = 8;
/// The share of pairs between which space was lost at least that fast.
const AGREE: f64 = 0.65;
/// Each window is so much longer than the one before.
const LONGER: f64 = 1.25;
/// How much lower than before is a new low, in parts of what the window lost.
const NEW_LOW: f64 = 0.25;
/// Where it is looked for room that came back, in lengths of the window. What lies just within it counts too: points
/// of that age lie a tenth of it apart.
const LOOK_FROM: f64 = 0.75;
pub(crate) const LOOK_BACK: f64 = 3.0;
/// However short the window is: most of what comes and goes does so once a day. Four hours more, because points of that
/// age lie so far apart, and the lowest of a day ago counts a while after today's, too.
pub(crate) const LOOK_BACK_LEAST: Duration = Duration::from_secs(28 * 3600);

/// How long a history must be, and how far ahead is looked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    pub(crate) needs: Duration,
    pub(crate) ahead: Duration,
}

/// The time until `free` KiB are used up; none where that is not to be expected within the horizon. `points` are in
/// the order of time.
pub(crate) fn full_in(points: &[Point], at: u64, free: u64, horizon: Horizon) -> Option<Duration> {
    let (needs, ahead) = (millis(horizon.needs), millis(horizon.ahead));
    let history = age(points.first()?, at);
    let longest = needs.max(ahead);
    let shorter = std::iter::successors(Some(needs), |window| Some(window * LONGER));
    let windows = shorter.take_while(|window| *window < longest).chain([longest]).filter(|window| *window <= history);
    let expected = windows.filter_map(|window| left(points, at, free, window)).filter(|left| *left <= ahead);
    expected.reduce(f64::min).map(|left| Duration::from_secs_f64(left / 1000.0))
}

/// Milliseconds until it is full, as one window sees it.
fn left(points: &[Point], at: u64, free: u64, window: f64) -> Option<f64> {
    let lows = lows(points, at, window);
    if lows.len() < NEEDED {
        return None;
    }
    let loss = loss(&lows).filter(|loss| *loss > 0.0)?;
    let free = float(free);
    let left = free / loss;
    let new_low = free + NEW_LOW * loss * window;
    let looked_at = window * LOOK_FROM..(window * LOOK_BACK).max(millis(LOOK_BACK_LEAST));
    let mut older = points.iter().filter(|point| looked_at.contains(&age(point, at)));
    let room_comes_back = older.any(|point| float(point.free) <= new_low);
    (left <= window && !room_comes_back).then_some(left)
}

/// The lowest point of each bucket of the window that has one.
fn lows(points: &[Point], at: u64, window: f64) -> Vec<Point> {
    let mut lows: Vec<(usize, Point)> = Vec::with_capacity(BUCKETS);
    for point in points.iter().rev() {
        let bucket = bucket(age(point, at), window);
        if bucket >= BUCKETS {
            break;
        }
        match lows.last_mut() {
            Some((last, low)) if *last == bucket => {
                if point.free < low.free {
                    *low = *point;
                }
            }
            _ => lows.push((bucket, *point)),
        }
    }
    lows.into_iter().map(|(_, point)| point).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ages are positive, and it saturates")]
fn bucket(age: f64, window: f64) -> usize {
    (age / window * float(BUCKETS as u64)) as usize
}

/// KiB lost in a millisecond, or more, by most pairs. The points are newest first.
fn loss(points: &[Point]) -> Option<f64> {
    let mut losses: Vec<f64> = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, newer) in points.iter().enumerate() {
        let older = points.iter().skip(index + 1).filter(|older| older.at < newer.at);
        losses.extend(older.map(|older| (float(older.free) - float(newer.free)) / float(newer.at - older.at)));
    }
    losses.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small length")]
    let rank = (float(losses.len() as u64) * (1.0 - AGREE)) as usize;
    losses.get(rank).copied()
}

/// Zero for a point that is not older.
fn age(point: &Point, at: u64) -> f64 {
    float(at.saturating_sub(point.at))
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "neither times nor sizes come near 2^53 here, and near is enough")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HORIZON: Horizon = Horizon { needs: Duration::from_secs(1800), ahead: Duration::from_secs(86_400) };

    /// Free space by minute, and what is expected of it at its end.
    fn expected(minutes: u64, step: u64, free: impl Fn(u64) -> u64) -> Option<u64> {
        let points: Vec<Point> =
            (0..=minutes).step_by(step as usize).map(|m| Point { at: m * MINUTE, free: free(m) }).collect();
        let last = points.last().unwrap();
        full_in(&points, last.at, last.free, HORIZON).map(|left| left.as_secs() / 60)
    }

    #[test]
    fn a_steady_fill_is_told_once_half_of_it_is_seen() {
        let fill = |m: u64| 1_000_000 - m * 1000;
        assert_eq!(expected(400, 1, fill), None);
        // Half of the way: what was seen is as long as what is left, and no window is much shorter than that.
        assert_eq!(expected(600, 1, fill), Some(400));
        assert_eq!(expected(900, 1, fill), Some(100));
    }

    #[test]
    fn a_history_must_be_as_long_as_is_needed() {
        let fast = |m: u64| 100_000 - m * 2000;
        assert_eq!(expected(29, 1, fast), None);
        assert_eq!(expected(31, 1, fast), Some(19));
        assert_eq!(expected(40, 8, fast), None, "six points");
    }

    #[test]
    fn constant_and_shrinking_use_is_never_told() {
        assert_eq!(expected(3000, 5, |_| 5), None);
        assert_eq!(expected(3000, 5, |m| 5 + m), None);
        assert_eq!(full_in(&[], 7, 0, HORIZON), None);
    }

    #[test]
    fn a_large_file_is_no_slope_wherever_it_was_written() {
        for written in (0..3000).step_by(100) {
            assert_eq!(expected(3000, 5, |m| if m < written { 1000 } else { 50 }), None, "at {written}");
            assert_eq!(expected(3000, 5, |m| if m < written { 50 } else { 1000 }), None, "deleted at {written}");
            assert_eq!(expected(3000, 5, |m| if m / 30 == written / 30 { 5 } else { 1000 }), None, "both at {written}");
        }
    }

    #[test]
    fn logs_that_are_rotated_are_no_slope() {
        for period in [10, 60, 360, 1440] {
            // A third of the height stays free; the first tooth has no precedent.
            let free = |m: u64| (period - m % period) * 100 + period * 40;
            for end in (period..4 * period).step_by(period as usize / 10) {
                assert_eq!(expected(end, 1, free), None, "rotated every {period} min, at {end}");
            }
        }
    }

    #[test]
    fn a_fill_that_begins_after_days_of_nothing_is_told() {
        let free = |m: u64| 1_000_000 - m.saturating_sub(4000) * 5000;
        assert_eq!(expected(4060, 1, free), None);
        // 200 minutes from the first byte to the last.
        assert!(expected(4130, 1, free).is_some_and(|left| left.abs_diff(70) <= 5));
    }
}
