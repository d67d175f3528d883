//! What a report says: one JSON document with the whole state, as `report.schema.json` describes it. Made from what is
//! known, without I/O. Field names are for good: what is published stays, and what is new is added.

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::check::Severity;
use crate::model::maintenance::Maintenance;
use crate::model::name::Name;
use crate::model::outcome::Status;
use crate::model::registration::{KeyState, RegistryView};
use crate::model::snapshot::{Aggregate, CheckView, HealthSnapshot, ServiceView, Shown};
use crate::model::time::{Moment, rfc3339};

use super::host::{HostSummary, Window};
use super::trigger::Reason;

/// Changes only when a reader of the old form could misunderstand the new one.
pub const SCHEMA_VERSION: u32 = 1;

/// Of a message, in bytes.
const MAX_MESSAGE: usize = 512;

/// The form of all reports, in JSON Schema (2020-12).
pub const SCHEMA: &str = include_str!("report.schema.json");

#[derive(Debug, serde::Serialize)]
pub struct Document<'a> {
    schema_version: u32,
    stream: &'a str,
    sequence: u64,
    reason: Reason,
    time: String,
    agent: &'a Name,
    agent_version: &'static str,
    host_name: String,
    boot_id: Option<&'a str>,
    status: Aggregate,
    host: HostSummary,
    checks: Vec<CheckState<'a>>,
    services: Vec<ServiceState<'a>>,
    /// It is there where something was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

/// How much a report says: less, where all of it would be too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Statuses, and nothing that can be long.
    NoLists,
    NoMessages,
    All,
}

#[derive(Debug, serde::Serialize)]
struct CheckState<'a> {
    name: &'a Name,
    checker: &'a Name,
    severity: Severity,
    services: Vec<&'a Name>,
    status: Shown,
    last_status: Option<Status>,
    reason: Option<&'static str>,
    message: Cow<'a, str>,
    since: Option<String>,
    age_seconds: Option<f64>,
    duration_seconds: Option<f64>,
}

#[derive(Debug, serde::Serialize)]
struct ServiceState<'a> {
    name: &'a Name,
    id: &'a Name,
    status: &'static str,
    checks_status: Aggregate,
    since: String,
    registered: Option<bool>,
    maintenance: Option<MaintenanceState<'a>>,
    checks: &'a [Name],
}

#[derive(Debug, serde::Serialize)]
struct MaintenanceState<'a> {
    reason: &'a str,
    since: String,
    until: Option<String>,
}

/// Everything that was known when a report was made.
#[derive(Debug, Clone)]
pub struct Known {
    pub agent: Name,
    pub boot_id: Option<String>,
    pub reason: Reason,
    pub now: Moment,
    pub snapshot: Arc<HealthSnapshot>,
    /// None: the agent stands alone.
    pub registry: Option<Arc<RegistryView>>,
    pub window: Window,
}

/// A place in a sequence of reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    pub stream: Arc<str>,
    pub sequence: u64,
}

impl Known {
    pub fn document<'a>(&'a self, number: &'a Number, detail: Detail) -> Document<'a> {
        let host = HostSummary::new(&self.window, self.now);
        Document {
            schema_version: SCHEMA_VERSION,
            stream: &number.stream,
            sequence: number.sequence,
            reason: self.reason,
            time: rfc3339(self.now.wall),
            agent: &self.agent,
            agent_version: env!("CARGO_PKG_VERSION"),
            host_name: super::host::name(&self.window),
            boot_id: self.boot_id.as_deref(),
            status: self.snapshot.overall,
            host,
            checks: self.snapshot.checks.values().map(|view| self.check(view, detail)).collect(),
            services: self.snapshot.services.values().map(|view| self.service(view, detail)).collect(),
            truncated: (detail < Detail::All).then_some(true),
        }
    }

    fn check<'a>(&'a self, view: &'a CheckView, detail: Detail) -> CheckState<'a> {
        let (definition, verdict) = (&view.definition, &view.verdict);
        let evidence = verdict.evidence.as_ref();
        let judged = |name: &&Name| definition.judges.judges(name);
        CheckState {
            name: &definition.name,
            checker: &definition.checker,
            severity: definition.severity,
            services: if detail > Detail::NoLists {
                self.snapshot.services.keys().filter(judged).collect()
            } else {
                Vec::new()
            },
            status: view.shown,
            last_status: verdict.status,
            reason: view.reason,
            message: if detail > Detail::NoMessages { short(view.message()) } else { Cow::Borrowed("") },
            since: verdict.status.map(|_| rfc3339(verdict.since.wall)),
            age_seconds: evidence.map(|evidence| rounded(self.now.since(evidence.at).as_secs_f64(), 1e3)),
            duration_seconds: evidence.map(|evidence| rounded(evidence.duration.as_secs_f64(), 1e6)),
        }
    }

    fn service<'a>(&'a self, view: &'a ServiceView, detail: Detail) -> ServiceState<'a> {
        let service = &view.definition;
        ServiceState {
            name: &service.name,
            id: &service.id,
            status: view.status(),
            checks_status: view.aggregate,
            since: rfc3339(view.since.wall),
            registered: self.registry.as_deref().map(|registry| is_registered(registry, &service.name, self.now)),
            maintenance: view.maintenance.as_ref().map(MaintenanceState::new),
            checks: if detail > Detail::NoLists { &view.checks } else { &[] },
        }
    }
}

/// Was it seen in etcd in a form that takes traffic, under a lease that has not ended?
fn is_registered(registry: &RegistryView, service: &Name, now: Moment) -> bool {
    let keys = registry.services.get(service).map(Vec::as_slice).unwrap_or_default();
    let there = keys.iter().any(|key| matches!(key.state, KeyState::Registered | KeyState::Held));
    there && !registry.has_ended(now)
}

impl<'a> MaintenanceState<'a> {
    fn new(order: &'a Maintenance) -> Self {
        Self { reason: &order.reason, since: rfc3339(order.since.wall), until: order.until.map(rfc3339) }
    }
}

/// With a mark at the end, if it was cut.
fn short(message: &str) -> Cow<'_, str> {
    if message.len() <= MAX_MESSAGE {
        return Cow::Borrowed(message);
    }
    let end = message.floor_char_boundary(MAX_MESSAGE - "…".len());
    Cow::Owned(format!("{}…", message.get(..end).unwrap_or_default()))
}

/// Digits that mean nothing cost room in every report.
pub fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
