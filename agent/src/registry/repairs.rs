//! Putting again what was altered, but not in a loop: whoever alters a key as fast as it is put again is most likely
//! another agent with our identity (a copied state directory on a machine with the same machine id).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The pause after a first repair of a key; it doubles with each that follows soon.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// Repairs that lie further apart have nothing to do with each other.
const SOON: Duration = Duration::from_secs(300);
/// So many soon after each other are no accident.
const FIGHT: u32 = 6;

#[derive(Debug, Clone, Copy)]
struct Repair {
    count: u32,
    last: Instant,
}

impl Repair {
    fn pause(self) -> Duration {
        FIRST.saturating_mul(1 << self.count.min(16)).min(LONGEST)
    }
}

/// What was repaired lately.
#[derive(Debug, Default)]
pub struct Repairs(BTreeMap<String, Repair>);

/// Whether a key may be put again now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Now,
    /// Now, and somebody is to be told: it was altered again and again.
    Fight,
    Later,
}

impl Repairs {
    pub fn may(&mut self, key: &str, now: Instant) -> Allowed {
        self.0.retain(|_, repair| now.saturating_duration_since(repair.last) < SOON);
        let Some(repair) = self.0.get_mut(key) else {
            self.0.insert(key.to_owned(), Repair { count: 1, last: now });
            return Allowed::Now;
        };
        if now.saturating_duration_since(repair.last) < repair.pause() {
            return Allowed::Later;
        }
        *repair = Repair { count: repair.count.saturating_add(1), last: now };
        if repair.count == FIGHT { Allowed::Fight } else { Allowed::Now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fight_slows_down_and_is_said_once() {
        let (mut repairs, mut now) = (Repairs::default(), Instant::now());
        assert_eq!(repairs.may("k", now), Allowed::Now);
        assert_eq!(repairs.may("k", now), Allowed::Later);
        assert_eq!(repairs.may("other", now), Allowed::Now);
        let mut said = 0;
        for _ in 0..20 {
            now += LONGEST;
            match repairs.may("k", now) {
                Allowed::Fight => said += 1,
                verdict => assert_eq!(verdict, Allowed::Now),
            }
            assert_eq!(repairs.may("k", now + FIRST), Allowed::Later);
        }
        assert_eq!(said, 1);
        assert_eq!(repairs.may("k", now + SOON), Allowed::Now);
        assert_eq!(repairs.may("k", now + SOON + FIRST * 2), Allowed::Now, "it begins anew");
    }
}
