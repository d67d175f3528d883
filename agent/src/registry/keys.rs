//! Reading and writing our keys: one transaction for each instance and change, at most 100 operations each, every
//! write guarded. What etcd's user may not do costs the dialect that wants it, and no other.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::{
    AlarmAction, AlarmType, Client, Compare, CompareOp, KvClient, PutOptions, Txn, TxnOp, TxnOpResponse,
};
use futures::{StreamExt as _, stream};

use crate::etcd::{Etcd, EtcdError, Kind};

use super::desired::{Desired, Unit};
use super::hold::Guards;
use super::metrics::RegistryMetrics;
use super::plan::{Seen, Step};

/// etcd's default limit is 128 operations in one transaction.
const BATCH: usize = 100;
/// Keys that are read at once: with the largest values that etcd takes (1.5 MiB) the answer is below [`MAX_ANSWER`].
const READ_BATCH: usize = 16;
/// Whoever writes large values to our keys must not keep us from reading them.
pub const MAX_ANSWER: usize = 32 << 20;
/// In place of a dialect, for keys that hang on our lease and that nothing mentions any more.
pub const FORMER: &str = "earlier configurations";
/// Transactions under way at once.
const AT_ONCE: usize = 16;

/// What etcd had at a revision.
#[derive(Debug, Default)]
pub struct Found {
    pub keys: BTreeMap<String, Option<Seen>>,
    /// Of the store, at the oldest of the answers.
    pub revision: i64,
    /// Dialects that may not be read.
    pub refused: BTreeSet<&'static str>,
}

/// What became of what was planned.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Keys that were written, with the revision of that; none: deleted.
    pub written: Vec<(Step, i64)>,
    /// Keys that were not as they had been seen: to be read again.
    pub changed: BTreeSet<String>,
    pub refused: BTreeSet<&'static str>,
    /// etcd takes no puts; removals because of a verdict were not made.
    pub full: bool,
    /// Keys that etcd does not take as they are, and why.
    pub failed: BTreeMap<String, String>,
}

/// Talks to etcd for one session.
pub struct Keys<'a> {
    pub client: Client,
    pub etcd: &'a Etcd,
    pub metrics: &'a RegistryMetrics,
    pub lease: i64,
}

/// What became of one transaction.
enum Done {
    At(i64),
    Changed,
    Denied,
    Full,
    /// What is wrong with it concerns no other.
    Failed(String),
}

impl Keys<'_> {
    /// Reads these keys, together where that is allowed: reading is refused by dialect.
    pub async fn read(&mut self, keys: &BTreeMap<String, &'static str>) -> Result<Found, EtcdError> {
        let mut found = Found { revision: i64::MAX, ..Found::default() };
        let all: Vec<(&String, &'static str)> = keys.iter().map(|(key, dialect)| (key, *dialect)).collect();
        for batch in all.chunks(READ_BATCH) {
            let keys: Vec<&String> = batch.iter().map(|(key, _)| *key).collect();
            match self.read_batch(&keys, &mut found).await {
                Err(error) if error.kind() == Kind::Permission => self.read_apart(batch, &mut found).await?,
                other => other?,
            }
        }
        Ok(found)
    }

    /// Each dialect by itself, to find out which are refused.
    async fn read_apart(&mut self, batch: &[(&String, &'static str)], found: &mut Found) -> Result<(), EtcdError> {
        let dialects: BTreeSet<&'static str> = batch.iter().map(|(_, dialect)| *dialect).collect();
        for dialect in dialects.into_iter().filter(|dialect| !found.refused.contains(dialect)).collect::<Vec<_>>() {
            let own: Vec<&String> = batch.iter().filter(|(_, of)| *of == dialect).map(|(key, _)| *key).collect();
            match self.read_batch(&own, found).await {
                Err(error) if error.kind() == Kind::Permission => drop(found.refused.insert(dialect)),
                other => other?,
            }
        }
        Ok(())
    }

    async fn read_batch(&mut self, batch: &[&String], found: &mut Found) -> Result<(), EtcdError> {
        let gets: Vec<TxnOp> = batch.iter().map(|key| TxnOp::get(key.as_bytes(), None)).collect();
        let answer = self.etcd.ask("read keys", reader(&self.client).txn(Txn::new().and_then(gets))).await?;
        let revision = answer.header().map_or(0, |header| header.revision());
        found.revision = found.revision.min(revision);
        found.keys.extend(batch.iter().map(|key| ((*key).clone(), None)));
        for response in answer.op_responses() {
            let TxnOpResponse::Get(got) = response else { continue };
            for kv in got.kvs() {
                found.keys.insert(String::from_utf8_lossy(kv.key()).into_owned(), Some(seen(kv)));
            }
        }
        Ok(())
    }

    /// Does what was planned. Verdicts come after the agent's own key, which shows whether etcd takes puts: what
    /// cannot come back must not leave.
    pub async fn apply(
        &self,
        steps: Vec<Step>,
        desired: &Desired,
        guards: &BTreeMap<Unit, Guards>,
    ) -> Result<Outcome, EtcdError> {
        let mut outcome = Outcome::default();
        let (mut units, willed) = by_unit(steps, desired);
        if units.values().flatten().any(Step::is_verdict) {
            let first = units.remove(&Unit::Agent);
            self.commit_units(first.map(|steps| (Unit::Agent, steps)), desired, guards, &mut outcome).await?;
            let takes_puts = outcome.written.iter().any(|(step, _)| matches!(step, Step::Put { .. }));
            outcome.full = outcome.full || (!takes_puts && self.has_alarm().await?);
            if outcome.full {
                units.retain(|_, steps| !steps.iter().any(Step::is_verdict));
            }
        }
        self.commit_units(units, desired, guards, &mut outcome).await?;
        for batch in willed.chunks(BATCH) {
            outcome.add(self.commit_unit(batch.to_vec(), desired, &Guards::default()).await?);
        }
        Ok(outcome)
    }

    async fn commit_units(
        &self,
        units: impl IntoIterator<Item = (Unit, Vec<Step>)>,
        desired: &Desired,
        guards: &BTreeMap<Unit, Guards>,
        outcome: &mut Outcome,
    ) -> Result<(), EtcdError> {
        let none = Guards::default();
        let committing: Vec<_> = units
            .into_iter()
            .map(|(unit, steps)| self.commit_unit(steps, desired, guards.get(&unit).unwrap_or(&none)))
            .collect();
        let done: Vec<Result<Outcome, EtcdError>> = stream::iter(committing).buffer_unordered(AT_ONCE).collect().await;
        for one in done {
            outcome.add(one?);
        }
        Ok(())
    }

    /// One transaction, or one for each dialect where the user may not write all of them.
    async fn commit_unit(&self, steps: Vec<Step>, desired: &Desired, guards: &Guards) -> Result<Outcome, EtcdError> {
        let mut outcome = Outcome::default();
        for batch in steps.chunks(BATCH) {
            let done = self.commit(batch, guards).await?;
            if !matches!(done, Done::Denied) {
                outcome.note(batch, &done);
                continue;
            }
            let mut dialects: BTreeMap<&'static str, Vec<Step>> = BTreeMap::new();
            for step in batch {
                let dialect = desired.get(step.key()).map_or(FORMER, |wish| wish.dialect);
                dialects.entry(dialect).or_default().push(step.clone());
            }
            for (dialect, steps) in dialects {
                match self.commit(&steps, guards).await? {
                    Done::Denied => drop(outcome.refused.insert(dialect)),
                    done => outcome.note(&steps, &done),
                }
            }
        }
        Ok(outcome)
    }

    async fn commit(&self, steps: &[Step], guards: &Guards) -> Result<Done, EtcdError> {
        let own = steps.iter().map(|step| unchanged(step.key(), step.guard()));
        let conditions: Vec<Compare> = own.chain(guards.iter().map(|(key, seen)| unchanged(key, *seen))).collect();
        let ops: Vec<TxnOp> = steps.iter().filter_map(|step| self.operation(step)).collect();
        let mut client = self.client.clone();
        let txn = client.txn(Txn::new().when(conditions).and_then(ops));
        match self.etcd.ask("write", txn).await {
            Ok(answer) if answer.succeeded() => {
                let revision = answer.header().map_or(0, |header| header.revision());
                for step in steps {
                    self.metrics.wrote(if matches!(step, Step::Put { .. }) { "put" } else { "delete" });
                }
                Ok(Done::At(revision))
            }
            Ok(_) => Ok(Done::Changed),
            Err(error) => match error.kind() {
                Kind::Permission => Ok(Done::Denied),
                Kind::Space => Ok(Done::Full),
                _ if error.is_of_the_request() => Ok(Done::Failed(error.to_string())),
                _ => Err(error),
            },
        }
    }

    fn operation(&self, step: &Step) -> Option<TxnOp> {
        match step {
            Step::Put { key, value, .. } => {
                let options = PutOptions::new().with_lease(self.lease);
                Some(TxnOp::put(key.as_bytes(), value.as_bytes(), Some(options)))
            }
            Step::Delete { key, .. } => Some(TxnOp::delete(key.as_bytes(), None)),
            Step::Conflict { .. } => None,
        }
    }

    /// Is the alarm NOSPACE on? Whoever may not ask does not know, and goes on.
    async fn has_alarm(&self) -> Result<bool, EtcdError> {
        let mut client = self.client.clone();
        let asked = client.alarm(AlarmAction::Get, AlarmType::Nospace, None);
        match self.etcd.ask("look for alarms", asked).await {
            Ok(answer) => Ok(answer.alarms().iter().any(|alarm| alarm.alarm() == AlarmType::Nospace)),
            Err(error) if error.kind() == Kind::Permission => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The steps of each instance, and beside them what goes because somebody wants it and whose instance has nothing
/// else to be done: that goes together, so that an agent that stops takes all out at once.
fn by_unit(steps: Vec<Step>, desired: &Desired) -> (BTreeMap<Unit, Vec<Step>>, Vec<Step>) {
    let mut units: BTreeMap<Unit, Vec<Step>> = BTreeMap::new();
    let willed = |step: &Step| matches!(step, Step::Delete { .. }) && !step.is_verdict();
    let steps = steps.into_iter().filter(|step| !matches!(step, Step::Conflict { .. }));
    let (gone, others): (Vec<Step>, Vec<Step>) = steps.partition(willed);
    for step in others {
        if let Some(wish) = desired.get(step.key()) {
            units.entry(wish.unit.clone()).or_default().push(step);
        }
    }
    let mut together = Vec::new();
    for step in gone {
        match desired.get(step.key()).and_then(|wish| units.get_mut(&wish.unit)) {
            Some(unit) => unit.push(step),
            None => together.push(step),
        }
    }
    (units, together)
}

impl Outcome {
    fn note(&mut self, steps: &[Step], done: &Done) {
        match done {
            Done::At(revision) => self.written.extend(steps.iter().map(|step| (step.clone(), *revision))),
            Done::Changed => self.changed.extend(steps.iter().map(|step| step.key().to_owned())),
            Done::Full => self.full = true,
            Done::Failed(why) => self.failed.extend(steps.iter().map(|step| (step.key().to_owned(), why.clone()))),
            Done::Denied => {}
        }
    }

    fn add(&mut self, other: Self) {
        self.written.extend(other.written);
        self.changed.extend(other.changed);
        self.refused.extend(other.refused);
        self.full |= other.full;
        self.failed.extend(other.failed);
    }
}

/// Of answers that may be large.
pub fn reader(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(MAX_ANSWER)
}

/// The key is still as it was seen; revision 0 is that of a key that does not exist.
fn unchanged(key: &str, seen: i64) -> Compare {
    Compare::mod_revision(key.as_bytes(), CompareOp::Equal, seen)
}

pub fn seen(kv: &etcd_client::KeyValue) -> Seen {
    Seen { value: String::from_utf8_lossy(kv.value()).into_owned(), lease: kv.lease(), mod_revision: kv.mod_revision() }
}
