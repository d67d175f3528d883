//! Where registration stands, for people and for metrics: one place that every change passes through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::model::instance::Instance;
use crate::model::registration::{KeyState, KeyView, LeaseView, RegistryView};
use crate::model::time::Moment;

use super::desired::{Desired, Fate, Unit, Wanted, Wish};
use super::metrics::RegistryMetrics;
use super::mirror::Mirror;
use super::plan::Seen;

pub struct Status {
    view: watch::Sender<Arc<RegistryView>>,
    metrics: RegistryMetrics,
}

/// What one look at the keys found.
pub struct Looked<'a> {
    /// Of the snapshot that was looked at.
    pub at: Moment,
    pub desired: &'a Desired,
    pub mirror: &'a Mirror,
    pub lease: i64,
    pub conflicts: &'a BTreeSet<String>,
    /// Keys that we have written.
    pub written: &'a BTreeSet<String>,
    pub refused: &'a BTreeSet<&'static str>,
    pub fates: &'a BTreeMap<crate::model::name::Name, Fate>,
}

impl Status {
    pub fn new(metrics: RegistryMetrics) -> (Self, watch::Receiver<Arc<RegistryView>>) {
        let (view, receiver) =
            watch::channel(Arc::new(RegistryView { since: clock::now(), ..RegistryView::default() }));
        (Self { view, metrics }, receiver)
    }

    fn change(&self, change: impl FnOnce(&mut RegistryView)) {
        self.view.send_modify(|view| change(Arc::make_mut(view)));
    }

    /// `since`: when the lease was granted.
    pub fn connected(&self, endpoint: &str, lease: i64, granted: Duration, since: Moment) {
        self.metrics.up(true);
        self.metrics.granted(granted);
        let now = clock::now();
        self.change(|view| {
            (view.up, view.since) = (true, now);
            view.endpoint = Some(endpoint.to_owned());
            view.lease = Some(LeaseView { id: lease, granted, since, renewed: now });
        });
        self.renewed();
    }

    pub fn renewed(&self) {
        self.metrics.renewed();
        self.change(|view| {
            if let Some(lease) = &mut view.lease {
                lease.renewed = clock::now();
            }
        });
    }

    /// To be called with every try that fails: once the lease has ended, nothing is registered any more.
    pub fn lost(&self, problem: String) {
        self.metrics.up(false);
        let now = clock::now();
        self.change(|view| {
            if view.up {
                (view.up, view.since) = (false, now);
            }
        });
        let view = self.view.borrow().clone();
        if view.has_ended(now) {
            self.metrics.registered(&view.services, true);
        }
        self.problem(problem);
    }

    /// Something that went wrong, whether or not the session lives.
    pub fn problem(&self, problem: String) {
        self.change(|view| view.last_error = Some((clock::now(), problem)));
    }

    /// When the lease ends if it is not renewed, on the clock that counts suspended time.
    pub fn lease_ends(&self) -> Option<Duration> {
        self.view.borrow().lease.as_ref().map(|lease| lease.renewed.boot + lease.granted)
    }

    pub fn looked(&self, looked: &Looked<'_>) {
        let now = clock::now();
        let mut services: BTreeMap<_, Vec<KeyView>> = BTreeMap::new();
        for (key, wish) in looked.desired {
            let Unit::Service(service) = &wish.unit else { continue };
            let view = KeyView { dialect: wish.dialect, key: key.clone(), state: looked.state(key, wish), since: now };
            services.entry(service.clone()).or_default().push(view);
        }
        self.metrics.registered(&services, false);
        let before = self.view.borrow().services.clone();
        self.metrics.forget(before.iter().filter(|(name, _)| !services.contains_key(*name)));
        self.change(|view| {
            for key in services.values_mut().flatten() {
                key.since = since(&view.services, key, now);
            }
            view.services = services;
            view.looked = looked.at;
        });
    }
}

/// A state that stays keeps its beginning.
fn since(before: &BTreeMap<crate::model::name::Name, Vec<KeyView>>, key: &KeyView, now: Moment) -> Moment {
    let same = |other: &&KeyView| other.key == key.key && other.state == key.state;
    before.values().flatten().find(same).map_or(now, |other| other.since)
}

impl Looked<'_> {
    fn state(&self, key: &str, wish: &Wish) -> KeyState {
        if self.refused.contains(wish.dialect) {
            // What was allowed once is there still, and must not be.
            let left = matches!(wish.wanted, Wanted::Gone(_)) && self.written.contains(key);
            return if left { KeyState::Pending } else { KeyState::Refused };
        }
        if self.conflicts.contains(key) {
            return KeyState::Conflict;
        }
        if !self.mirror.knows(key) {
            return KeyState::Pending;
        }
        let seen = self.mirror.get(key).filter(|seen| seen.lease == self.lease);
        match (&wish.wanted, seen) {
            (Wanted::Value(value), Some(seen)) if seen.value == *value => self.present(wish, seen),
            (Wanted::Value(_), _) | (Wanted::Gone(_), Some(_)) => KeyState::Pending,
            (Wanted::AsItIs, Some(seen)) => self.present(wish, seen),
            (Wanted::AsItIs | Wanted::Gone(_), None) => KeyState::Absent,
        }
    }

    fn present(&self, wish: &Wish, seen: &Seen) -> KeyState {
        let Unit::Service(service) = &wish.unit else { return KeyState::Registered };
        if self.fates.get(service) == Some(&Fate::Held) {
            return KeyState::Held;
        }
        let instance: Option<Instance> = serde_json::from_str(&seen.value).ok();
        let marked = wish.dialect == "native" && instance.is_some_and(|instance| !instance.serves());
        if marked { KeyState::Marked } else { KeyState::Registered }
    }
}
