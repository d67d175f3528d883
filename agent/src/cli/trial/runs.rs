//! Runs, one after the other, and what they took together.

use std::sync::Arc;
use std::time::Duration;

use crate::model::check::Check;
use crate::model::outcome::{Ending, FaultKind, RunReport, Skipped, Status};

use super::super::alone::Alone;
use super::super::{EXIT_UNKNOWN, WORST_FIRST};
use super::eye::Eye;

/// A run that found no room says nothing; it gets another.
const ATTEMPTS: u32 = 3;

/// The last run, and the figures of all.
pub struct Runs {
    pub last: RunReport,
    /// The last one that ended as badly as any.
    pub worst: RunReport,
    durations: Vec<Duration>,
    cpus: Vec<Duration>,
    codes: [u32; 4],
    state: Option<Vec<u8>>,
}

/// Of many figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub min: Duration,
    pub median: Duration,
    pub max: Duration,
}

impl Runs {
    /// None: the sandbox itself failed.
    pub fn run(
        alone: &Alone<'_>,
        check: &Arc<dyn Check>,
        eye: &Eye,
        count: u32,
        state: Option<Vec<u8>>,
    ) -> Option<Self> {
        let none = RunReport::without_sandbox(Ending::NotRun(Skipped::Cancelled));
        let mut runs =
            Self { last: none.clone(), worst: none, durations: Vec::new(), cpus: Vec::new(), codes: [0; 4], state };
        for _ in 0..count {
            let report = once(alone, check, eye, runs.state.as_ref())?;
            if let Ending::Judged(outcome) = &report.ending {
                runs.state.clone_from(&outcome.state);
            }
            runs.durations.push(report.duration);
            runs.cpus.push(report.cpu);
            if let Some(counted) = runs.codes.get_mut(usize::from(code_of(&report.ending))) {
                *counted += 1;
            }
            if code_of(&report.ending) == runs.exit_code() {
                runs.worst = report.clone();
            }
            runs.last = report;
        }
        Some(runs)
    }

    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    pub fn count(&self) -> usize {
        self.durations.len()
    }

    pub fn durations(&self) -> Spread {
        spread(&self.durations)
    }

    pub fn cpus(&self) -> Spread {
        spread(&self.cpus)
    }

    /// How many runs ended so: UP, DEGRADED, DOWN, UNKNOWN.
    pub fn tally(&self) -> [(&'static str, u32); 4] {
        let [up, degraded, down, unknown] = self.codes;
        [("UP", up), ("DEGRADED", degraded), ("DOWN", down), ("UNKNOWN", unknown)]
    }

    /// Of the worst run, by Nagios' order.
    pub fn exit_code(&self) -> u8 {
        let occurs = |code: &u8| self.codes.get(usize::from(*code)).is_some_and(|count| *count > 0);
        WORST_FIRST.into_iter().find(occurs).unwrap_or_default()
    }
}

fn once(alone: &Alone<'_>, check: &Arc<dyn Check>, eye: &Eye, state: Option<&Vec<u8>>) -> Option<RunReport> {
    let mut left = ATTEMPTS;
    loop {
        eye.begin();
        let report = alone.run(check.clone(), state.cloned())?;
        left -= 1;
        if left == 0 || !matches!(report.ending, Ending::NotRun(_)) {
            return Some(report);
        }
    }
}

/// As the agent counts it: what did not answer in time is down.
pub fn status_of(ending: &Ending) -> Option<Status> {
    match ending {
        Ending::Judged(outcome) => Some(outcome.status),
        Ending::Faulted(fault) if fault.kind == FaultKind::Timeout => Some(Status::Down),
        Ending::Faulted(_) | Ending::NotRun(_) => None,
    }
}

fn code_of(ending: &Ending) -> u8 {
    match status_of(ending) {
        Some(Status::Up) => 0,
        Some(Status::Degraded) => 1,
        Some(Status::Down) => 2,
        None => EXIT_UNKNOWN,
    }
}

fn spread(all: &[Duration]) -> Spread {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    Spread { min: at(0), median: at(sorted.len() / 2), max: at(sorted.len().saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_no_average() {
        let all = [1, 2, 3, 4, 1000].map(Duration::from_micros);
        let spread = spread(&all);
        assert_eq!((spread.min, spread.median, spread.max), (all[0], all[2], all[4]));
    }

    #[test]
    fn the_worst_run_has_the_exit_code() {
        let none = || RunReport::without_sandbox(Ending::NotRun(Skipped::Cancelled));
        let of =
            |codes| Runs { last: none(), worst: none(), durations: Vec::new(), cpus: Vec::new(), codes, state: None };
        let all = [[3, 0, 0, 0], [3, 1, 0, 1], [3, 1, 1, 1], [3, 0, 0, 1]].map(|codes| of(codes).exit_code());
        assert_eq!(all, [0, 1, 2, 3]);
    }
}
