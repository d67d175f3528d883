#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a test"
)]

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3600;
const HORIZON: Horizon = Horizon { needs: Duration::from_secs(HOUR / 2), ahead: Duration::from_secs(24 * HOUR) };
const GIB: f64 = (1_u64 << 30) as f64;
const SIZE: f64 = 1000.0 * GIB;

/// One mount, looked at every `step` seconds; the state goes through its stored form at each.
struct Life {
    histories: Histories,
    second: u64,
    step: u64,
}

impl Life {
    fn new(step: u64) -> Self {
        Self { histories: Histories::default(), second: 1000, step }
    }

    fn look(&mut self, available: f64) -> Trend {
        self.second += self.step;
        let stored = serde_json::to_string(&self.histories).unwrap();
        self.histories = serde_json::from_str(&stored).unwrap();
        let mount = Mount::of("/var", SIZE, available);
        self.histories.follow(Duration::from_secs(self.second), &[&mount], HORIZON)[0]
    }

    /// What was ever expected, with the second that has passed and what was expected.
    fn alarms(&mut self, seconds: u64, free: impl Fn(f64) -> f64) -> Vec<(u64, Duration)> {
        let looks = 0..seconds / self.step;
        let step = self.step;
        looks
            .filter_map(|n| match self.look(free((n * step) as f64)) {
                Trend::FullIn(left) => Some((n * step, left)),
                _ => None,
            })
            .collect()
    }
}

/// The same for the same moment, between -1 and 1.
fn noise(seed: u64, second: f64) -> f64 {
    let mut x = (second as u64 ^ seed.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x >> 11) as f64 / (1_u64 << 53) as f64) * 2.0 - 1.0
}

#[test]
fn it_says_how_long_it_has_watched() {
    let mut life = Life::new(60);
    assert_eq!(life.look(GIB), Trend::Short(Duration::ZERO));
    assert_eq!(life.look(GIB), Trend::Short(Duration::from_secs(60)));
    for _ in 0..30 {
        life.look(GIB);
    }
    assert_eq!(life.look(GIB), Trend::Holds);
    assert_eq!(life.look(0.0), Trend::FullIn(Duration::ZERO));
}

#[test]
fn another_boot_another_size_and_another_device_start_anew() {
    let watched = || {
        let mut life = Life::new(60);
        for _ in 0..40 {
            life.look(GIB);
        }
        life
    };
    let follow = |life: &mut Life, second, mount: &Mount| {
        life.histories.follow(Duration::from_secs(second), &[mount], HORIZON)[0]
    };
    let same = Mount::of("/var", SIZE, GIB);
    let second = 1000 + 41 * 60;
    assert_eq!(follow(&mut watched(), second, &same), Trend::Holds);
    assert_eq!(follow(&mut watched(), 50, &same), Trend::Short(Duration::ZERO));
    let resized = Mount { size: SIZE * 1.5, ..same.clone() };
    assert_eq!(follow(&mut watched(), second, &resized), Trend::Short(Duration::ZERO));
    let drifted = Mount { size: SIZE * 1.005, ..same.clone() };
    assert_eq!(follow(&mut watched(), second, &drifted), Trend::Holds);
    let replaced = Mount { device: "/dev/other".into(), ..same };
    assert_eq!(follow(&mut watched(), second, &replaced), Trend::Short(Duration::ZERO));
}

#[test]
fn a_mount_that_is_away_for_a_moment_is_remembered() {
    let mut life = Life::new(60);
    for _ in 0..40 {
        life.look(GIB);
    }
    let other = Mount::of("/", SIZE, GIB);
    life.histories.follow(Duration::from_secs(life.second + 60), &[&other], HORIZON);
    life.second += 120;
    assert_eq!(life.look(GIB), Trend::Holds);
    life.histories.follow(Duration::from_secs(life.second + 2 * HOUR), &[&other], HORIZON);
    life.second += 3 * HOUR;
    assert_eq!(life.look(GIB), Trend::Short(Duration::ZERO));
}

#[test]
fn many_mounts_are_no_reason_to_forget_one_that_is_away_for_a_moment() {
    let mounts: Vec<Mount> = (0..20).map(|n| Mount::of(&format!("/{n}"), SIZE, GIB)).collect();
    let all: Vec<&Mount> = mounts.iter().collect();
    let mut histories = Histories::default();
    let mut follow = |second, mounts: &[&Mount]| histories.follow(Duration::from_secs(second), mounts, HORIZON);
    for n in 0..40 {
        follow(1000 + n * 60, &all);
    }
    follow(1000 + 40 * 60, &all[1..]);
    assert_eq!(follow(1000 + 41 * 60, &all)[0], Trend::Holds);
}

#[test]
fn a_full_mount_is_told_even_if_it_is_not_watched() {
    let mut mounts: Vec<Mount> = (0..40).map(|n| Mount::of(&format!("/{n}"), SIZE, GIB)).collect();
    mounts[39].available = 0.0;
    let mounts: Vec<&Mount> = mounts.iter().collect();
    let trends = Histories::default().follow(Duration::from_secs(1), &mounts, HORIZON);
    assert_eq!((trends[38], trends[39]), (Trend::Unwatched, Trend::FullIn(Duration::ZERO)));
}

#[test]
fn the_same_sample_again_changes_nothing() {
    let mut life = Life::new(60);
    for n in 0..40 {
        life.look(SIZE - f64::from(n) * GIB);
    }
    let before = life.histories.clone();
    let mount = Mount::of("/var", SIZE, GIB);
    life.histories.follow(Duration::from_secs(life.second), &[&mount], HORIZON);
    assert_eq!(life.histories, before);
}

/// Sizes that leap between petabytes, so that differences are long.
#[test]
fn the_state_never_outgrows_its_cap() {
    let longest = Horizon { needs: Duration::from_secs(60), ahead: Duration::from_secs(90 * 24 * HOUR) };
    for count in [1, 20, 32, 50] {
        let mut histories = Histories::default();
        let mut most = 0;
        for n in 0..600_u64 {
            let free = |mount: usize| noise(mount as u64, n as f64).abs() * 8e15;
            let mounts: Vec<Mount> =
                (0..count).map(|mount| Mount::of(&format!("/{mount}"), 1e16, free(mount))).collect();
            let mounts: Vec<&Mount> = mounts.iter().collect();
            let second = 100_000_000 + n * if n < 200 { 7 } else { 3 * HOUR };
            let trends = histories.follow(Duration::from_secs(second), &mounts, longest);
            let unwatched = trends.iter().filter(|trend| **trend == Trend::Unwatched).count();
            assert_eq!(unwatched, count.saturating_sub(MAX_MOUNTS));
            if n % 50 == 0 {
                most = most.max(serde_json::to_string(&histories).unwrap().len());
            }
        }
        assert!(most < 63 * 1024, "{most} bytes for {count} mounts");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn packing_loses_nothing(values in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20)) {
        let points = values.into_iter().map(|(at, free)| Point { at, free }).collect();
        let history = History { mount: u64::MAX, size: 7, points };
        let back: History = serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
        prop_assert_eq!(back, history);
    }

    #[test]
    fn constant_use_with_noise_is_never_told(
        seed in any::<u64>(), free in 1.0..900.0_f64, rough in 0.0..0.2_f64, step in 10..600_u64,
    ) {
        let alarms = Life::new(step).alarms(step * 400, |second| free * GIB * (1.0 - rough * noise(seed, second)));
        prop_assert!(alarms.is_empty(), "{:?}", alarms.first());
    }

    #[test]
    fn shrinking_use_is_never_told(
        seed in any::<u64>(), rate in 0.0..10.0_f64, rough in 0.0..0.2_f64, step in 10..600_u64,
    ) {
        // GiB an hour come back.
        let free = |second: f64| (100.0 + rate * second / 3600.0) * GIB * (1.0 - rough * noise(seed, second));
        let alarms = Life::new(step).alarms(step * 400, free);
        prop_assert!(alarms.is_empty(), "{:?}", alarms.first());
    }

    #[test]
    fn a_steady_fill_is_told_in_time(
        seed in any::<u64>(), hours in 3.0..200.0_f64, quiet in 0.0..50.0_f64, rough in 0.0..0.03_f64,
    ) {
        let (seconds, quiet) = (hours * 3600.0, quiet * 3600.0);
        let step = ((seconds + quiet) / 700.0).clamp(10.0, 300.0) as u64;
        let free = |second: f64| {
            let left = (1.0 - (second - quiet).max(0.0) / seconds).max(0.001);
            500.0 * GIB * (left + rough * noise(seed, second)).max(0.001)
        };
        let alarms = Life::new(step).alarms((quiet + seconds) as u64, free);
        let before = |second: u64| quiet + seconds - second as f64;
        let first = alarms.first().map_or(0.0, |(second, _)| before(*second));
        // At the latest with a quarter left; not earlier than asked for, but for the noise.
        let due = (seconds / 4.0).min(18.0 * 3600.0);
        prop_assert!(first >= due, "only {first} s before the end, due {due}");
        prop_assert!(first <= 24.0 * 3600.0 * 1.5, "{first} s before the end");
    }

    #[test]
    fn saw_teeth_are_not_told_once_one_was_seen(
        seed in any::<u64>(), hours in 0.2..30.0_f64, height in 1.0..300.0_f64, rough in 0.0..0.01_f64,
        spare in 0.5..2.0_f64,
    ) {
        let period = hours * 3600.0;
        let step = (period / 60.0).clamp(10.0, 300.0) as u64;
        let free = |second: f64| {
            let tooth = 1.0 - (second % period) / period;
            height * GIB * (tooth + spare + rough * noise(seed, second))
        };
        let alarms = Life::new(step).alarms((period * 5.0) as u64, free);
        let late = alarms.iter().find(|(second, _)| *second as f64 > period);
        prop_assert!(late.is_none(), "{late:?} of a period of {period} s");
        prop_assert!(spare < 1.1 || alarms.is_empty(), "{:?}", alarms.first());
    }

    /// Written from eight to six, and deleted at midnight.
    #[test]
    fn office_days_are_told_on_the_first_at_most(
        seed in any::<u64>(), midnight in 0.0..24.0_f64, height in 1.0..300.0_f64, spare in 0.05..2.0_f64,
        rough in 0.0..0.01_f64,
    ) {
        let free = |second: f64| {
            let hour = (second / 3600.0 + midnight) % 24.0;
            let written = ((hour - 8.0) / 10.0).clamp(0.0, 1.0);
            height * GIB * (1.0 - written + spare + rough * noise(seed, second))
        };
        let alarms = Life::new(300).alarms(5 * 24 * HOUR, free);
        let late = alarms.iter().find(|(second, _)| *second > 28 * HOUR);
        prop_assert!(late.is_none(), "{late:?}");
    }

    #[test]
    fn what_swings_by_the_day_is_told_on_the_first_at_most(
        seed in any::<u64>(), phase in 0.0..1.0_f64, height in 1.0..300.0_f64, spare in 0.05..2.0_f64,
        rough in 0.0..0.01_f64, step in 60..600_u64,
    ) {
        let free = |second: f64| {
            let swing = ((second / 86_400.0 + phase) * std::f64::consts::TAU).sin();
            height * GIB * (1.0 + swing + spare + rough * noise(seed, second))
        };
        let alarms = Life::new(step).alarms(5 * 24 * HOUR, free);
        let late = alarms.iter().find(|(second, _)| *second > 28 * HOUR);
        prop_assert!(late.is_none(), "{late:?}");
    }

    /// An hour of writing each night, kept for half of the day.
    #[test]
    fn nightly_backups_are_told_on_the_first_day_at_most(
        seed in any::<u64>(), phase in 0.0..24.0_f64, spare in 0.05..2.0_f64, rough in 0.0..0.01_f64,
    ) {
        let free = |second: f64| {
            let hour = (second / 3600.0 + phase) % 24.0;
            let written = if hour < 12.0 { hour.min(1.0) } else { 0.0 };
            100.0 * GIB * (1.0 - written + spare + rough * noise(seed, second))
        };
        let alarms = Life::new(120).alarms(4 * 24 * HOUR, free);
        let late = alarms.iter().find(|(second, _)| *second > 28 * HOUR);
        prop_assert!(late.is_none(), "{late:?}");
    }

    #[test]
    fn one_large_file_is_not_told(
        seed in any::<u64>(), step in 30..300_u64, at in 0.0..1.0_f64, part in -5.0..0.9_f64, rough in 0.0..0.01_f64,
    ) {
        let length = step * 500;
        let free = |second: f64| {
            let written = if second < at * length as f64 { 0.0 } else { part };
            100.0 * GIB * (1.0 - written + 0.1 * rough * noise(seed, second))
        };
        let alarms = Life::new(step).alarms(length, free);
        prop_assert!(alarms.is_empty(), "{:?}", alarms.first());
    }
}
