//! When the next report is due, and why. Pure: it is told what time it is.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::snapshot::HealthSnapshot;

/// Changes within this are one report.
pub const SETTLE: Duration = Duration::from_secs(1);
/// The first report waits so long for the first verdicts.
const FIRST: Duration = Duration::from_secs(10);

/// Why a report was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The first of this agent's life.
    Start,
    Interval,
    /// A verdict, a service's status or maintenance changed.
    Change,
    /// The last one: the agent stops or hands over.
    Stop,
}

#[derive(Debug)]
pub struct Trigger {
    interval: Duration,
    started: bool,
    next: Instant,
    /// When what has changed is reported.
    settled: Option<Instant>,
}

impl Trigger {
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, started: false, next: now + interval.min(FIRST), settled: None }
    }

    /// The first verdicts are in: nothing more is to be waited for.
    pub fn complete(&mut self, now: Instant) {
        if !self.started {
            self.next = self.next.min(now);
        }
    }

    /// What is known differs (or not any more) from what was reported last.
    pub fn differs(&mut self, differs: bool, now: Instant) {
        match (differs && self.started, self.settled) {
            (true, None) => self.settled = Some(now + SETTLE),
            (true, Some(_)) => {}
            (false, _) => self.settled = None,
        }
    }

    /// When to ask again.
    pub fn at(&self) -> Instant {
        self.settled.map_or(self.next, |settled| settled.min(self.next))
    }

    /// The report that is due now, which is taken as made.
    pub fn due(&mut self, now: Instant) -> Option<Reason> {
        if self.next <= now {
            let first = !std::mem::replace(&mut self.started, true);
            self.settled = None;
            // After a pause of the whole host one report is enough.
            self.next = if first || self.next + self.interval <= now { now } else { self.next } + self.interval;
            return Some(if first { Reason::Start } else { Reason::Interval });
        }
        self.settled.take_if(|settled| *settled <= now).map(|_| Reason::Change)
    }
}

/// Does `next` say something else than `last` that is worth a report of its own? Ages, messages and numbers are not.
pub fn is_change(last: &HealthSnapshot, next: &HealthSnapshot) -> bool {
    let checks = || {
        last.checks.iter().zip(&next.checks).all(|((name, was), (other, is))| {
            name == other && (was.shown, was.reason, was.verdict.status) == (is.shown, is.reason, is.verdict.status)
        })
    };
    let services = || {
        last.services.iter().zip(&next.services).all(|((name, was), (other, is))| {
            name == other && was.status() == is.status() && was.maintenance == is.maintenance
        })
    };
    let counts = (last.checks.len(), last.services.len()) == (next.checks.len(), next.services.len());
    !(counts && last.overall == next.overall && checks() && services())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::maintenance::Maintenance;
    use crate::model::outcome::Status;
    use crate::model::snapshot::{Aggregate, CheckView, ServiceView, Shown};
    use crate::model::testing::{at, definition, name, service};
    use crate::model::verdict::Verdict;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_waits_for_verdicts_but_not_for_ever() {
        let begun = Instant::now();
        let mut trigger = Trigger::new(MINUTE, begun);
        trigger.differs(true, begun);
        assert_eq!(trigger.due(begun + SECOND), None, "before the first there is nothing to change");
        assert_eq!(trigger.due(begun + FIRST), Some(Reason::Start));
        assert_eq!(trigger.at(), begun + FIRST + MINUTE);
        let mut trigger = Trigger::new(MINUTE, begun);
        trigger.complete(begun + SECOND);
        assert_eq!(trigger.due(begun + SECOND), Some(Reason::Start));
        trigger.complete(begun + SECOND * 2);
        assert_eq!(trigger.due(begun + MINUTE), None);
        assert_eq!(trigger.due(begun + SECOND + MINUTE), Some(Reason::Interval));
    }

    fn started(begun: Instant) -> Trigger {
        let mut trigger = Trigger::new(MINUTE, begun);
        trigger.complete(begun);
        assert_eq!(trigger.due(begun), Some(Reason::Start));
        trigger
    }

    #[test]
    fn a_burst_of_changes_is_one_report() {
        let begun = Instant::now();
        let mut trigger = started(begun);
        for tenth in 0..8 {
            trigger.differs(true, begun + Duration::from_millis(100 * tenth));
        }
        assert_eq!(trigger.due(begun + Duration::from_millis(999)), None);
        assert_eq!(trigger.due(begun + SETTLE), Some(Reason::Change));
        assert_eq!(trigger.due(begun + SETTLE * 2), None);
        trigger.differs(true, begun + SETTLE * 2);
        trigger.differs(false, begun + SETTLE * 2);
        assert_eq!(trigger.due(begun + SETTLE * 4), None, "it is again as it was reported");
    }

    #[test]
    fn the_clock_keeps_its_step_and_skips_what_was_slept_through() {
        let begun = Instant::now();
        let mut trigger = started(begun);
        assert_eq!(trigger.due(begun + MINUTE + SECOND), Some(Reason::Interval));
        assert_eq!(trigger.at(), begun + MINUTE * 2, "late by a second is no new step");
        assert_eq!(trigger.due(begun + MINUTE * 9), Some(Reason::Interval));
        assert_eq!(trigger.due(begun + MINUTE * 9), None);
        assert_eq!(trigger.at(), begun + MINUTE * 10);
    }

    fn snapshot(status: Status, maintenance: Option<&str>) -> HealthSnapshot {
        let verdict = Verdict { status: Some(status), ..Verdict::default() };
        let view = CheckView {
            notice: None,
            definition: Arc::new(definition("app", &["shop"])),
            verdict: Arc::new(verdict),
            shown: Shown::from(status),
            reason: None,
            counts: Aggregate::Up,
        };
        let order = |reason: &str| Maintenance { reason: reason.to_owned(), since: at(1), until: None };
        let service = ServiceView {
            definition: Arc::new(service("shop")),
            aggregate: Aggregate::Up,
            since: at(1),
            registrable: true,
            decided: true,
            checks: vec![name("app")],
            maintenance: maintenance.map(order),
        };
        HealthSnapshot {
            checks: [(name("app"), view)].into(),
            services: [(name("shop"), service)].into(),
            loaded: true,
            overall: Aggregate::Up,
            at: at(1),
        }
    }

    #[test]
    fn verdicts_and_maintenance_are_changes_and_ages_are_not() {
        let before = snapshot(Status::Up, None);
        let mut older = before.clone();
        older.at = at(99);
        assert!(!is_change(&before, &older));
        assert!(is_change(&before, &snapshot(Status::Down, None)));
        assert!(is_change(&before, &snapshot(Status::Up, Some("disk"))));
        assert!(is_change(&snapshot(Status::Up, Some("disk")), &snapshot(Status::Up, Some("fan"))));
        let fewer = HealthSnapshot { checks: [].into(), ..before.clone() };
        assert!(is_change(&before, &fewer) && is_change(&fewer, &before));
        let stale = |shown| {
            let mut snapshot = before.clone();
            snapshot.checks.values_mut().for_each(|view| (view.shown, view.reason) = (shown, Some("stale")));
            snapshot
        };
        assert!(is_change(&before, &stale(Shown::Unknown)));
    }
}
