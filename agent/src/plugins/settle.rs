//! What was seen of each file, and since when: a file that is wrong may be one that is being written, so it is judged
//! only once a second look, a while later, has seen the same. What is good is not held up by this.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Between the first look and the one that judges: longer than a writer pauses between two blocks.
const SETTLE: Duration = Duration::from_millis(300);
/// The same for the beginning of a component: a slow upload stands still for longer than a block takes.
const UNFINISHED: Duration = Duration::from_secs(3);

/// What a look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saw {
    /// The content's digest, or why it cannot be read.
    pub what: String,
    /// It is the beginning of something.
    pub unfinished: bool,
}

impl Saw {
    fn settles_after(&self) -> Duration {
        if self.unfinished { UNFINISHED } else { SETTLE }
    }
}

#[derive(Debug)]
struct Sight {
    saw: Saw,
    since: Instant,
    settled: bool,
    /// A second look is wanted.
    doubted: bool,
}

/// By path.
#[derive(Debug, Default)]
pub struct Sights(BTreeMap<String, Sight>);

/// When a look began, and when it ended.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub began: Instant,
    pub ended: Instant,
}

impl Sights {
    /// Takes in everything that a look saw. `settled`: somebody says that nobody is writing.
    pub fn take(&mut self, saw: impl Iterator<Item = (String, Saw)>, look: Span, settled: bool) {
        let mut before = std::mem::take(&mut self.0);
        for (path, saw) in saw {
            let mut sight = match before.remove(&path) {
                Some(same) if same.saw == saw => same,
                _ => Sight { saw, since: look.ended, settled: false, doubted: false },
            };
            sight.settled |= settled || look.began >= sight.since + sight.saw.settles_after();
            self.0.insert(path, sight);
        }
    }

    /// May it be judged? If not, it is to be looked at again.
    pub fn may_judge(&mut self, path: &str) -> bool {
        match self.0.get_mut(path) {
            Some(sight) => {
                sight.doubted = true;
                sight.settled
            }
            None => true,
        }
    }

    /// When to look again because of what is in doubt.
    pub fn next(&self) -> Option<Instant> {
        let doubted = self.0.values().filter(|sight| sight.doubted && !sight.settled);
        doubted.map(|sight| sight.since + sight.saw.settles_after()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn saw(what: &str, unfinished: bool) -> Saw {
        Saw { what: what.to_owned(), unfinished }
    }

    fn look(sights: &mut Sights, at: Instant, what: &str, settled: bool) -> bool {
        let saw = [("a".to_owned(), saw(what, false))].into_iter();
        sights.take(saw, Span { began: at, ended: at }, settled);
        sights.may_judge("a")
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_the_same_is_judged_at_the_second_look_and_no_sooner() {
        let (mut sights, start) = (Sights::default(), Instant::now());
        assert!(!look(&mut sights, start, "1", false));
        assert_eq!(sights.next(), Some(start + SETTLE));
        assert!(!look(&mut sights, start + STEP, "1", false));
        assert!(!look(&mut sights, start + 2 * STEP, "2", false), "it changed");
        assert!(!look(&mut sights, start + 4 * STEP, "2", false));
        assert!(look(&mut sights, start + 5 * STEP, "2", false));
        assert_eq!(sights.next(), None);
        assert!(look(&mut sights, start + 6 * STEP, "2", false), "it stays judged");
        assert!(!look(&mut sights, start + 7 * STEP, "3", false));
        assert!(look(&mut sights, start + 7 * STEP, "3", true), "somebody says so");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_the_beginning_of_something_has_more_time() {
        let (mut sights, start) = (Sights::default(), Instant::now());
        for (step, settled) in [(0, false), (20, false), (29, false), (30, true)] {
            let at = start + step * STEP;
            sights.take([("a".to_owned(), saw("1", true))].into_iter(), Span { began: at, ended: at }, false);
            assert_eq!(sights.may_judge("a"), settled, "{step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_took_long_counts_from_its_end() {
        let (mut sights, start) = (Sights::default(), Instant::now());
        let saw = || [("a".to_owned(), saw("1", false))].into_iter();
        sights.take(saw(), Span { began: start, ended: start + 9 * STEP }, false);
        sights.take(saw(), Span { began: start + 10 * STEP, ended: start + 10 * STEP }, false);
        assert!(!sights.may_judge("a"));
        sights.take([].into_iter(), Span { began: start + 11 * STEP, ended: start + 11 * STEP }, false);
        assert_eq!(sights.next(), None, "it is gone");
    }
}
