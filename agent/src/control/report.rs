//! What `vitald status` shows, made from what is known. Pure; words and numbers only, so that an older command can read
//! what a later agent writes.

use std::collections::BTreeMap;

use crate::model::check::Severity;
use crate::model::name::Name;
use crate::model::registration::{KeyState, KeyView, RegistryView};
use crate::model::requests::{NextRun, Reload};
use crate::model::snapshot::{CheckView, HealthSnapshot, ServiceView};
use crate::model::time::{Moment, rfc3339};

use super::protocol::{OrderReport, millis};

/// Everything of one agent at one moment. Lengths of time are in whole milliseconds, points in time RFC 3339.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StatusReport {
    pub agent: Name,
    pub version: String,
    /// What services and host add up to: UP, DEGRADED, PENDING or DOWN.
    pub status: String,
    pub configuration: ConfigurationReport,
    /// None: the agent stands alone.
    pub registry: Option<RegistryReport>,
    pub services: Vec<ServiceReport>,
    pub checks: Vec<CheckReport>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ConfigurationReport {
    /// `file`, `last-good` or `demo`.
    pub origin: String,
    pub read: String,
    pub read_ms_ago: u64,
    /// When what runs was last changed, or begun with.
    pub taken_over: String,
    pub taken_over_ms_ago: u64,
    /// What is on disk has mistakes and does not run.
    pub mistakes: usize,
    pub first_mistake: Option<String>,
    /// What is written otherwise than it runs and only a start takes over.
    #[serde(default)]
    pub at_next_start: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RegistryReport {
    pub up: bool,
    /// For how long that has been so.
    pub for_ms: u64,
    pub endpoint: Option<String>,
    pub lease: Option<LeaseReport>,
    pub last_error: Option<ErrorReport>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LeaseReport {
    /// In hex, as etcdctl has it.
    pub id: String,
    pub granted_ttl_ms: u64,
    pub age_ms: u64,
    pub renewed_ms_ago: u64,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ErrorReport {
    pub message: String,
    pub at: String,
    pub age_ms: u64,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ServiceReport {
    pub name: Name,
    /// UP, DEGRADED, PENDING, DOWN or MAINTENANCE.
    pub status: String,
    /// What its checks add up to, also while it is in maintenance.
    pub worst: String,
    pub since: String,
    pub for_ms: u64,
    pub registrable: bool,
    pub keys: Vec<KeyReport>,
    pub maintenance: Option<OrderReport>,
    pub checks: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct KeyReport {
    pub dialect: String,
    pub key: String,
    /// `registered`, `held`, `marked`, `absent`, `pending`, `conflict` or `refused`.
    pub state: String,
    pub for_ms: u64,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CheckReport {
    pub name: Name,
    pub checker: Name,
    /// `critical`, `warning` or `info`.
    pub severity: String,
    /// UP, DEGRADED, DOWN, UNKNOWN or PENDING.
    pub status: String,
    /// What counts while the status is UNKNOWN.
    pub last: Option<String>,
    /// Why it is UNKNOWN.
    pub reason: Option<String>,
    pub since: Option<String>,
    /// Of the last evidence.
    pub age_ms: Option<u64>,
    /// `2 of 3 worse`
    pub streak: Option<String>,
    pub message: String,
    /// What is to be said beside the verdict: that a new version of its plugin is not used, and why.
    #[serde(default)]
    pub notice: Option<String>,
    pub running: bool,
    /// None: the schedule did not say.
    pub next_run_in_ms: Option<u64>,
}

/// What a report is made from.
pub struct Known<'a> {
    pub agent: &'a Name,
    pub reload: &'a Reload,
    pub registry: Option<&'a RegistryView>,
    pub snapshot: &'a HealthSnapshot,
    pub next_runs: &'a BTreeMap<Name, NextRun>,
    pub now: Moment,
}

impl Known<'_> {
    pub fn report(&self) -> StatusReport {
        StatusReport {
            agent: self.agent.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            status: self.snapshot.overall.to_string(),
            configuration: self.configuration(),
            registry: self.registry.map(|view| self.registry(view)),
            services: self.snapshot.services.values().map(|view| self.service(view)).collect(),
            checks: self.snapshot.checks.values().map(|view| self.check(view)).collect(),
        }
    }

    fn ago(&self, then: Moment) -> u64 {
        millis(self.now.since(then))
    }

    fn configuration(&self) -> ConfigurationReport {
        ConfigurationReport {
            origin: self.reload.origin.to_owned(),
            read: rfc3339(self.reload.read.wall),
            read_ms_ago: self.ago(self.reload.read),
            taken_over: rfc3339(self.reload.taken_over.wall),
            taken_over_ms_ago: self.ago(self.reload.taken_over),
            mistakes: self.reload.mistakes,
            first_mistake: self.reload.mistake.clone(),
            at_next_start: self.reload.at_next_start.clone(),
        }
    }

    fn registry(&self, view: &RegistryView) -> RegistryReport {
        RegistryReport {
            up: view.up,
            for_ms: self.ago(view.since),
            endpoint: view.endpoint.clone(),
            lease: view.lease.as_ref().map(|lease| LeaseReport {
                id: format!("{:016x}", lease.id),
                granted_ttl_ms: millis(lease.granted),
                age_ms: self.ago(lease.since),
                renewed_ms_ago: self.ago(lease.renewed),
            }),
            last_error: view.last_error.as_ref().map(|(at, message)| ErrorReport {
                message: message.clone(),
                at: rfc3339(at.wall),
                age_ms: self.ago(*at),
            }),
        }
    }

    fn service(&self, view: &ServiceView) -> ServiceReport {
        let name = &view.definition.name;
        let keys = self.registry.and_then(|registry| registry.services.get(name));
        let key = |key: &KeyView| {
            let (state, since) = self.now(key, view);
            let (dialect, state) = (key.dialect.to_owned(), word(state).to_owned());
            KeyReport { dialect, key: key.key.clone(), state, for_ms: self.ago(since) }
        };
        ServiceReport {
            name: name.clone(),
            status: view.status().to_owned(),
            worst: view.aggregate.to_string(),
            since: rfc3339(view.since.wall),
            for_ms: self.ago(view.since),
            registrable: view.registrable,
            keys: keys.into_iter().flatten().map(key).collect(),
            maintenance: view.maintenance.as_ref().map(OrderReport::from),
            checks: view.checks.clone(),
        }
    }

    /// How a key stands now, and since when: the registry may not have been able to look for a while.
    fn now(&self, key: &KeyView, service: &ServiceView) -> (KeyState, Moment) {
        let ended = self.registry.filter(|registry| registry.has_ended(self.now));
        match (key.state, ended.and_then(|registry| registry.lease.as_ref())) {
            (KeyState::Registered | KeyState::Held | KeyState::Marked, Some(lease)) => {
                let ended = Moment { boot: lease.renewed.boot + lease.granted, ..key.since };
                (KeyState::Pending, ended)
            }
            // Wanted since it is well.
            (KeyState::Absent, _) if service.registrable => (KeyState::Pending, key.since.max(service.since)),
            (state, _) => (state, key.since),
        }
    }

    fn check(&self, view: &CheckView) -> CheckReport {
        let (definition, verdict) = (&view.definition, &view.verdict);
        let next = self.next_runs.get(&definition.name);
        let severity = match definition.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        CheckReport {
            name: definition.name.clone(),
            checker: definition.checker.clone(),
            severity: severity.to_owned(),
            status: view.shown.to_string(),
            last: verdict.status.map(|status| status.to_string()),
            reason: view.reason.map(str::to_owned),
            since: verdict.status.map(|_| rfc3339(verdict.since.wall)),
            age_ms: verdict.evidence.as_ref().map(|evidence| self.ago(evidence.at)),
            streak: view.streak(),
            message: view.message().to_owned(),
            notice: view.notice.as_deref().map(str::to_owned),
            running: next.is_some_and(|next| next.running),
            next_run_in_ms: next.map(|next| millis(next.due_in)),
        }
    }
}

/// How a key stands, in a word.
pub fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Registered => "registered",
        KeyState::Held => "held",
        KeyState::Marked => "marked",
        KeyState::Absent => "absent",
        KeyState::Pending => "pending",
        KeyState::Conflict => "conflict",
        KeyState::Refused => "refused",
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
