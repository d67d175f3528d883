//! Everything that is known at one moment: published by `health`, read by all others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::check::CheckDef;
use super::maintenance::Maintenance;
use super::name::Name;
use super::outcome::Status;
use super::service::ServiceDef;
use super::time::Moment;
use super::verdict::Verdict;

/// What a check is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Shown {
    Up,
    Degraded,
    Down,
    /// Faults or age hide the status, or there never was one.
    Unknown,
    /// No run has ended yet.
    Pending,
}

impl From<Status> for Shown {
    fn from(status: Status) -> Self {
        match status {
            Status::Up => Self::Up,
            Status::Degraded => Self::Degraded,
            Status::Down => Self::Down,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "UP",
            Self::Degraded => "DEGRADED",
            Self::Down => "DOWN",
            Self::Unknown => "UNKNOWN",
            Self::Pending => "PENDING",
        })
    }
}

/// What checks add up to, from well to ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Aggregate {
    Up,
    Degraded,
    Pending,
    Down,
}

impl Aggregate {
    /// Does a load balancer send traffic?
    pub fn serves(self) -> bool {
        matches!(self, Self::Up | Self::Degraded)
    }

    /// The word that agrees with the HTTP code.
    pub fn word(self) -> &'static str {
        if self.serves() { "UP" } else { "DOWN" }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "UP",
            Self::Degraded => "DEGRADED",
            Self::Pending => "PENDING",
            Self::Down => "DOWN",
        })
    }
}

/// One check, judged and ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckView {
    pub definition: Arc<CheckDef>,
    pub verdict: Arc<Verdict>,
    pub shown: Shown,
    /// Why it is UNKNOWN: a fault's kind, or `stale`.
    pub reason: Option<&'static str>,
    /// What is to be said beside the verdict: see `CheckSet::notices`.
    pub notice: Option<Arc<str>>,
    /// What it adds to the aggregates.
    pub counts: Aggregate,
}

impl CheckView {
    /// `2 of 3 worse`, while a change is being confirmed.
    pub fn streak(&self) -> Option<String> {
        let (verdict, policy) = (&self.verdict, &self.definition.policy);
        match (verdict.worse, verdict.better) {
            (0, 0) => None,
            (worse, 0) => Some(format!("{worse} of {} worse", policy.fall)),
            (_, better) => Some(format!("{better} of {} better", policy.rise)),
        }
    }

    /// What is to be said of what is shown: the fault that hides the status, else the last evidence.
    pub fn message(&self) -> &str {
        let (fault, evidence) = (self.verdict.fault.as_ref(), self.verdict.evidence.as_ref());
        let hidden = self.shown == Shown::Unknown || evidence.is_none();
        match (fault.filter(|_| hidden), evidence) {
            (Some(fault), _) => &fault.message,
            (None, Some(evidence)) => &evidence.message,
            (None, None) => "",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceView {
    pub definition: Arc<ServiceDef>,
    pub aggregate: Aggregate,
    pub since: Moment,
    /// May it be registered?
    pub registrable: bool,
    /// Is it decided whether it may be registered? False while a critical check pends: what is registered stays.
    pub decided: bool,
    /// Checks that judge it.
    pub checks: Vec<Name>,
    /// An operator took it out of traffic.
    pub maintenance: Option<Maintenance>,
}

impl ServiceView {
    /// `UP`, `DEGRADED`, `PENDING`, `DOWN` or `MAINTENANCE`.
    pub fn status(&self) -> &'static str {
        match (&self.maintenance, self.aggregate) {
            (Some(_), _) => "MAINTENANCE",
            (None, Aggregate::Up) => "UP",
            (None, Aggregate::Degraded) => "DEGRADED",
            (None, Aggregate::Pending) => "PENDING",
            (None, Aggregate::Down) => "DOWN",
        }
    }
}

impl HealthSnapshot {
    /// Are the first verdicts in, as far as they can be? What only faults never has one, and is not waited for.
    pub fn is_settled(&self) -> bool {
        let pends = |view: &ServiceView| view.maintenance.is_none() && view.aggregate == Aggregate::Pending;
        self.loaded && !self.services.values().any(pends)
    }
}

/// The newest wins; compare with what you last acted on.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSnapshot {
    pub at: Moment,
    pub overall: Aggregate,
    pub checks: BTreeMap<Name, CheckView>,
    pub services: BTreeMap<Name, ServiceView>,
    /// The plugins have been looked at; nothing is decided before.
    pub loaded: bool,
}

impl Default for HealthSnapshot {
    fn default() -> Self {
        Self {
            at: Moment::default(),
            overall: Aggregate::Pending,
            checks: BTreeMap::new(),
            services: BTreeMap::new(),
            loaded: false,
        }
    }
}

impl HealthSnapshot {
    /// Has every check's first run ended? What joins those that are judged is not waited for.
    pub fn complete(&self) -> bool {
        self.loaded && self.checks.values().all(|check| check.shown != Shown::Pending || check.verdict.joining)
    }
}
