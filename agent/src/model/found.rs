//! Who is registered, as far as is known: published by `discovery`, read by `http`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::instance::Instance;
use super::name::Name;
use super::time::Moment;

/// Instances that vanished together with too many others are kept for so long (DESIGN 7).
pub const SUSPECT_FOR: Duration = Duration::from_secs(300);

/// An instance that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Service and id are those of its key.
    pub instance: Arc<Instance>,
    /// When it vanished together with too many others; it is kept for [`SUSPECT_FOR`] at most.
    pub suspect: Option<Moment>,
}

/// Each service's instances, sorted by id; a service without any is not there.
pub type Instances = BTreeMap<Name, Arc<[Found]>>;

/// Everything that is known. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    pub services: Arc<Instances>,
    /// Of etcd's store, when it was listed or changed last; 0 while nothing is known yet.
    pub revision: i64,
    /// None while etcd confirms that this is all. A loss is noticed within five seconds and the `request_timeout`.
    pub unconfirmed: Option<Unconfirmed>,
}

/// Nobody says that a set is still so.
#[derive(Debug, Clone, PartialEq)]
pub struct Unconfirmed {
    /// When etcd was heard last.
    pub since: Moment,
    /// What went wrong last.
    pub why: Arc<str>,
}

impl Set {
    /// Has there ever been a list?
    pub fn is_known(&self) -> bool {
        self.revision != 0
    }

    /// How old it is: zero while it is confirmed.
    pub fn age(&self, now: Moment) -> Duration {
        self.unconfirmed.as_ref().map_or(Duration::ZERO, |unconfirmed| now.since(unconfirmed.since))
    }

    /// Of that service, suspects included.
    pub fn instances(&self, service: &str) -> &[Found] {
        self.services.get(service).map_or(&[], |instances| instances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let at = |seconds| Moment { boot: Duration::from_secs(seconds), wall: Duration::ZERO };
        let mut set = Set::default();
        assert_eq!((set.age(at(5)), set.is_known()), (Duration::ZERO, false));
        set.unconfirmed = Some(Unconfirmed { since: at(5), why: "refused".into() });
        assert_eq!(set.age(at(8)), Duration::from_secs(3));
    }
}
