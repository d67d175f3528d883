//! Keys that are no instances: each is said once, each of its values is counted once. Below a prefix that is none of
//! services' there may be a hundred thousand; after some of them the log has heard enough.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Skipped, brief};

/// Keys that are said.
const SAID: usize = 100;

#[derive(Debug, Default)]
pub struct Skips {
    /// The revision of what was skipped last.
    keys: BTreeMap<Vec<u8>, i64>,
    bytes: usize,
    said: usize,
    total: u64,
}

impl Skips {
    pub fn note(&mut self, key: &[u8], revision: i64, why: &Skipped) {
        match self.keys.insert(key.to_vec(), revision) {
            Some(before) if before == revision => return,
            Some(_) => {}
            None => {
                self.bytes = self.bytes.saturating_add(key.len());
                self.say(key, why);
            }
        }
        self.total = self.total.saturating_add(1);
    }

    fn say(&mut self, key: &[u8], why: &Skipped) {
        self.said = self.said.saturating_add(1);
        if self.said <= SAID {
            tracing::warn!("the key {:?} is skipped: {why}", brief(key));
        }
        if self.said == SAID {
            tracing::warn!("{SAID} keys were skipped, more of them will only be counted: is the prefix right?");
        }
    }

    /// It is gone, or an instance now.
    pub fn forget(&mut self, key: &[u8]) {
        if self.keys.remove(key).is_some() {
            self.bytes = self.bytes.saturating_sub(key.len());
        }
    }

    pub fn keep_only<'a>(&mut self, keys: impl Iterator<Item = &'a Vec<u8>>) {
        let keys: BTreeSet<&Vec<u8>> = keys.collect();
        self.keys.retain(|key, _| keys.contains(key));
        self.bytes = self.keys.keys().map(Vec::len).sum();
    }

    /// Keys that are there.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Of those keys.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that were ever skipped.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn each_value_is_counted_once() {
        let mut skips = Skips::default();
        let seen = |skips: &Skips| (skips.total(), skips.count(), skips.bytes());
        skips.note(b"/a", 1, &Skipped::Key);
        skips.note(b"/a", 1, &Skipped::Key);
        assert_eq!(seen(&skips), (1, 1, 2));
        skips.note(b"/a", 2, &Skipped::Key);
        skips.note(b"/bc", 3, &Skipped::Large(70_000));
        assert_eq!(seen(&skips), (3, 2, 5));
        skips.keep_only([b"/bc".to_vec()].iter());
        assert_eq!(seen(&skips), (3, 1, 3));
        skips.forget(b"/bc");
        skips.forget(b"/never");
        assert_eq!(seen(&skips), (3, 0, 0));
    }

    #[test]
    fn the_log_has_heard_enough_after_some() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || Written(writer.clone())).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut skips = Skips::default();
            for n in 0..500 {
                skips.note(format!("/{n}").as_bytes(), 1, &Skipped::Key);
            }
            assert_eq!(skips.total(), 500);
        });
        let log = String::from_utf8(log.lock().expect("the log").clone()).expect("text");
        assert_eq!((log.matches(" is skipped: ").count(), log.matches("100 keys were skipped").count()), (100, 1));
    }

    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the log").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
