//! What is known of one check, and what comes in to change it.

use std::sync::Arc;
use std::time::Duration;

use super::name::Name;
use super::outcome::{FaultKind, Measurement, Part, RunReport, Status};
use super::time::Moment;

/// A run that was an observation, on its way from the schedule to health.
#[derive(Debug, Clone)]
pub struct Observation {
    pub check: Name,
    /// When the run ended.
    pub at: Moment,
    pub report: RunReport,
    /// What the checker remembers now.
    pub state: Option<Arc<[u8]>>,
}

/// Evidence: a run that said something of the target.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    pub status: Status,
    pub message: String,
    pub at: Moment,
    pub duration: Duration,
    pub parts: Vec<Part>,
}

/// A run that said nothing of the target.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FaultSeen {
    pub kind: FaultKind,
    pub message: String,
    pub at: Moment,
}

/// Everything known of one check. Belongs to the check's name: it survives reload, plugin swap and restart.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// After thresholds; none while pending.
    pub status: Option<Status>,
    /// Since when the status is what it is.
    pub since: Moment,
    /// Worse evidence in a row.
    pub worse: u32,
    /// Better evidence in a row.
    pub better: u32,
    /// The evidence that came last.
    pub evidence: Option<Evidence>,
    /// Faults in a row, up to now.
    pub faults: u32,
    /// The last fault, while faults are what comes in.
    pub fault: Option<FaultSeen>,
    /// Joined a service that was judged already; counts for nothing until it is first decided.
    pub joining: bool,
    /// Numbers from the last run that had any. Not kept over a restart: the next run has new ones.
    #[serde(skip)]
    pub measurements: Arc<[Measurement]>,
    /// Phases of the last run, in seconds. Not kept either.
    #[serde(skip)]
    pub phases: Vec<(String, f64)>,
}

impl Verdict {
    /// Is a change of status being confirmed?
    pub fn confirming(&self) -> bool {
        self.worse > 0 || self.better > 0
    }

    /// No run has ended in any way yet.
    pub fn pending(&self) -> bool {
        self.status.is_none() && self.fault.is_none()
    }
}
