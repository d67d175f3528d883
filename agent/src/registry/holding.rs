//! What a session holds: our keys, brought to what there should be and kept so.

mod leases;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::etcd::EtcdError;
use crate::model::name::Name;
use crate::model::snapshot::HealthSnapshot;
use crate::model::time::Moment;

use super::Mode;
use super::desired::{AGENT, Desired, Unit, Wanted, Who, Wish, agent_key, desired};
use super::dialect::Dialect;
use super::hold::{self, Guards};
use super::keys::{FORMER, Keys, Outcome};
use super::mirror::Mirror;
use super::plan::{Ours, Step, changed_keys, plan};
use super::repairs::Allowed;
use super::session::{Ground, Lost, retry};
use super::status::Looked;
use super::troubles::Troubles;

pub struct Holding<'a> {
    ground: Ground<'a>,
    keys: Keys<'a>,
    address: IpAddr,
    /// A lease with another TTL, given up once the keys have moved.
    retiring: Option<i64>,
    mirror: Mirror,
    last: Option<Desired>,
    troubles: Troubles,
    /// Something that nobody mentions any more is to go still.
    stray: bool,
    /// The same, which waits until the first verdicts are in: what takes its place must be there before.
    waiting: BTreeSet<String>,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brought {
    /// Nothing, as far as we can.
    pub settled: bool,
    /// Nothing of instances: the agent's own key may be to do still.
    pub withdrawn: bool,
}

/// The next session is not to say again what this one has said.
impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.ground.memory.troubles = std::mem::take(&mut self.troubles);
    }
}

impl<'a> Holding<'a> {
    pub fn new(ground: Ground<'a>, keys: Keys<'a>, retiring: Option<i64>) -> Self {
        let troubles = std::mem::take(&mut ground.memory.troubles);
        Self {
            ground,
            keys,
            address: Ipv4Addr::UNSPECIFIED.into(),
            retiring,
            mirror: Mirror::default(),
            last: None,
            troubles,
            stray: false,
            waiting: BTreeSet::new(),
        }
    }

    /// Takes over the address that is registered; false if there is none.
    pub fn find_address(&mut self, address: Option<IpAddr>) -> bool {
        self.address = address.unwrap_or(self.address);
        address.is_some()
    }

    /// Takes over another address; false if it is the same.
    pub fn moves_to(&mut self, address: IpAddr) -> bool {
        if address == self.address {
            return false;
        }
        tracing::warn!(
            "this host's address is {address} now, it was {}: what is registered moves with it",
            self.address
        );
        self.address = address;
        true
    }

    /// When to look again, although nothing says so.
    pub fn look_at(&self, mode: Mode, settled: bool, ttl: Duration) -> Option<Instant> {
        let undone = (!settled).then(retry);
        let conflict = (!self.troubles.conflicts.is_empty()).then(|| Instant::now() + ttl);
        // Nobody is held when all are to go.
        let hold = (mode == Mode::Register).then(|| self.ground.memory.holds.due()).flatten();
        [undone, conflict, hold].into_iter().flatten().min()
    }

    /// Is all of it to be looked at again, not only what is known to be undone?
    pub fn must_compare(&self) -> bool {
        self.stray || !self.troubles.conflicts.is_empty()
    }

    /// Waits until something happened to our keys; safe to cancel.
    pub async fn news(&mut self) -> Result<(), EtcdError> {
        self.mirror.news().await
    }

    /// Makes etcd have what should be there: the keys whose desire or whose content changed, or all of them.
    pub async fn bring_about(&mut self, snapshot: &HealthSnapshot, mode: Mode, whole: bool) -> Result<Brought, Lost> {
        if whole {
            self.troubles.begin_anew();
        }
        self.ground.identity.catch_up().await;
        self.read(snapshot, whole).await?;
        if self.has_vanished() {
            // Keys go with their lease, and the watch may say so before the keepalive does.
            self.keys_on(self.keys.lease).await?;
        }
        if mode == Mode::Register {
            self.count(snapshot).await?;
        }
        let fates = self.ground.memory.holds.fates();
        let next = desired(snapshot, &self.who(), mode, &fates);
        let (steps, late) = self.plan(&next, whole, mode != Mode::Register || snapshot.is_settled());
        let guards = self.guards();
        let asked: BTreeSet<String> = steps.iter().map(|step| step.key().to_owned()).collect();
        let outcome = self.keys.apply(steps, &next, &guards).await?;
        let undone = self.take_in(&outcome, asked, &next);
        let undone_units = undone.iter().filter_map(|key| match &next.get(key)?.unit {
            Unit::Service(name) => Some(name),
            Unit::Agent => None,
        });
        self.ground.memory.holds.went(&undone_units.collect());
        self.stray = undone.iter().any(|key| !next.contains_key(key));
        if undone.is_empty() && (whole || late) {
            self.retire().await?;
            self.troubles.note_allowed(&mut self.ground);
        }
        let troubles = &self.troubles;
        let watched = next.iter().filter(|(key, wish)| troubles.may_try(key, Some(wish.dialect))).map(|(key, _)| key);
        self.mirror.watch(watched, &self.keys.client, self.ground.etcd).await?;
        self.show(snapshot.at, &next, &fates);
        let own = agent_key(self.ground.config);
        let left = || undone.iter().chain(self.mirror.dirty());
        let brought = Brought { settled: left().next().is_none(), withdrawn: !left().any(|key| *key != own) };
        // An instance one of whose keys another holds is not as it should be: when that ends, it is no repair.
        let conflicts = next.iter().filter(|(key, _)| self.troubles.conflicts.contains(*key));
        let held: BTreeSet<Unit> = conflicts.map(|(_, wish)| wish.unit.clone()).collect();
        let settled = |key: &String, wish: &Wish| {
            let tried = self.troubles.may_try(key, Some(wish.dialect));
            tried && !undone.contains(key) && !held.contains(&wish.unit)
        };
        self.last = Some(next.into_iter().filter(|(key, wish)| settled(key, wish)).collect());
        Ok(brought)
    }

    /// Has somebody, or the end of the lease, removed a key that should be there?
    fn has_vanished(&self) -> bool {
        let Some(last) = &self.last else { return false };
        let wanted = |key: &String| matches!(last.get(key).map(|wish| &wish.wanted), Some(Wanted::Value(_)));
        self.mirror.dirty().any(|key| self.mirror.get(key).is_none() && wanted(key))
    }

    fn who(&self) -> Who<'_> {
        Who { config: self.ground.config, owner: self.ground.identity.owner(), address: self.address }
    }

    /// Reads what is not known yet of the keys that concern us; all of them for a comparison.
    async fn read(&mut self, snapshot: &HealthSnapshot, whole: bool) -> Result<(), Lost> {
        let who = self.who();
        let mut keys: BTreeMap<String, &'static str> = BTreeMap::from([(agent_key(self.ground.config), AGENT)]);
        for view in snapshot.services.values() {
            keys.extend(who.keys_of(&view.definition).into_iter().map(|(dialect, key)| (key, dialect.word())));
        }
        if whole {
            self.mirror.forget_all();
            for lease in std::iter::once(self.keys.lease).chain(self.retiring) {
                for key in self.keys_on(lease).await?.unwrap_or_default() {
                    keys.entry(key).or_insert(FORMER);
                }
            }
        }
        keys.retain(|key, dialect| !self.mirror.knows(key) && self.troubles.may_try(key, Some(dialect)));
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.keys.read(&keys).await?;
        self.mirror.found(&found);
        self.troubles.refuse(&found.refused, &mut self.ground);
        Ok(())
    }

    /// Looks which ill instances may go, and counts the others of those that are due.
    async fn count(&mut self, snapshot: &HealthSnapshot) -> Result<(), Lost> {
        let config = self.ground.config;
        let address = self.address;
        let (mirror, owner) = (&self.mirror, self.ground.identity.owner());
        let own_keys = |name: &Name| -> Vec<(&Dialect, String)> {
            let who = Who { config, owner, address };
            let definition = snapshot.services.get(name).map(|view| &view.definition);
            definition.map(|service| who.keys_of(service)).unwrap_or_default()
        };
        let written = &self.ground.memory.written;
        let ours = Ours { owner, lease: self.keys.lease, retiring: self.retiring, written };
        let refused = &self.troubles.refused;
        let in_traffic = |name: &Name| {
            let may = |dialect: &Dialect| !refused.contains(dialect.word());
            own_keys(name).iter().filter(|(dialect, _)| may(dialect)).any(|(dialect, key)| {
                mirror.get(key).is_some_and(|seen| ours.has(key, seen) && dialect.serves(&seen.value))
            })
        };
        let holds = &mut self.ground.memory.holds;
        holds.look(snapshot, config, in_traffic);
        for name in holds.to_count(Instant::now()) {
            let own = own_keys(&name).into_iter().map(|(_, key)| key).collect();
            let others = hold::others(&name, &own, &self.keys.client, self.ground.etcd, config).await?;
            holds.counted(&name, others, config);
        }
        self.ground.metrics.held(holds.held());
        Ok(())
    }

    /// What is to be done; and whether something is among it that had to wait. `settled`: what nobody mentions may go.
    fn plan(&mut self, next: &Desired, whole: bool, settled: bool) -> (Vec<Step>, bool) {
        let mut look = changed_keys(self.last.as_ref(), next);
        look.extend(self.mirror.take_dirty());
        let waited = std::mem::take(&mut self.waiting);
        let late = settled && !waited.is_empty();
        look.extend(waited);
        // Also those that nobody wants any more.
        look.extend(self.troubles.conflicts.iter().cloned());
        if whole {
            look.extend(next.keys().chain(self.mirror.present()).cloned());
        }
        let dialect = |key: &String| next.get(key).map_or(FORMER, |wish| wish.dialect);
        look.retain(|key| self.troubles.may_try(key, Some(dialect(key))));
        let ours = Ours {
            owner: self.ground.identity.owner(),
            lease: self.keys.lease,
            retiring: self.retiring,
            written: &self.ground.memory.written,
        };
        let mut steps = plan(next, &self.mirror.of(&look), &ours);
        if !settled {
            let strays =
                steps.extract_if(.., |step| matches!(step, Step::Delete { .. }) && !next.contains_key(step.key()));
            self.waiting = strays.map(|step| step.key().to_owned()).collect();
        }
        self.troubles.note_conflicts(&steps, &look, &self.ground, self.address);
        self.say_taken_over(&steps);
        (self.repair(steps, next), late)
    }

    fn guards(&self) -> BTreeMap<Unit, Guards> {
        let guards = self.ground.memory.holds.guards();
        guards.map(|(name, guards)| (Unit::Service(name.clone()), guards.clone())).collect()
    }

    /// Takes in what was done; returns the keys that are to be looked at again.
    fn take_in(&mut self, outcome: &Outcome, asked: BTreeSet<String>, next: &Desired) -> BTreeSet<String> {
        self.mirror.wrote(&outcome.written, self.keys.lease);
        for (step, _) in &outcome.written {
            match step {
                Step::Put { key, .. } => drop(self.ground.memory.written.insert(key.clone())),
                _ => drop(self.ground.memory.written.remove(step.key())),
            }
        }
        for key in &outcome.changed {
            self.mirror.forget(key);
        }
        self.troubles.refuse(&outcome.refused, &mut self.ground);
        self.troubles.note_failed(&outcome.failed, &mut self.ground);
        let put = outcome.written.iter().any(|(step, _)| matches!(step, Step::Put { .. }));
        if outcome.full || put {
            self.troubles.note_full(outcome.full, &self.ground);
        }
        let done: BTreeSet<&str> = outcome.written.iter().map(|(step, _)| step.key()).collect();
        self.ground.memory.failed.retain(|key, _| !done.contains(key.as_str()));
        let dialect = |key: &String| next.get(key).map_or(FORMER, |wish| wish.dialect);
        let refused = |key: &String| self.troubles.refused.contains(dialect(key));
        let undone = |key: &String| !done.contains(key.as_str()) && !self.troubles.is_known(key) && !refused(key);
        asked.into_iter().filter(undone).collect()
    }

    /// What hangs on no lease has no living owner, but somebody put it there.
    fn say_taken_over(&self, steps: &[Step]) {
        for step in steps.iter().filter(|step| matches!(step, Step::Put { .. })) {
            let key = step.key();
            if self.mirror.get(key).is_some_and(|seen| seen.lease == 0) && !self.ground.memory.written.contains(key) {
                tracing::warn!("{key} hung on no lease, so nobody who lives holds it: it is taken over");
            }
        }
    }

    /// What was as desired before and is to be put again had been altered by somebody. Drops what is to wait.
    fn repair(&mut self, mut steps: Vec<Step>, next: &Desired) -> Vec<Step> {
        let Some(last) = &self.last else { return steps };
        let (repairs, ground) = (&mut self.ground.memory.repairs, (self.ground.metrics, self.ground.status));
        let mut later = BTreeSet::new();
        steps.retain(|step| {
            let Step::Put { key, .. } = step else { return true };
            if last.get(key) != next.get(key) {
                return true;
            }
            match repairs.may(key, Instant::now()) {
                Allowed::Later => {
                    later.insert(key.clone());
                    return false;
                }
                Allowed::Now => tracing::warn!("{key} had gone or been altered in etcd: it is put again"),
                Allowed::Fight => fight(key, ground.1),
            }
            ground.0.repaired();
            true
        });
        self.mirror.is_to_be_seen(later);
        steps
    }

    fn show(&self, at: Moment, next: &Desired, fates: &BTreeMap<Name, super::desired::Fate>) {
        self.ground.status.looked(&Looked {
            at,
            desired: next,
            mirror: &self.mirror,
            lease: self.keys.lease,
            conflicts: &self.troubles.conflicts,
            written: &self.ground.memory.written,
            refused: &self.troubles.refused,
            fates,
        });
    }
}

/// Somebody alters a key again and again.
fn fight(key: &str, status: &super::status::Status) {
    let problem = format!(
        "{key} is altered again and again as soon as it is put: is this machine a copy of another, with its \
         /etc/machine-id and its state directory? It is put again more and more seldom"
    );
    tracing::error!("{problem}");
    status.problem(problem);
}
