//! What one part asks of another and waits for. Each request carries the sender of its own answer; who asks knows how
//! long to wait, and who is asked never waits for the one who asked.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::maintenance::Maintenances;
use super::name::Name;
use super::time::Moment;

/// What an order of maintenance is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every service of the host, also those that are added later.
    Host,
    These(Vec<Name>),
}

/// What an operator wants of maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaintenanceOrder {
    /// `length` none: until somebody ends it. Takes the place of an order with the same reason.
    Begin { scope: Scope, reason: String, length: Option<Duration> },
    /// `reason` none: whatever the reason was.
    End { scope: Scope, reason: Option<String> },
    /// Changes nothing.
    List,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceDone {
    /// Everything that holds now.
    pub held: Maintenances,
    /// What may be other than the operator thinks, a sentence each.
    pub notes: Vec<String>,
    /// Why it could not be written down: it then holds until the agent ends.
    pub unwritten: Option<String>,
}

/// Why an order changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceRefused {
    #[error("this host has no service {name}; {}", there_are(.known))]
    Unknown { name: Name, known: Vec<Name> },
    #[error("{} in maintenance with the whole host: `vitald maintenance off` ends that", are(.0))]
    ByHost(Vec<Name>),
    #[error(
        "the host as a whole is not in maintenance, but {} by name: `vitald maintenance off{}` ends that",
        are(.0), options(.0)
    )]
    ByName(Vec<Name>),
}

fn list(names: &[Name]) -> String {
    names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

fn are(names: &[Name]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "is" } else { "are" })
}

fn there_are(known: &[Name]) -> String {
    if known.is_empty() { "it has none".to_owned() } else { format!("there are {}", list(known)) }
}

/// The command line's word for these services.
pub fn options(names: &[Name]) -> String {
    names.iter().map(|name| format!(" --service {name}")).collect()
}

/// Health is asked, and answers once what was ordered is written down.
#[derive(Debug)]
pub struct MaintenanceRequest {
    pub order: MaintenanceOrder,
    pub answer: oneshot::Sender<Result<MaintenanceDone, MaintenanceRefused>>,
}

/// The plugins are asked.
#[derive(Debug)]
pub enum PluginRequest {
    /// Look at everything on disk now. `answer` none: nobody waits (SIGHUP).
    Reload { answer: Option<oneshot::Sender<Reloaded>> },
    /// Let the version in that waits; `digest`, or what it begins with, says which one the operator saw. Answered once
    /// that is written down.
    Approve { name: Name, digest: Option<String>, answer: oneshot::Sender<Result<Approved, NotApproved>> },
}

/// What a look at everything came to, once all that it began has ended. It goes over the control socket as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// The configuration has these, and nothing of it was taken over. A line each.
    pub mistakes: Vec<String>,
    pub checks: Changes,
    pub services: Changes,
    /// What became of plugins that were not as before: a line each.
    pub plugins: Vec<String>,
    /// Plugins that do not run as they are on disk: broken, kept or waiting for approval. A line each.
    pub troubles: Vec<String>,
    /// What only a start takes over: a line each.
    pub at_next_start: Vec<String>,
}

/// By name.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changes {
    pub added: Vec<Name>,
    pub changed: Vec<Name>,
    pub removed: Vec<Name>,
    pub unchanged: usize,
}

/// A version that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    pub version: String,
    pub digest: String,
    /// What may be other than the operator thinks, a sentence each.
    pub notes: Vec<String>,
    /// Why it could not be written down: a next start does not know of it.
    pub unwritten: Option<String>,
}

/// Why nothing was let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    #[error("there is no plugin {0}; see `vitald plugin list`")]
    Unknown(Name),
    #[error("no version of {0} waits to be approved; see `vitald plugin list`")]
    NotPending(Name),
    #[error(
        "of {name} version {version} waits, with the digest {digest}, which is not the given one; nothing is let in"
    )]
    Another { name: Name, version: String, digest: String },
    #[error("it cannot be used: {0}")]
    Unusable(String),
}

/// When a check runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRun {
    /// From now.
    pub due_in: Duration,
    /// A run is going on.
    pub running: bool,
}

/// The schedule is asked.
pub type NextRunsRequest = oneshot::Sender<BTreeMap<Name, NextRun>>;

/// How the configuration on disk stands, the main file and its drop-ins: published by the configuration, read by `control`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reload {
    /// When the files were last read.
    pub read: Moment,
    /// When what runs was last changed by them, or begun with.
    pub taken_over: Moment,
    /// The first mistake, with its place: what is on disk is not what runs.
    pub mistake: Option<String>,
    /// How many there are.
    pub mistakes: usize,
    /// Where what runs comes from: `file`, `last-good` or `demo`.
    pub origin: &'static str,
    /// What is written otherwise than it runs and only a start takes over: a line each.
    pub at_next_start: Vec<String>,
}
