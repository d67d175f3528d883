//! What is known of checks and services, as metrics: most of it made from the snapshot at a scrape.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge};
use tokio::sync::watch;

use crate::model::check::Judges;
use crate::model::name::Name;
use crate::model::outcome::Status;
use crate::model::snapshot::{CheckView, HealthSnapshot, Shown};
use crate::telemetry::{FamilyBuilder, MetricSource, Metrics};

pub struct HealthMetrics {
    changes: Arc<IntCounterVec>,
    saved: Arc<IntGauge>,
}

impl HealthMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let saved = metrics.gauge(
            "vitald_state_last_write_successful",
            "Whether the memory of verdicts was written when that was last tried: 1 or 0.",
        );
        saved.set(1);
        Self {
            changes: metrics.counters(
                "vitald_check_status_changes_total",
                "Changes of a check's status, the first not counted.",
                &["check"],
            ),
            saved,
        }
    }

    pub fn status_changed(&self, check: &Name, counts: bool) {
        self.changes.with_label_values(&[check]).inc_by(u64::from(counts));
    }

    pub fn saved(&self, ok: bool) {
        self.saved.set(i64::from(ok));
    }

    /// A check that is gone leaves no series behind.
    pub fn forget_gone(&self, last: &HealthSnapshot, next: &HealthSnapshot) {
        for check in last.checks.keys().filter(|check| !next.checks.contains_key(*check)) {
            let _ = self.changes.remove_label_values(&[check]);
        }
    }
}

/// The snapshot as metrics.
pub fn snapshot_source(snapshot: watch::Receiver<Arc<HealthSnapshot>>) -> Arc<dyn MetricSource> {
    Arc::new(Source(snapshot))
}

struct Source(watch::Receiver<Arc<HealthSnapshot>>);

impl MetricSource for Source {
    fn families(&self) -> Vec<MetricFamily> {
        let snapshot = self.0.borrow().clone();
        let mut families = check_families(&snapshot);
        families.extend(service_families(&snapshot));
        families.extend(value_families(&snapshot));
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

/// The services of a check, in one label: a check is one series, however many services it judges.
fn services_of(view: &CheckView) -> String {
    match &view.definition.judges {
        Judges::Host => String::new(),
        Judges::All => "*".to_owned(),
        Judges::These(names) => names.iter().map(|name| &**name).collect::<Vec<_>>().join(","),
    }
}

fn check_families(snapshot: &HealthSnapshot) -> Vec<MetricFamily> {
    let gauge = FamilyBuilder::gauge;
    let mut up =
        gauge("vitald_check_up", "Whether the check's status is UP or DEGRADED: 1 or 0. Faults do not change it.");
    let mut status = gauge("vitald_check_status", "What the check is shown as: 1 for one status, 0 for the others.");
    let mut evidence = gauge(
        "vitald_check_last_evidence_timestamp_seconds",
        "When a run last said something of the target, in seconds since the Unix epoch.",
    );
    let mut duration =
        gauge("vitald_check_last_duration_seconds", "How long the last run that judged the target took.");
    let mut timeout = gauge("vitald_check_timeout_seconds", "How long a run of the check may take.");
    let mut interval = gauge("vitald_check_interval_seconds", "How often the check runs.");
    let mut phase = gauge("vitald_check_phase_seconds", "How long each phase of the last run's connection took.");
    for (name, view) in &snapshot.checks {
        let check = ("check", &**name);
        let policy = &view.definition.policy;
        timeout.add([check], policy.timeout.as_secs_f64());
        interval.add([check], policy.interval.as_secs_f64());
        let services = services_of(view);
        if let Some(known) = view.verdict.status {
            let labels = [check, ("checker", &*view.definition.checker), ("service", &services)];
            up.add(labels, f64::from(u8::from(known != Status::Down)));
        }
        let words =
            [("up", Shown::Up), ("degraded", Shown::Degraded), ("down", Shown::Down), ("unknown", Shown::Unknown)];
        for (word, shown) in words {
            status.add([check, ("status", word)], f64::from(u8::from(view.shown == shown)));
        }
        if let Some(last) = &view.verdict.evidence {
            evidence.add([check], last.at.wall.as_secs_f64());
            duration.add([check], last.duration.as_secs_f64());
        }
        for (name, seconds) in &view.verdict.phases {
            phase.add([check, ("phase", name)], *seconds);
        }
    }
    [up, status, evidence, duration, timeout, interval, phase].into_iter().map(FamilyBuilder::build).collect()
}

fn service_families(snapshot: &HealthSnapshot) -> Vec<MetricFamily> {
    let mut status = FamilyBuilder::gauge(
        "vitald_service_status",
        "What the service's checks add up to, or maintenance: 1 for one status, 0 for the others.",
    );
    let mut maintenance = FamilyBuilder::gauge(
        "vitald_service_maintenance",
        "Whether an operator took the service out of traffic: 1 or 0.",
    );
    for (name, view) in &snapshot.services {
        for word in ["up", "degraded", "pending", "down", "maintenance"] {
            let labels = [("service", &**name), ("status", word)];
            status.add(labels, f64::from(u8::from(view.status().eq_ignore_ascii_case(word))));
        }
        maintenance.add([("service", &**name)], f64::from(u8::from(view.maintenance.is_some())));
    }
    vec![status.build(), maintenance.build()]
}

/// What checkers measured: a family for each name, unit and kind, whatever the checks.
fn value_families(snapshot: &HealthSnapshot) -> Vec<MetricFamily> {
    let mut families: BTreeMap<String, FamilyBuilder> = BTreeMap::new();
    for (name, view) in &snapshot.checks {
        let services = services_of(view);
        for measurement in view.verdict.measurements.iter() {
            let series = measurement.series();
            let family = families.entry(series).or_insert_with_key(|series| {
                FamilyBuilder::new(series, "A value that checkers measured.", measurement.kind)
            });
            let own = measurement.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            family.add([("check", &**name), ("service", services.as_str())].into_iter().chain(own), measurement.value);
        }
    }
    families.into_values().map(FamilyBuilder::build).collect()
}
