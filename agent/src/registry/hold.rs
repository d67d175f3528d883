//! `keep_at_least`: verdicts never take out the last N instances of a service. A checker that is wrong everywhere, or
//! a dependency that all share, must not empty the registry.
//!
//! Counting and removing are one step to etcd: the removal happens only if N others that were counted are still there
//! as they were seen. So agents that decide at the same moment cannot take out too many together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etcd_client::{Client, GetOptions, KeyValue};
use tokio::time::Instant;

use crate::etcd::{Etcd, EtcdError, Kind};
use crate::model::instance::Instance;
use crate::model::name::Name;
use crate::model::snapshot::HealthSnapshot;

use super::desired::{Fate, is_ill};
use super::dialect::Dialect;
use super::keys::reader;
use super::{Config, OnDown};

/// Before it is counted each agent waits up to this at random, so that they mostly do not meet.
const WAIT: Duration = Duration::from_secs(2);

/// Keys below a service that are no instances, at most, before instances are missed.
const SPARE: usize = 1000;

/// Keys that must be as they were seen.
pub type Guards = Vec<(String, i64)>;

#[derive(Debug)]
enum Hold {
    Wait {
        until: Instant,
    },
    Held {
        again: Instant,
    },
    Go {
        guards: Guards,
    },
    /// It is out of traffic.
    Gone,
}

/// Which ill instances may go.
#[derive(Debug, Default)]
pub struct Holds {
    entries: BTreeMap<Name, Hold>,
}

impl Holds {
    /// Looks at what is ill. `in_traffic` says whether readers see the instance at all.
    pub fn look(&mut self, snapshot: &HealthSnapshot, config: &Config, in_traffic: impl Fn(&Name) -> bool) {
        if config.keep_at_least == 0 {
            return;
        }
        let ill = |name: &Name| snapshot.services.get(name).is_some_and(is_ill);
        self.entries.retain(|name, hold| {
            let stays = ill(name);
            if !stays && matches!(hold, Hold::Held { .. }) {
                tracing::info!(service = %name, "service {name} is not held any more: it is well, or not to be kept");
            }
            stays
        });
        for name in snapshot.services.keys().filter(|name| ill(name)) {
            // What has gone may be there still, or again: its removal was refused, or somebody put it.
            if matches!(self.entries.get(name), None | Some(Hold::Gone)) && in_traffic(name) {
                self.entries.insert(name.clone(), Hold::wait());
            }
        }
    }

    pub fn fates(&self) -> BTreeMap<Name, Fate> {
        let fate = |hold: &Hold| match hold {
            Hold::Wait { .. } => Fate::Wait,
            Hold::Held { .. } => Fate::Held,
            Hold::Go { .. } | Hold::Gone => Fate::Go,
        };
        self.entries.iter().map(|(name, hold)| (name.clone(), fate(hold))).collect()
    }

    pub fn guards(&self) -> impl Iterator<Item = (&Name, &Guards)> {
        self.entries.iter().filter_map(|(name, hold)| match hold {
            Hold::Go { guards } => Some((name, guards)),
            _ => None,
        })
    }

    /// When the next one is to be counted.
    pub fn due(&self) -> Option<Instant> {
        let due = self.entries.values().filter_map(|hold| match hold {
            Hold::Wait { until } => Some(*until),
            Hold::Held { again } => Some(*again),
            Hold::Go { .. } | Hold::Gone => None,
        });
        due.min()
    }

    pub fn held(&self) -> usize {
        self.entries.values().filter(|hold| matches!(hold, Hold::Held { .. })).count()
    }

    /// Those that are due to be counted.
    pub fn to_count(&self, now: Instant) -> Vec<Name> {
        let due = |hold: &Hold| match hold {
            Hold::Wait { until } => *until <= now,
            Hold::Held { again } => *again <= now,
            Hold::Go { .. } | Hold::Gone => false,
        };
        self.entries.iter().filter(|(_, hold)| due(hold)).map(|(name, _)| name.clone()).collect()
    }

    /// The others were counted: enough of them, or not.
    pub fn counted(&mut self, name: &Name, others: Guards, config: &Config) {
        let Some(hold) = self.entries.get_mut(name) else { return };
        let keep = config.keep_at_least;
        if others.len() >= keep {
            *hold = Hold::Go { guards: others.into_iter().take(keep).collect() };
            return;
        }
        if !matches!(hold, Hold::Held { .. }) {
            let left = others.len();
            tracing::error!(
                service = %name,
                "service {name} is DOWN and stays registered: only {left} other instances would remain, keep_at_least \
                 is {keep}"
            );
        }
        let again = config.ttl.mul_f64(0.75 + rand::random::<f64>() / 2.0);
        *hold = Hold::Held { again: Instant::now() + again };
    }

    /// What was to go went, except for these: others went meanwhile, so they are counted again.
    pub fn went(&mut self, undone: &BTreeSet<&Name>) {
        for (name, hold) in &mut self.entries {
            if matches!(hold, Hold::Go { .. }) {
                *hold = if undone.contains(name) { Hold::wait() } else { Hold::Gone };
            }
        }
    }
}

impl Hold {
    fn wait() -> Self {
        Self::Wait { until: Instant::now() + WAIT.mul_f64(rand::random::<f64>()) }
    }
}

/// The other instances of a service that take traffic, with their revisions; enough of them for a guard. `own` are
/// the keys of ours.
pub async fn others(
    service: &Name,
    own: &BTreeSet<String>,
    client: &Client,
    etcd: &Etcd,
    config: &Config,
) -> Result<Guards, EtcdError> {
    let Some(dialect) = counted_dialect(config) else { return Ok(Guards::new()) };
    let group = dialect.group(&config.prefix, service);
    let marks = matches!(config.on_down, OnDown::Mark { .. });
    let options = GetOptions::new().with_prefix();
    let enough = i64::try_from(config.keep_at_least.saturating_add(own.len() + SPARE)).unwrap_or(i64::MAX);
    // Marked instances are there and take no traffic: only their values say so.
    let options = if marks { options } else { options.with_keys_only().with_limit(enough) };
    let got = match etcd.ask("count instances", reader(client).get(group, Some(options))).await {
        Ok(got) => got,
        // Who may not count must not remove.
        Err(error) if matches!(error.kind(), Kind::Permission | Kind::Other) => return Ok(Guards::new()),
        Err(error) => return Err(error),
    };
    let key = |kv: &KeyValue| String::from_utf8_lossy(kv.key()).into_owned();
    // What hangs on no lease was put by a person, and is no instance that lives.
    let others = got.kvs().iter().filter(|kv| !own.contains(&key(kv)) && kv.lease() != 0 && (!marks || serves(kv)));
    Ok(others.map(|kv| (key(kv), kv.mod_revision())).collect())
}

/// Whose keys are counted: the first dialect's that has one key for each instance below a prefix.
pub fn counted_dialect(config: &Config) -> Option<&Dialect> {
    config.dialects.iter().find(|dialect| **dialect == Dialect::Native).or_else(|| config.dialects.first())
}

fn serves(kv: &KeyValue) -> bool {
    serde_json::from_slice::<Instance>(kv.value()).is_ok_and(|instance| instance.serves())
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
