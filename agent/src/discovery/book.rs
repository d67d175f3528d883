//! What is known of the registry, and what of that is suspect. Lists and changes go in, sets come out; nothing in here
//! waits or asks.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::model::instance::Instance;
use crate::model::name::Name;
use crate::model::time::Moment;

use super::parse::{Parsed, Read, names};
use super::skips::Skips;
use super::{DiscoveryError, Found, Instances, MAX_BYTES, MAX_KEYS, SUSPECT_FOR};

/// Do so many that vanished within one TTL say more of the registry than of the instances? When they were more than
/// half of the service's. One that was alone goes at once: its key was deleted as a single key is, most often because
/// it stopped, and nobody should call for five minutes at a door that was locked in order.
fn is_suspicious(left: usize, vanished: usize) -> bool {
    vanished > left && vanished.saturating_add(left) > 1
}

/// Everything that etcd has at one revision.
#[derive(Debug)]
pub struct Listing {
    pub cluster: u64,
    pub revision: i64,
    pub reads: Vec<Read>,
}

/// One event of a watch.
#[derive(Debug)]
pub enum Change {
    Put(Read),
    Delete { key: Vec<u8>, revision: i64 },
}

pub struct Book {
    /// Without a slash at its end.
    prefix: String,
    ttl: Duration,
    cluster: Option<u64>,
    revision: i64,
    services: BTreeMap<Name, Service>,
    skips: Skips,
    /// Instances that are there, and the bytes of their keys and values.
    count: usize,
    bytes: usize,
    /// The same of those that vanished and are remembered.
    gone: usize,
    gone_bytes: usize,
    /// Services some of whose instances vanished.
    fading: BTreeSet<Name>,
    /// Services that are not shown as they are.
    changed: BTreeSet<Name>,
    shown: Arc<Instances>,
}

#[derive(Default)]
struct Service {
    there: BTreeMap<String, Known>,
    vanished: BTreeMap<String, Vanished>,
}

struct Known {
    instance: Arc<Instance>,
    size: usize,
}

struct Vanished {
    instance: Arc<Instance>,
    size: usize,
    at: Moment,
    suspect: bool,
}

impl Service {
    fn show(&self) -> Arc<[Found]> {
        let there = self.there.values().map(|known| Found { instance: known.instance.clone(), suspect: None });
        let suspects = self.vanished.values().filter(|vanished| vanished.suspect);
        let suspects = suspects.map(|gone| Found { instance: gone.instance.clone(), suspect: Some(gone.at) });
        let mut all: Vec<Found> = there.chain(suspects).collect();
        all.sort_by(|a, b| a.instance.id.cmp(&b.instance.id));
        all.into()
    }

    /// Looks at those that vanished within a TTL; true if some of them became suspects.
    fn judge(&mut self, now: Moment, ttl: Duration, lost: bool) -> bool {
        let recent = |vanished: &Vanished| now.since(vanished.at) <= ttl;
        let count = self.vanished.values().filter(|vanished| recent(vanished)).count();
        if !lost && !is_suspicious(self.there.len(), count) {
            return false;
        }
        let innocent = self.vanished.values_mut().filter(|vanished| recent(vanished) && !vanished.suspect);
        innocent.map(|vanished| vanished.suspect = true).count() > 0
    }

    /// Gives away those whose time is over.
    fn expire(&mut self, now: Moment, ttl: Duration) -> Vec<Vanished> {
        let over = self.vanished.extract_if(.., |_, vanished| now.since(vanished.at) > vanished.kept(ttl));
        over.map(|(_, vanished)| vanished).collect()
    }
}

impl Vanished {
    fn kept(&self, ttl: Duration) -> Duration {
        if self.suspect { SUSPECT_FOR } else { ttl }
    }
}

impl Book {
    pub fn new(prefix: &str, ttl: Duration) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ttl,
            cluster: None,
            revision: 0,
            services: BTreeMap::new(),
            skips: Skips::default(),
            count: 0,
            bytes: 0,
            gone: 0,
            gone_bytes: 0,
            fading: BTreeSet::new(),
            changed: BTreeSet::new(),
            shown: Arc::default(),
        }
    }

    /// Of the last list or change; 0 before the first list.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// How often a key was no instance.
    pub fn skipped(&self) -> u64 {
        self.skips.total()
    }

    /// Takes over a list: what is not in it vanished meanwhile.
    pub fn relist(&mut self, listing: Listing, now: Moment) -> Result<(), DiscoveryError> {
        // Another store in place of ours, or one whose data were lost: it forgot everybody, also who was alone.
        let other = self.cluster.is_some_and(|cluster| cluster != listing.cluster);
        let lost = other || listing.revision < self.revision;
        self.cluster = Some(listing.cluster);
        self.revision = listing.revision;
        self.skips.keep_only(listing.reads.iter().map(|read| &read.key));
        let gone = self.missing_in(&listing);
        for (service, id) in &gone {
            self.vanish(service, id, now);
        }
        let mut touched: BTreeSet<Name> = gone.into_iter().map(|(service, _)| service).collect();
        for read in listing.reads {
            touched.extend(self.put(read, now));
        }
        self.judge(touched, now, lost)
    }

    /// The instances that we know and the list does not.
    fn missing_in(&self, listing: &Listing) -> Vec<(Name, String)> {
        let parsed = listing.reads.iter().filter_map(|read| read.what.as_ref().ok());
        let listed: BTreeSet<(&str, &str)> =
            parsed.map(|parsed| (&*parsed.service, parsed.instance.id.as_str())).collect();
        let known = self.services.iter().flat_map(|(name, service)| service.there.keys().map(move |id| (name, id)));
        let missing = known.filter(|(name, id)| !listed.contains(&(name.as_ref(), id.as_str())));
        missing.map(|(name, id)| (name.clone(), id.clone())).collect()
    }

    /// Takes over what a watch said.
    pub fn apply(&mut self, changes: Vec<Change>, now: Moment) -> Result<(), DiscoveryError> {
        let mut touched = BTreeSet::new();
        for change in changes {
            let revision = match &change {
                Change::Put(read) => read.revision,
                Change::Delete { revision, .. } => *revision,
            };
            self.revision = self.revision.max(revision);
            touched.extend(match change {
                Change::Put(read) => self.put(read, now),
                Change::Delete { key, .. } => self.delete(&key, now),
            });
        }
        self.judge(touched, now, false)
    }

    /// Returns the service that lost an instance by it.
    fn put(&mut self, read: Read, now: Moment) -> Option<Name> {
        match read.what {
            Ok(parsed) => {
                self.skips.forget(&read.key);
                self.appear(parsed);
                None
            }
            Err(why) => {
                self.skips.note(&read.key, read.revision, &why);
                self.delete_instance(&read.key, now)
            }
        }
    }

    fn delete(&mut self, key: &[u8], now: Moment) -> Option<Name> {
        self.skips.forget(key);
        self.delete_instance(key, now)
    }

    fn delete_instance(&mut self, key: &[u8], now: Moment) -> Option<Name> {
        let (service, id) = names(&self.prefix, key)?;
        let service = service.parse().ok()?;
        self.vanish(&service, id, now).then_some(service)
    }

    fn appear(&mut self, parsed: Parsed) {
        let Parsed { service: name, instance, size } = parsed;
        let service = self.services.entry(name.clone()).or_default();
        let back = service.vanished.remove(&instance.id);
        if let Some(vanished) = &back {
            self.gone = self.gone.saturating_sub(1);
            self.gone_bytes = self.gone_bytes.saturating_sub(vanished.size);
        }
        self.bytes = self.bytes.saturating_add(size);
        self.count = self.count.saturating_add(1);
        let known = Known { instance: instance.clone(), size };
        let before = service.there.insert(instance.id.clone(), known);
        if let Some(before) = &before {
            self.bytes = self.bytes.saturating_sub(before.size);
            self.count = self.count.saturating_sub(1);
        }
        if back.is_some() || before.is_none_or(|before| before.instance != instance) {
            self.changed.insert(name);
        }
    }

    fn vanish(&mut self, name: &Name, id: &str, at: Moment) -> bool {
        let Some(service) = self.services.get_mut(name) else { return false };
        let Some(known) = service.there.remove(id) else { return false };
        self.bytes = self.bytes.saturating_sub(known.size);
        self.count = self.count.saturating_sub(1);
        // Whoever makes and deletes keys for ever does not fill our memory.
        if self.gone < MAX_KEYS && self.gone_bytes.saturating_add(known.size) <= MAX_BYTES {
            self.gone += 1;
            self.gone_bytes += known.size;
            let vanished = Vanished { instance: known.instance, size: known.size, at, suspect: false };
            service.vanished.insert(id.to_owned(), vanished);
        }
        self.fading.insert(name.clone());
        self.changed.insert(name.clone());
        true
    }

    /// Those that lost instances are looked at, and everything together is not too much.
    fn judge(&mut self, touched: BTreeSet<Name>, now: Moment, lost: bool) -> Result<(), DiscoveryError> {
        for name in touched {
            let Some(service) = self.services.get_mut(&name) else { continue };
            if service.judge(now, self.ttl, lost) {
                self.changed.insert(name);
            }
        }
        if self.count.saturating_add(self.skips.count()) > MAX_KEYS {
            return Err(DiscoveryError::TooMany { prefix: self.prefix.clone() });
        }
        if self.bytes.saturating_add(self.skips.bytes()) > MAX_BYTES {
            return Err(DiscoveryError::TooLarge { prefix: self.prefix.clone() });
        }
        Ok(())
    }

    /// Forgets those that vanished long enough ago.
    pub fn expire(&mut self, now: Moment) {
        for name in mem::take(&mut self.fading) {
            let Some(service) = self.services.get_mut(&name) else { continue };
            for over in service.expire(now, self.ttl) {
                self.gone = self.gone.saturating_sub(1);
                self.gone_bytes = self.gone_bytes.saturating_sub(over.size);
                if over.suspect {
                    self.changed.insert(name.clone());
                }
            }
            if !service.vanished.is_empty() {
                self.fading.insert(name);
            } else if service.there.is_empty() {
                self.services.remove(&name);
            }
        }
    }

    /// How long until [`Book::expire`] has something to do.
    pub fn due(&self, now: Moment) -> Option<Duration> {
        let fading = self.fading.iter().filter_map(|name| self.services.get(name));
        let vanished = fading.flat_map(|service| service.vanished.values());
        // A little later, so that it is over by then.
        vanished.map(|vanished| vanished.kept(self.ttl).saturating_sub(now.since(vanished.at)) + TICK).min()
    }

    /// All that is shown, and whether that changed since the last look.
    pub fn look(&mut self) -> (Arc<Instances>, bool) {
        let changed = mem::take(&mut self.changed);
        let any = !changed.is_empty();
        if any {
            let mut shown = (*self.shown).clone();
            for name in changed {
                match self.services.get(&name).map(Service::show).filter(|all| !all.is_empty()) {
                    Some(all) => shown.insert(name, all),
                    None => shown.remove(&name),
                };
            }
            self.shown = Arc::new(shown);
        }
        (self.shown.clone(), any)
    }
}

const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
