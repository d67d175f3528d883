//! What a verdict becomes when a run has ended. Pure: DESIGN 5, "Status".

use crate::model::check::Policy;
use crate::model::outcome::{Ending, Fault, FaultKind, Outcome, Status};
use crate::model::time::Moment;
use crate::model::verdict::{Evidence, FaultSeen, Observation, Verdict};

/// A status that is another than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// None: it is the first.
    pub from: Option<Status>,
    pub to: Status,
    /// How long the old one had lasted since.
    pub since: Moment,
    pub at: Moment,
    /// Evidence in a row that changed it, and how much was needed: `3 of 3`.
    pub confirmed_by: u32,
}

/// Takes in one observation.
pub fn reduce(verdict: &mut Verdict, policy: &Policy, observation: &Observation) -> Option<Change> {
    let report = &observation.report;
    verdict.phases = report.phases.iter().map(|(name, length)| ((*name).to_owned(), length.as_secs_f64())).collect();
    match &report.ending {
        Ending::Judged(outcome) => {
            verdict.measurements = outcome.measurements.clone().into();
            evidence(verdict, policy, observation, outcome)
        }
        // The target did not answer in time: that says something of it.
        Ending::Faulted(Fault { kind: FaultKind::Timeout, message }) => {
            let outcome = Outcome {
                status: Status::Down,
                message: message.clone(),
                measurements: Vec::new(),
                parts: Vec::new(),
                state: None,
            };
            evidence(verdict, policy, observation, &outcome)
        }
        Ending::Faulted(fault) => {
            verdict.faults = verdict.faults.saturating_add(1);
            verdict.fault = Some(FaultSeen { kind: fault.kind, message: fault.message.clone(), at: observation.at });
            None
        }
        Ending::NotRun(_) => None,
    }
}

fn evidence(verdict: &mut Verdict, policy: &Policy, observation: &Observation, outcome: &Outcome) -> Option<Change> {
    verdict.faults = 0;
    verdict.fault = None;
    verdict.evidence = Some(Evidence {
        status: outcome.status,
        message: outcome.message.clone(),
        at: observation.at,
        duration: observation.report.duration,
        parts: outcome.parts.clone(),
    });
    let confirmed_by = match verdict.status {
        // What joins a service that serves must be as sure of an outage as those that judge it already.
        None if verdict.joining && outcome.status > Status::Up => count(verdict, policy, Status::Up, outcome.status)?,
        None => 1,
        Some(status) => count(verdict, policy, status, outcome.status)?,
    };
    let change =
        Change { from: verdict.status, to: outcome.status, since: verdict.since, at: observation.at, confirmed_by };
    verdict.status = Some(outcome.status);
    verdict.since = observation.at;
    verdict.joining = false;
    (verdict.worse, verdict.better) = (0, 0);
    Some(change)
}

/// Counts evidence in a row; some number once it is enough to change the status.
fn count(verdict: &mut Verdict, policy: &Policy, status: Status, seen: Status) -> Option<u32> {
    if seen == status {
        (verdict.worse, verdict.better) = (0, 0);
        return None;
    }
    if seen > status {
        (verdict.worse, verdict.better) = (verdict.worse + 1, 0);
        (verdict.worse >= policy.fall).then_some(verdict.worse)
    } else {
        (verdict.worse, verdict.better) = (0, verdict.better + 1);
        (verdict.better >= policy.rise).then_some(verdict.better)
    }
}

#[cfg(test)]
#[path = "reduce_tests.rs"]
mod tests;
