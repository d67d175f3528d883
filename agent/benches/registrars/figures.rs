//! What a scene cost: the difference of two readings, and what the watcher saw between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vitald::clock;

use super::fleet::Fleet;
use super::server::{Counters, Etcd};
use super::watcher::Seen;

/// All clocks and counters at one moment.
pub struct Reading {
    at: Instant,
    etcd: Counters,
    etcd_cpu: Duration,
    own_cpu: Duration,
    errors: f64,
}

impl Reading {
    pub fn take(etcd: &Etcd, fleet: &Fleet) -> Self {
        etcd.forget_peak();
        let errors = fleet.errors();
        Self { etcd: etcd.counters(), etcd_cpu: etcd.cpu(), errors, ..Self::of_us() }
    }

    /// Of an etcd that is about to be started: it counts from nothing. Registrars count on.
    pub fn of_none(errors: f64) -> Self {
        Self { errors, ..Self::of_us() }
    }

    fn of_us() -> Self {
        Self {
            at: Instant::now(),
            etcd: Counters::default(),
            etcd_cpu: Duration::ZERO,
            own_cpu: clock::process_cpu(),
            errors: 0.0,
        }
    }

    /// What happened since. `done` is when the last thing had happened, if not only now.
    pub fn until_now(&self, etcd: &Etcd, fleet: &Fleet, seen: &[Seen], done: Option<Instant>) -> Figures {
        let (own_cpu, etcd_cpu, now) = (clock::process_cpu(), etcd.cpu(), etcd.counters());
        let length = done.map_or_else(|| self.at.elapsed(), |done| done.saturating_duration_since(self.at));
        let grown = |name: &str| now.get(name) - self.etcd.get(name);
        let before = self.etcd.requests();
        let requests = now.requests().into_iter().map(|(method, count)| {
            let before = before.get(&method).copied().unwrap_or_default();
            (method, count - before)
        });
        let (memory, memory_peak) = etcd.memory();
        Figures {
            length,
            etcd_cpu: etcd_cpu.saturating_sub(self.etcd_cpu),
            own_cpu: own_cpu.saturating_sub(self.own_cpu),
            memory,
            memory_peak,
            puts: grown("etcd_mvcc_put_total"),
            deletes: grown("etcd_mvcc_delete_total"),
            requests: requests.filter(|(_, count)| *count > 0.0).collect(),
            // The bench's own watcher gets some of them.
            deliveries: grown("etcd_debugging_mvcc_events_total") - as_f64(seen.len()),
            watchers: now.get("etcd_debugging_mvcc_watcher_total") - 1.0,
            errors: fleet.errors() - self.errors,
            changes: None,
            back: None,
            deleted: seen.iter().filter(|seen| !seen.put).count(),
        }
    }
}

pub struct Figures {
    pub length: Duration,
    pub etcd_cpu: Duration,
    pub own_cpu: Duration,
    pub memory: u64,
    pub memory_peak: u64,
    pub puts: f64,
    pub deletes: f64,
    pub requests: BTreeMap<String, f64>,
    /// Events of watched own keys.
    pub deliveries: f64,
    pub watchers: f64,
    pub errors: f64,
    /// From a change of status until the watcher saw it.
    pub changes: Option<Spread>,
    /// From the first answer of etcd until an instance was in it.
    pub back: Option<Spread>,
    /// DELETEs that the watcher saw of instances that were well.
    pub deleted: usize,
}

/// How long something took, over all hosts.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub half: Duration,
    pub most: Duration,
    pub all: Duration,
}

impl Spread {
    pub fn of(mut lengths: Vec<Duration>) -> Self {
        lengths.sort();
        let at = |share: usize| lengths[(lengths.len() * share).div_ceil(100).max(1) - 1];
        Self { half: at(50), most: at(99), all: at(100) }
    }
}

pub fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
