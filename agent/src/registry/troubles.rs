//! What keeps a key from being as it should be, and that it is said once: another owner, a missing permission, a full
//! database, a value that etcd does not take.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::etcd::Kind;
use crate::model::instance::Instance;

use super::plan::Step;
use super::session::Ground;

/// Of another's value in our log.
const SHOWN: usize = 200;

#[derive(Debug, Default)]
pub struct Troubles {
    pub conflicts: BTreeSet<String>,
    /// Dialects that etcd's user may not touch.
    pub refused: BTreeSet<&'static str>,
    /// Keys that etcd did not take as they are.
    failed: BTreeSet<String>,
    /// etcd takes no puts.
    full: bool,
}

impl Troubles {
    /// A comparison tries everything again.
    pub fn begin_anew(&mut self) {
        self.refused.clear();
        self.failed.clear();
    }

    pub fn may_try(&self, key: &str, dialect: Option<&'static str>) -> bool {
        !self.failed.contains(key) && !dialect.is_some_and(|dialect| self.refused.contains(dialect))
    }

    /// Is it known why the key is not as it should be, so that trying again at once is of no use?
    pub fn is_known(&self, key: &str) -> bool {
        self.conflicts.contains(key) || self.failed.contains(key)
    }

    pub fn refuse(&mut self, refused: &BTreeSet<&'static str>, ground: &mut Ground<'_>) {
        for dialect in refused {
            ground.metrics.error(Kind::Permission);
            if self.refused.insert(dialect) && ground.memory.refused.insert(dialect) {
                let problem = format!(
                    "etcd's user may not read and write the keys of {dialect:?}: the others go on without them; the \
                     README has the lines that grant it"
                );
                tracing::error!("{problem}");
                ground.status.problem(problem);
            }
        }
    }

    pub fn note_failed(&mut self, failed: &BTreeMap<String, String>, ground: &mut Ground<'_>) {
        for (key, why) in failed {
            ground.metrics.error(Kind::Other);
            self.failed.insert(key.clone());
            let problem = format!("{key} is not taken by etcd: {why}; it is tried again every minute");
            if ground.memory.failed.get(key) != Some(why) {
                ground.memory.failed.insert(key.clone(), why.clone());
                tracing::error!("{problem}");
                ground.status.problem(problem);
            }
        }
    }

    /// A dialect that was refused and is not any more.
    pub fn note_allowed(&mut self, ground: &mut Ground<'_>) {
        for dialect in std::mem::take(&mut ground.memory.refused) {
            if self.refused.contains(dialect) {
                ground.memory.refused.insert(dialect);
            } else {
                tracing::info!("etcd's user may read and write the keys of {dialect:?} now");
            }
        }
    }

    pub fn note_full(&mut self, full: bool, ground: &Ground<'_>) {
        if full {
            ground.metrics.error(Kind::Space);
        }
        if full == self.full {
            return;
        }
        self.full = full;
        if full {
            let problem = "etcd's database is full: nothing can be put, so ill instances stay too; compact and \
                           defragment it, then `etcdctl alarm disarm`";
            tracing::error!("{problem}");
            ground.status.problem(problem.to_owned());
        } else {
            tracing::info!("etcd takes puts again");
        }
    }

    /// One line for all that others hold since the last look, and one for each that they hold no more.
    pub fn note_conflicts(
        &mut self,
        steps: &[Step],
        looked_at: &BTreeSet<String>,
        ground: &Ground<'_>,
        address: IpAddr,
    ) {
        let before = self.conflicts.clone();
        self.conflicts.retain(|key| !looked_at.contains(key));
        let mut fresh = Vec::new();
        for step in steps {
            if let Step::Conflict { key, holder } = step {
                self.conflicts.insert(key.clone());
                if !before.contains(key) {
                    fresh.push((key, holder));
                }
            }
        }
        for key in before.difference(&self.conflicts) {
            tracing::info!("{key} is held by no other owner any more");
        }
        if let Some((key, holder)) = fresh.first() {
            let others = match fresh.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more of our keys)"),
            };
            let (agent, owner, holder) = (&ground.config.agent_id, ground.identity.owner(), holder_words(holder));
            let problem = format!(
                "{key}{others} is held by another owner, it is left alone: by {holder}; we are agent {agent} at \
                 {address}, owner {owner}. If that is this agent before it lost its state directory, it ends with the \
                 old lease; else give one of the two another id"
            );
            tracing::error!("{problem}");
            ground.status.problem(problem);
        }
        ground.metrics.conflicts(self.conflicts.len());
    }
}

/// Whoever holds a key, by its value: what we write names the agent; else its beginning, with nothing that a terminal
/// would act on.
fn holder_words(value: &str) -> String {
    if let Ok(instance) = serde_json::from_str::<Instance>(value)
        && !instance.agent.is_empty()
    {
        let (agent, address, owner) = (brief(&instance.agent), brief(&instance.address), brief(&instance.owner));
        return format!("agent {agent} at {address}, owner {owner}");
    }
    brief(value)
}

fn brief(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let rest = if short.len() < text.len() { format!(" .. ({} bytes)", text.len()) } else { String::new() };
    format!("{short:?}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_named_shortly_and_harmlessly() {
        let ours = r#"{"id":"a","service":"s","address":"10.0.0.1","port":1,"agent":"web-1","owner":"x"}"#;
        assert_eq!(holder_words(ours), r#"agent "web-1" at "10.0.0.1", owner "x""#);
        let evil = format!("\u{1b}[31m\n{}", "A".repeat(900_000));
        let words = holder_words(&evil);
        assert!(words.len() < 300 && !words.contains(['\n', '\u{1b}']), "{words}");
    }
}
