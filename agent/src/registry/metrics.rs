//! What the registry counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::clock;
use crate::telemetry::Metrics;

use crate::etcd::Kind;
use crate::model::name::Name;
use crate::model::registration::{KeyState, KeyView};

#[derive(Clone)]
pub struct RegistryMetrics {
    up: Arc<IntGauge>,
    granted_ttl: Arc<IntGauge>,
    keepalive: Arc<Gauge>,
    leases_lost: Arc<IntCounter>,
    writes: Arc<IntCounterVec>,
    errors: Arc<IntCounterVec>,
    repairs: Arc<IntCounter>,
    conflict: Arc<IntGauge>,
    removal_held: Arc<IntGauge>,
    registered: Arc<IntGaugeVec>,
}

impl RegistryMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            up: metrics.gauge("vitald_registry_up", "Whether there is a session with etcd: 1 or 0."),
            granted_ttl: metrics
                .gauge("vitald_registry_lease_granted_ttl_seconds", "The TTL that etcd granted the lease."),
            keepalive: metrics.gauge_f64(
                "vitald_registry_last_keepalive_timestamp_seconds",
                "When etcd last renewed the lease, in seconds since the Unix epoch.",
            ),
            leases_lost: metrics
                .counter("vitald_registry_leases_lost_total", "Leases that were gone before they were given up."),
            writes: metrics.counters(
                "vitald_registry_writes_total",
                "Keys that were written, by what was done.",
                &["operation"],
            ),
            errors: metrics.counters("vitald_registry_errors_total", "What went wrong with etcd.", &["reason"]),
            repairs: metrics.counter(
                "vitald_registry_repairs_total",
                "Keys that had gone or been altered while the lease lived, and were put again.",
            ),
            conflict: metrics.gauge("vitald_registry_conflict", "Keys of ours that another living owner holds."),
            removal_held: metrics.gauge(
                "vitald_registry_removal_held",
                "Instances that are DOWN and stay registered, because too few others would remain.",
            ),
            registered: metrics.gauges(
                "vitald_service_registered",
                "Whether the instance's key was seen in etcd under our lease: 1 or 0.",
                &["service", "dialect"],
            ),
        }
    }

    pub fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    pub fn error(&self, kind: Kind) {
        self.errors.with_label_values(&[kind.label()]).inc();
    }

    /// A lease was gone before it was given up.
    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    pub fn granted(&self, ttl: Duration) {
        self.granted_ttl.set(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    }

    pub fn renewed(&self) {
        self.keepalive.set(clock::now().wall.as_secs_f64());
    }

    /// One key was written: `put` or `delete`.
    pub fn wrote(&self, operation: &str) {
        self.writes.with_label_values(&[operation]).inc();
    }

    pub fn repaired(&self) {
        self.repairs.inc();
    }

    pub fn conflicts(&self, count: usize) {
        self.conflict.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn held(&self, count: usize) {
        self.removal_held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `ended`: the lease has, and everything with it.
    pub fn registered(&self, services: &BTreeMap<Name, Vec<KeyView>>, ended: bool) {
        for (service, keys) in services {
            for key in keys {
                let there = matches!(key.state, KeyState::Registered | KeyState::Held | KeyState::Marked) && !ended;
                self.registered.with_label_values(&[service, key.dialect]).set(i64::from(there));
            }
        }
    }

    /// Services that are configured no more.
    pub fn forget<'a>(&self, services: impl Iterator<Item = (&'a Name, &'a Vec<KeyView>)>) {
        for (service, keys) in services {
            for key in keys {
                // It may never have been there.
                let _ = self.registered.remove_label_values(&[service, key.dialect]);
            }
        }
    }
}
