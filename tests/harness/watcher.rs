//! What a watcher of a prefix sees, live: the consumer for whom all of this is done.
//!
//! Every member of the cluster is watched by a thread of its own, and an event counts when the first of them tells it:
//! none is missed and none is late while one member lives. A watch that breaks goes on behind the last event. A cluster
//! that came back empty is noted as REREAD, then what there is in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, Error, WatchOptions, WatchResponse, WatchStream};

use super::etcd::{Store, described, event_revision};
use super::wait::{eventually, pause, that};

/// For a try; a stopped member says nothing.
const TRY: Duration = Duration::from_secs(1);
/// Until a watching thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(10);

/// `PUT key value`, `DELETE key`, `REREAD` or `COMPACTED`.
#[derive(Debug, Clone)]
pub struct Note {
    pub at: Instant,
    pub what: String,
}

impl Note {
    /// The first word.
    pub fn verb(&self) -> &str {
        self.what.split(' ').next().unwrap_or_default()
    }

    pub fn is_put_of(&self, key: &str) -> bool {
        self.what.strip_prefix("PUT ").and_then(|rest| rest.strip_prefix(key)).is_some_and(|rest| rest.starts_with(' '))
    }
}

impl AsRef<str> for Note {
    fn as_ref(&self) -> &str {
        &self.what
    }
}

/// Ended in `Drop`.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    watching: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Seen {
    prefix: String,
    notes: Vec<Note>,
    /// Of the last event, and of the cluster that it happened in.
    revision: i64,
    cluster: u64,
}

impl Watcher {
    /// Sees what happens from now on.
    pub fn start(store: &Store, prefix: &str) -> Self {
        let (cluster, revision) = store.now();
        let seen = Arc::new(Mutex::new(Seen { prefix: prefix.to_owned(), notes: Vec::new(), revision, cluster }));
        let stop = Arc::new(AtomicBool::new(false));
        let watch = |url: &String| {
            let (url, seen, stop) = (url.clone(), seen.clone(), stop.clone());
            std::thread::spawn(move || watch_member(&url, &seen, &stop))
        };
        let watching = store.endpoints().iter().map(watch).collect();
        Self { seen, stop, watching }
    }

    /// So far.
    pub fn notes(&self) -> Vec<Note> {
        locked(&self.seen).notes.clone()
    }

    /// Everything until now; the cluster must be able to answer.
    pub fn all_notes(&self, store: &Store) -> Vec<Note> {
        let mark = store.mark();
        eventually("the watcher sees the mark", SOON, || {
            let seen = locked(&self.seen);
            let at = (seen.cluster, seen.revision);
            that(at.0 == mark.0 && at.1 >= mark.1, || format!("it is at {at:?}, the mark at {mark:?}"))
        });
        self.notes()
    }

    /// Has it seen nothing so far?
    pub fn saw_nothing(&self) -> Result<(), String> {
        let notes = self.notes();
        that(notes.is_empty(), || format!("{notes:?}"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for watching in self.watching.drain(..) {
            let _ = watching.join();
        }
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// Another cluster in place of the one that was watched has a history of its own, from its beginning.
    fn met(&mut self, cluster: u64) {
        if cluster != self.cluster {
            self.cluster = cluster;
            self.revision = 0;
            self.add("REREAD".to_owned());
        }
    }

    /// What another member has told already is not noted again.
    fn note(&mut self, response: &WatchResponse) {
        if response.header().is_none_or(|header| header.cluster_id() != self.cluster) {
            return;
        }
        let forgotten = response.compact_revision() - 1;
        if forgotten > self.revision {
            self.revision = forgotten;
            self.add("COMPACTED".to_owned());
        }
        let before = self.revision;
        for event in response.events().iter().filter(|event| event_revision(event) > before) {
            if let Some(what) = described(event, &self.prefix) {
                self.add(what);
            }
            self.revision = self.revision.max(event_revision(event));
        }
    }

    fn add(&mut self, what: String) {
        self.notes.push(Note { at: Instant::now(), what });
    }
}

/// Watches one member until it is to end, whatever happens to the member.
fn watch_member(url: &str, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    while !stop.load(Ordering::Relaxed) {
        runtime.block_on(async {
            if let Ok(Ok(mut stream)) = tokio::time::timeout(TRY, open(url, seen)).await {
                follow(&mut stream, seen, stop).await;
            }
        });
        pause();
    }
}

async fn open(url: &str, seen: &Mutex<Seen>) -> Result<WatchStream, Error> {
    let options = ConnectOptions::new().with_connect_timeout(TRY);
    let mut client = Client::connect([url], Some(options)).await?;
    let status = client.status().await?;
    let from = {
        let mut seen = locked(seen);
        seen.met(status.header().expect("a header").cluster_id());
        seen.revision + 1
    };
    client.watch("", Some(WatchOptions::new().with_all_keys().with_start_revision(from))).await
}

async fn follow(stream: &mut WatchStream, seen: &Mutex<Seen>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match tokio::time::timeout(LOOK, stream.message()).await {
            Ok(Ok(Some(response))) => {
                locked(seen).note(&response);
                if response.canceled() {
                    return;
                }
            }
            Ok(_) => return,
            Err(_) => {}
        }
    }
}
