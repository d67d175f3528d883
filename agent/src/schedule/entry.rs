//! One check in the schedule.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::check::Check;
use crate::model::outcome::{Ending, RunReport};

/// After so many faults in a row the interval doubles with each further one.
const PATIENCE: u32 = 5;
/// The interval grows at most to this many times its length.
const MAX_BACKOFF: u32 = 8;

pub struct Entry {
    pub check: Arc<dyn Check>,
    pub due: Instant,
    /// The number of the run that is going on.
    pub running: Option<u64>,
    /// When the last run ended.
    pub ended: Instant,
    /// The run that is going on is about what the check was about before.
    void: bool,
    /// What the checker remembers.
    pub state: Option<Vec<u8>>,
    faults: u32,
}

impl Entry {
    pub fn new(check: Arc<dyn Check>, due: Instant, state: Option<Vec<u8>>) -> Self {
        Self { check, due, running: None, ended: Instant::now(), void: false, state, faults: 0 }
    }

    /// Would runs of `check` be others than ours? Where it stands and what its secrets are now changes nothing of when it
    /// runs.
    pub fn differs(&self, check: &Arc<dyn Check>) -> bool {
        self.check.version() != check.version() || !self.check.definition().is_defined_as(check.definition())
    }

    /// Takes over a check of the same name; true if it is another than before and is to run at once.
    pub fn replace(&mut self, check: Arc<dyn Check>) -> bool {
        let differs = self.differs(&check);
        if !self.check.definition().keeps_state(check.definition()) {
            self.state = None;
            self.void = self.running.is_some();
        }
        if differs {
            self.faults = 0;
        }
        self.check = check;
        differs
    }

    /// Ends the run that is going on; true if its result is of no use.
    pub fn end_run(&mut self, now: Instant) -> bool {
        self.running = None;
        self.ended = now;
        std::mem::take(&mut self.void)
    }

    /// Sets the next due time. What was missed while the agent could not run is not made up for.
    pub fn advance(&mut self, now: Instant) {
        let interval = self.interval();
        let next = self.due + interval;
        self.due = if next > now { next } else { now + interval };
    }

    fn interval(&self) -> Duration {
        let doublings = (self.faults + 1).saturating_sub(PATIENCE).min(MAX_BACKOFF.ilog2());
        self.check.definition().policy.interval * (1 << doublings)
    }

    /// Takes note of how a run ended; true if that moved the due time.
    pub fn note(&mut self, report: &RunReport) -> bool {
        match &report.ending {
            Ending::Judged(outcome) => {
                self.state.clone_from(&outcome.state);
                self.faults = 0;
                false
            }
            Ending::Faulted(fault) if fault.kind == crate::model::outcome::FaultKind::Timeout => {
                self.faults = 0;
                false
            }
            Ending::Faulted(_) => {
                let before = self.interval();
                self.faults = self.faults.saturating_add(1);
                let longer = self.interval().saturating_sub(before);
                self.due += longer;
                !longer.is_zero()
            }
            Ending::NotRun(_) => false,
        }
    }

    /// Brings the next run forward to the retry interval; true if that is sooner.
    pub fn retry_sooner(&mut self) -> bool {
        let retry = self.ended + self.check.definition().policy.retry_interval;
        let sooner = retry < self.due;
        if sooner {
            self.due = retry;
        }
        sooner
    }
}
