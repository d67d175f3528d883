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

/// How the definitions on disk stand: published by the configuration, read by `control`.
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
}
