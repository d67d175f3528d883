//! Counters of two moments. A rate needs both, and a run sees only one: the other comes from the check's state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The counters of the latest sample, and of the one before. Runs may be closer together than samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair<T> {
    /// When, since boot.
    boot: Duration,
    latest: T,
    before: Option<(Duration, T)>,
}

impl<T: Clone> Pair<T> {
    /// Takes in a sample. Where it does not continue what was there (another boot, counters that went back) it is the
    /// first one.
    pub(crate) fn next(old: Option<Self>, boot: Duration, seen: T, continues: impl Fn(&T, &T) -> bool) -> Self {
        match old {
            Some(old) if old.boot == boot => old,
            Some(old) if old.boot < boot && continues(&old.latest, &seen) => {
                Self { boot, latest: seen, before: Some((old.boot, old.latest)) }
            }
            _ => Self { boot, latest: seen, before: None },
        }
    }

    /// Before, now, and the time between them.
    pub(crate) fn both(&self) -> Option<(&T, &T, Duration)> {
        let (boot, before) = self.before.as_ref()?;
        Some((before, &self.latest, self.boot.saturating_sub(*boot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(old: Option<Pair<u32>>, boot: u64, seen: u32) -> Pair<u32> {
        Pair::next(old, Duration::from_secs(boot), seen, |before, now| now >= before)
    }

    #[test]
    fn two_samples_make_a_pair_and_the_same_one_again_changes_nothing() {
        let first = next(None, 10, 1);
        assert_eq!(first.both(), None);
        let second = next(Some(first), 15, 3);
        assert_eq!(second.both(), Some((&1, &3, Duration::from_secs(5))));
        assert_eq!(next(Some(second.clone()), 15, 3), second);
        assert_eq!(next(Some(second), 20, 4).both(), Some((&3, &4, Duration::from_secs(5))));
    }

    #[test]
    fn another_boot_and_counters_that_went_back_start_anew() {
        let old = next(Some(next(None, 10, 1)), 15, 3);
        assert_eq!(next(Some(old.clone()), 3, 4).both(), None);
        assert_eq!(next(Some(old), 20, 2).both(), None);
    }
}
