//! What a run gives: a judgement of the target, a fault that says nothing of it, or nothing at all.

use std::fmt;
use std::time::Duration;

/// The state of a target, from well to ill: the order is the order of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Up,
    Degraded,
    Down,
}

impl Status {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "UP",
            Self::Degraded => "DEGRADED",
            Self::Down => "DOWN",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Gauge,
    Counter,
}

/// One number a checker observed, already held against the rules for names (see `sandbox::v0_1`).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measurement {
    pub name: String,
    pub kind: Kind,
    pub value: f64,
    /// A base unit of Prometheus, or empty.
    pub unit: String,
    pub labels: Vec<(String, String)>,
}

impl Measurement {
    /// The name of its series: `vitald_value_<name>[_<unit>][_total]`.
    pub fn series(&self) -> String {
        let separator = if self.unit.is_empty() { "" } else { "_" };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("vitald_value_{}{separator}{}{total}", self.name, self.unit)
    }
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    pub name: String,
    pub status: Status,
    pub message: String,
}

/// A judgement of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub status: Status,
    /// One line for a person; secrets are masked already.
    pub message: String,
    pub measurements: Vec<Measurement>,
    pub parts: Vec<Part>,
    /// What the next run gets as its state.
    pub state: Option<Vec<u8>>,
}

/// Why a run gave no judgement. Only `Timeout` says something of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The deadline passed while a connection was open or opening.
    Timeout,
    /// The deadline passed while guest code ran.
    Cpu,
    /// The deadline passed while the guest slept without a connection.
    Idle,
    /// The guest ran into one of the sandbox's caps.
    Limit,
    /// The guest crashed.
    Trap,
    /// The guest wanted what the check has no grant for.
    Denied,
    /// The parameters or the target make no sense to the checker.
    InvalidParams,
    /// No plugin of that name is loaded.
    NoChecker,
    /// No resolver answered.
    Resolver,
    /// A fault of the checker or of the agent itself.
    Internal,
}

impl FaultKind {
    /// The metric label, and the reason in `/health`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Trap => "trap",
            Self::Denied => "denied",
            Self::InvalidParams => "invalid-params",
            Self::NoChecker => "no-checker",
            Self::Resolver => "resolver",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Fault {
    pub kind: FaultKind,
    pub message: String,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Why a due run did not become an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skipped {
    /// No slot, no memory, or the guest runtime itself was late.
    Overloaded,
    /// The run before was not over.
    Overlap,
    /// The agent stopped, or the check was removed, before the run was over.
    Cancelled,
}

impl Skipped {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Overlap => "overlap",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    Judged(Outcome),
    Faulted(Fault),
    NotRun(Skipped),
}

/// A run, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    pub ending: Ending,
    pub duration: Duration,
    /// CPU time of guest and host calls together.
    pub cpu: Duration,
    /// The most linear memory and tables the guest held, in bytes.
    pub memory_peak: u64,
    /// How long each phase of the last connection took: `resolve`, `connect`.
    pub phases: Vec<(&'static str, Duration)>,
    /// How many connections were refused for want of a grant.
    pub denied: u64,
}

impl RunReport {
    /// A report of something that took no sandbox.
    pub fn without_sandbox(ending: Ending) -> Self {
        Self { ending, duration: Duration::ZERO, cpu: Duration::ZERO, memory_peak: 0, phases: Vec::new(), denied: 0 }
    }
}
