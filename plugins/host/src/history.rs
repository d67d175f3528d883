//! What the trend remembers of each mount: points that lie the further apart the older they are.
//!
//! Of two points too close together the lower one stays, so that what was lost once is not forgotten by thinning. All
//! of it together must fit into a check's state: the number of mounts and of points is bounded, and where there are
//! many mounts each has fewer points.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mounts::Mount;
use crate::trend::{BUCKETS, Horizon, LOOK_BACK, LOOK_BACK_LEAST, Point, full_in};

/// Mounts that are watched.
pub(crate) const MAX_MOUNTS: usize = 32;
/// Of all mounts together. A point is at most 22 bytes long, mostly 12; a state may have 64 KiB.
const MAX_POINTS: usize = 2_500;
/// A point for each so-manieth part of its age.
const DENSITY: u64 = 10;
/// Where there are more mounts than this, points lie further apart.
const FEW_MOUNTS: u64 = 20;
/// A mount whose size changed by a larger part than this was resized or replaced.
const RESIZED: f64 = 0.01;
/// A mount that was away for longer is forgotten.
const FORGOTTEN: u64 = 3600 * 1000;

/// The histories of all mounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histories {
    /// The latest sample: milliseconds since boot.
    at: u64,
    mounts: Vec<History>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
struct History {
    /// Of mount point, device and type: what is mounted here another time is something else.
    mount: u64,
    /// KiB.
    size: u64,
    points: Vec<Point>,
}

/// What one mount comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trend {
    /// There are more mounts than are watched.
    Unwatched,
    /// So long it has been watched, which is too short.
    Short(Duration),
    /// It will not be full within the horizon.
    Holds,
    FullIn(Duration),
}

impl Histories {
    /// Takes in a sample, and tells of each mount what is to be expected. The same sample again changes nothing.
    pub(crate) fn follow(&mut self, boot: Duration, mounts: &[&Mount], horizon: Horizon) -> Vec<Trend> {
        let at = u64::try_from(boot.as_millis()).unwrap_or(u64::MAX);
        if at < self.at {
            // Another boot: there is no telling how long ago the points were.
            *self = Self::default();
        }
        if at > self.at || self.mounts.is_empty() {
            self.at = at;
            self.forget(mounts);
            mounts.iter().for_each(|mount| self.add(mount));
            self.thin(horizon);
        }
        mounts.iter().map(|mount| self.trend(mount, horizon)).collect()
    }

    /// Those that have been away for long; for new ones, those that are away at all.
    fn forget(&mut self, mounts: &[&Mount]) {
        let present: Vec<u64> = mounts.iter().map(|mount| identity(mount)).collect();
        let at = self.at;
        let gone = self.mounts.iter().filter(|history| !present.contains(&history.mount)).count();
        let crowded = present.len() + gone > MAX_MOUNTS;
        self.mounts.retain(|history| {
            let away = at.saturating_sub(history.points.last().map_or(0, |point| point.at));
            present.contains(&history.mount) || (!crowded && away <= FORGOTTEN)
        });
    }

    fn add(&mut self, mount: &Mount) {
        let (id, size) = (identity(mount), kib(mount.size));
        let point = Point { at: self.at, free: kib(mount.available) };
        let new = History { mount: id, size, points: vec![point] };
        let room = self.mounts.len() < MAX_MOUNTS;
        match self.mounts.iter_mut().find(|history| history.mount == id) {
            Some(history) if history.is_of(size) => {
                history.size = size;
                history.points.push(point);
            }
            Some(history) => *history = new,
            None if room => self.mounts.push(new),
            None => {}
        }
    }

    fn thin(&mut self, horizon: Horizon) {
        let count = self.mounts.len().max(1);
        let density = (DENSITY * FEW_MOUNTS / count as u64).clamp(1, DENSITY);
        let apart = Apart::new(horizon, density);
        for history in &mut self.mounts {
            history.thin(self.at, apart, MAX_POINTS / count);
        }
    }

    fn trend(&self, mount: &Mount, horizon: Horizon) -> Trend {
        // What is full loses nothing any more, and would look well. It needs no history, either.
        if kib(mount.available) == 0 {
            return Trend::FullIn(Duration::ZERO);
        }
        let id = identity(mount);
        let Some(history) = self.mounts.iter().find(|history| history.mount == id) else { return Trend::Unwatched };
        let first = history.points.first().map_or(self.at, |point| point.at);
        let seen = Duration::from_millis(self.at.saturating_sub(first));
        match full_in(&history.points, self.at, kib(mount.available), horizon) {
            Some(left) => Trend::FullIn(left),
            None if seen < horizon.needs => Trend::Short(seen),
            None => Trend::Holds,
        }
    }
}

/// How close together points may lie, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Apart {
    /// However young they are: fine enough for the shortest window.
    least: u64,
    /// A part of their age.
    part: u64,
    /// What is older is of no use.
    oldest: u64,
}

impl Apart {
    fn new(horizon: Horizon, density: u64) -> Self {
        let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let needs = millis(horizon.needs);
        let oldest = horizon.needs.max(horizon.ahead).mul_f64(LOOK_BACK).max(LOOK_BACK_LEAST);
        // A little more than the longest window, so that it is not always just short of one.
        Self { least: needs / BUCKETS as u64, part: density, oldest: millis(oldest + horizon.needs) }
    }
}

impl History {
    /// The size may drift: pools share their space.
    #[expect(clippy::cast_precision_loss, reason = "a part of it matters")]
    fn is_of(&self, size: u64) -> bool {
        self.size.abs_diff(size) as f64 <= self.size as f64 * RESIZED
    }

    fn thin(&mut self, now: u64, apart: Apart, most: usize) {
        let mut kept: Vec<Point> = Vec::with_capacity(self.points.len());
        for point in self.points.drain(..).filter(|point| now.saturating_sub(point.at) <= apart.oldest) {
            let allowed = apart.least.max(now.saturating_sub(point.at) / apart.part.max(1));
            match kept.as_mut_slice() {
                [.., before, last] if point.at.saturating_sub(before.at) <= allowed => {
                    if point.free <= last.free {
                        *last = point;
                    }
                }
                _ => kept.push(point),
            }
        }
        kept.drain(..kept.len().saturating_sub(most));
        self.points = kept;
    }
}

/// FNV-1a: stable over versions of the compiler, which hashes of the standard library are not.
fn identity(mount: &Mount) -> u64 {
    let parts = [&mount.point, &mount.device, &mount.kind];
    let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and NaN is 0")]
fn kib(bytes: f64) -> u64 {
    (bytes / 1024.0) as u64
}

/// As it is kept: each point as the difference to the one before, so that it is short.
#[derive(Serialize, Deserialize)]
struct Packed {
    #[serde(rename = "m")]
    mount: u64,
    #[serde(rename = "s")]
    size: u64,
    #[serde(rename = "p")]
    points: Vec<i64>,
}

impl From<History> for Packed {
    fn from(history: History) -> Self {
        let mut points = Vec::with_capacity(history.points.len() * 2);
        let mut before = Point { at: 0, free: 0 };
        for point in history.points {
            points.push(point.at.wrapping_sub(before.at).cast_signed());
            points.push(point.free.wrapping_sub(before.free).cast_signed());
            before = point;
        }
        Self { mount: history.mount, size: history.size, points }
    }
}

impl From<Packed> for History {
    fn from(packed: Packed) -> Self {
        let mut points = Vec::with_capacity(packed.points.len() / 2);
        let mut before = Point { at: 0, free: 0 };
        for pair in packed.points.as_chunks::<2>().0 {
            let [at, free] = pair.map(i64::cast_unsigned);
            before = Point { at: before.at.wrapping_add(at), free: before.free.wrapping_add(free) };
            points.push(before);
        }
        Self { mount: packed.mount, size: packed.size, points }
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
