//! Where registration stands, for people: published by `registry`, read by `control` and `http`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::name::Name;
use super::time::Moment;

/// The state of the registry as this agent sees it.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct RegistryView {
    /// Is there a session with etcd?
    pub up: bool,
    /// Since when `up` is what it is.
    pub since: Moment,
    /// The endpoint in use, or the one that was.
    pub endpoint: Option<String>,
    pub lease: Option<LeaseView>,
    /// What went wrong last, and when.
    pub last_error: Option<(Moment, String)>,
    /// The snapshot that the keys were brought in line with last: what came after it is not done yet.
    pub looked: Moment,
    /// Each service's keys, as of then.
    pub services: BTreeMap<Name, Vec<KeyView>>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LeaseView {
    pub id: i64,
    pub granted: Duration,
    /// When it was granted, to whichever agent.
    pub since: Moment,
    /// When etcd last renewed it.
    pub renewed: Moment,
}

/// How one key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Seen in etcd under our lease.
    Registered,
    /// The same, although its service is DOWN: too few others would remain.
    Held,
    /// In etcd, with a status that takes no traffic (`on_down = "mark"`).
    Marked,
    /// Not in etcd, and not wanted there.
    Absent,
    /// To be written or removed, and not done yet.
    Pending,
    /// Another owner holds it.
    Conflict,
    /// etcd's user may not touch it.
    Refused,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct KeyView {
    pub dialect: &'static str,
    pub key: String,
    pub state: KeyState,
    /// Since when the state is what it is.
    pub since: Moment,
}

impl RegistryView {
    /// Is a service in etcd in any form that takes traffic?
    pub fn is_registered(&self, service: &Name) -> bool {
        let there = |key: &KeyView| matches!(key.state, KeyState::Registered | KeyState::Held | KeyState::Pending);
        self.services.get(service).is_some_and(|keys| keys.iter().any(there))
    }

    /// Has the lease ended, as far as we know, and everything with it? Only while etcd is away nobody sees that.
    pub fn has_ended(&self, now: Moment) -> bool {
        !self.up && self.lease.as_ref().is_some_and(|lease| now.since(lease.renewed) > lease.granted)
    }
}
