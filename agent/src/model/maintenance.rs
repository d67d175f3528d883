//! Maintenance: an operator's word that a service is to take no traffic for a while (DESIGN 5).

use std::collections::BTreeMap;
use std::time::Duration;

use super::name::Name;
use super::time::Moment;

/// One word of an operator.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Maintenance {
    #[serde(default)]
    pub reason: String,
    pub since: Moment,
    /// On the wall clock, since the Unix epoch: it holds over a reboot. None: until somebody ends it.
    pub until: Option<Duration>,
}

impl Maintenance {
    pub fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now.wall >= until)
    }
}

/// Everything that is in maintenance on this host. There may be several words for one service, each with a reason of its
/// own: who ends one does not end what somebody else has ordered.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Maintenances {
    /// Every service of the host.
    pub host: Vec<Maintenance>,
    pub services: BTreeMap<Name, Vec<Maintenance>>,
}

impl Maintenances {
    /// What holds for a service now: of all words for it and for the host the one that lasts longest, since the first of
    /// them began.
    pub fn of(&self, service: &Name, now: Moment) -> Option<Maintenance> {
        let own = self.services.get(service).into_iter().flatten();
        longest(self.host.iter().chain(own), now)
    }

    /// The same for the host as a whole.
    pub fn of_host(&self, now: Moment) -> Option<Maintenance> {
        longest(self.host.iter(), now)
    }
}

fn longest<'a>(orders: impl Iterator<Item = &'a Maintenance> + Clone, now: Moment) -> Option<Maintenance> {
    let holding = orders.filter(|order| !order.is_over(now));
    let since = holding.clone().map(|order| order.since).min_by_key(|since| since.boot)?;
    // None is for ever.
    let longest = holding.max_by_key(|order| order.until.unwrap_or(Duration::MAX))?;
    Some(Maintenance { since, ..longest.clone() })
}
