//! What we know of our keys: what was read, what we wrote, and what the watch told. One watch stream, each key watched
//! by itself: a prefix would bring every other agent's changes too.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::{Client, WatchOptions, WatchResponse, WatchStream};

use crate::etcd::{Etcd, EtcdError};

use super::keys::{Found, MAX_ANSWER, seen};
use super::plan::{Seen, Step};

/// Keys of ours as etcd has them.
#[derive(Default)]
pub struct Mirror {
    /// Of each key that is known: what it holds, and at which revision that was so.
    known: BTreeMap<String, (Option<Seen>, i64)>,
    /// Keys that the watch said something of since they were planned for.
    dirty: BTreeSet<String>,
    stream: Option<WatchStream>,
    /// The watch of each key. etcd chooses no numbers: ours tell whose answer it is.
    watched: BTreeMap<i64, String>,
    last_id: i64,
}

impl Mirror {
    pub fn get(&self, key: &str) -> Option<&Seen> {
        self.known.get(key).and_then(|(seen, _)| seen.as_ref())
    }

    pub fn knows(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// What is known of these keys.
    pub fn of(&self, keys: &BTreeSet<String>) -> BTreeMap<String, Option<Seen>> {
        let known = keys.iter().filter_map(|key| Some((key.clone(), self.known.get(key)?.0.clone())));
        known.collect()
    }

    /// All keys that are known to hold something.
    pub fn present(&self) -> impl Iterator<Item = &String> {
        self.known.iter().filter(|(_, (seen, _))| seen.is_some()).map(|(key, _)| key)
    }

    /// Is a key known that hangs on this lease?
    pub fn holds_any(&self, lease: i64) -> bool {
        self.known.values().any(|(seen, _)| seen.as_ref().is_some_and(|seen| seen.lease == lease))
    }

    pub fn take_dirty(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.dirty)
    }

    pub fn dirty(&self) -> impl Iterator<Item = &String> {
        self.dirty.iter()
    }

    /// To be looked at again, although nothing new is known of them.
    pub fn is_to_be_seen(&mut self, keys: BTreeSet<String>) {
        self.dirty.extend(keys);
    }

    /// To be read again.
    pub fn forget(&mut self, key: &str) {
        self.known.remove(key);
    }

    /// Everything is to be read again.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }

    pub fn found(&mut self, found: &Found) {
        for (key, seen) in &found.keys {
            self.note(key, seen.clone(), found.revision);
        }
    }

    pub fn wrote(&mut self, written: &[(Step, i64)], lease: i64) {
        for (step, revision) in written {
            let seen = match step {
                Step::Put { value, .. } => Some(Seen { value: value.clone(), lease, mod_revision: *revision }),
                _ => None,
            };
            self.note(step.key(), seen, *revision);
        }
    }

    /// The later news counts; false if it is none.
    fn note(&mut self, key: &str, seen: Option<Seen>, revision: i64) -> bool {
        if self.known.get(key).is_some_and(|(_, known)| *known >= revision) {
            return false;
        }
        self.known.insert(key.to_owned(), (seen, revision));
        true
    }

    /// Watches these keys from what is known of them on, and no others.
    pub async fn watch<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a String>,
        client: &Client,
        etcd: &Etcd,
    ) -> Result<(), EtcdError> {
        let wanted: BTreeSet<&String> = keys.filter(|key| self.known.contains_key(*key)).collect();
        let gone: Vec<i64> = self.watched.iter().filter(|(_, key)| !wanted.contains(key)).map(|(id, _)| *id).collect();
        for id in gone {
            self.watched.remove(&id);
            if let Some(stream) = &mut self.stream {
                etcd.ask("end a watch", stream.cancel(id)).await?;
            }
        }
        let watched: BTreeSet<&String> = self.watched.values().collect();
        let fresh: Vec<String> = wanted.into_iter().filter(|key| !watched.contains(key)).cloned().collect();
        for key in fresh {
            let after = self.known.get(&key).map_or(0, |(_, revision)| *revision);
            self.last_id += 1;
            let options = WatchOptions::new().with_start_revision(after + 1).with_watch_id(self.last_id);
            match &mut self.stream {
                Some(stream) => etcd.ask("watch", stream.watch(key.as_bytes(), Some(options))).await?,
                None => {
                    let mut watcher = client.watch_client().max_decoding_message_size(MAX_ANSWER);
                    self.stream = Some(etcd.ask("watch", watcher.watch(key.as_bytes(), Some(options))).await?);
                }
            }
            self.watched.insert(self.last_id, key);
        }
        Ok(())
    }

    /// Waits until the watch says something; safe to cancel. For ever where nothing is watched.
    pub async fn news(&mut self) -> Result<(), EtcdError> {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        let response = stream.message().await.map_err(|error| EtcdError::from_client("watch", error))?;
        let response = response.ok_or(EtcdError::Closed { doing: "watch" })?;
        if response.canceled() {
            self.canceled(&response)?;
        }
        for event in response.events() {
            let Some(kv) = event.kv() else { continue };
            let key = String::from_utf8_lossy(kv.key()).into_owned();
            // Only what was deleted has no version.
            let there = (kv.version() > 0).then(|| seen(kv));
            if self.note(&key, there, kv.mod_revision()) {
                self.dirty.insert(key);
            }
        }
        Ok(())
    }

    /// A watch that etcd ended: after a compaction it is begun anew from what is read then. Where the user may not
    /// watch, the comparisons have to do.
    fn canceled(&mut self, response: &WatchResponse) -> Result<(), EtcdError> {
        let reason = response.cancel_reason();
        // The next session has another token.
        if reason.contains("token") {
            return Err(EtcdError::Closed { doing: "watch" });
        }
        if response.compact_revision() == 0 {
            tracing::debug!("a watch of our own key was ended: {reason}");
            return Ok(());
        }
        if let Some(key) = self.watched.remove(&response.watch_id()) {
            self.known.remove(&key);
            self.dirty.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(revision: i64) -> Option<Seen> {
        Some(Seen { value: "v".into(), lease: 1, mod_revision: revision })
    }

    #[test]
    fn the_later_news_counts() {
        let mut mirror = Mirror::default();
        assert!(mirror.note("k", seen(5), 5));
        assert!(!mirror.note("k", None, 4), "older news");
        assert!(!mirror.note("k", seen(5), 5), "the watch's echo of our own write");
        assert_eq!(mirror.get("k"), seen(5).as_ref());
        assert!(mirror.note("k", None, 6));
        assert!(mirror.knows("k") && mirror.get("k").is_none() && mirror.present().next().is_none());
    }
}
