//! Loads under way, each in a task of its own, so that the loop never waits for one. One at a time for each name: what
//! is on disk by then is loaded after it. It is not cancelled for something newer, which under a storm of replacements
//! would end in nothing ever being loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::model::checkset::{Checker, Compiler};
use crate::model::name::Name;
use crate::supervise::Supervisor;

use super::slot::{NotUsed, Version};
use super::{bundled, inventory};

/// A file may have 64 MiB.
const IN_MEMORY: usize = 2;
/// A disk that takes longer to give a file is looked at anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a load.
pub struct Loaded {
    pub name: Name,
    pub source: String,
    /// Of what was loaded.
    pub digest: String,
    pub result: Result<Arc<dyn Checker>, NotUsed>,
}

struct UnderWay {
    digest: String,
    superseded: bool,
}

pub struct Loads {
    /// Files that are in memory at once.
    reads: Arc<Semaphore>,
    running: FuturesUnordered<BoxFuture<'static, Loaded>>,
    under_way: BTreeMap<Name, UnderWay>,
}

impl Default for Loads {
    fn default() -> Self {
        let reads = Arc::new(Semaphore::new(IN_MEMORY));
        Self { reads, running: FuturesUnordered::new(), under_way: BTreeMap::new() }
    }
}

impl Loads {
    pub fn begin(&mut self, supervisor: &Supervisor, compiler: &Arc<dyn Compiler>, name: Name, version: Version) {
        let digest = version.digest.clone();
        self.under_way.insert(name.clone(), UnderWay { digest: digest.clone(), superseded: false });
        let source = version.source.clone();
        let load = load(supervisor.clone(), compiler.clone(), self.reads.clone(), name.clone(), version);
        let loading = supervisor.helper(load);
        let loaded = async move {
            // In a task of its own, so that a panic is its own end only.
            let (digest, result) = loading.await.unwrap_or((digest, Err(NotUsed::Panicked)));
            Loaded { name, source, digest, result }
        };
        self.running.push(loaded.boxed());
    }

    /// The next that ends; none while there is none under way. Safe to cancel.
    pub async fn next(&mut self) -> Option<Loaded> {
        self.running.next().await
    }

    /// It is over; was something else seen on disk meanwhile?
    pub fn end(&mut self, name: &Name) -> bool {
        self.under_way.remove(name).is_some_and(|load| load.superseded)
    }

    /// Is a version of it being loaded? If it is another one than is on disk now, there is more to do after it.
    pub fn has(&mut self, name: &Name, digest: &str) -> bool {
        let Some(load) = self.under_way.get_mut(name) else { return false };
        load.superseded = load.digest != digest;
        true
    }

    /// The bundled version is loaded first; the file comes after it.
    pub fn supersede(&mut self, name: &Name) {
        if let Some(load) = self.under_way.get_mut(name) {
            load.superseded = true;
        }
    }

    pub fn digest_of(&self, name: &Name) -> Option<&String> {
        self.under_way.get(name).map(|load| &load.digest)
    }

    pub fn digests(&self) -> impl Iterator<Item = &String> {
        self.under_way.values().map(|load| &load.digest)
    }

    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.under_way.keys()
    }

    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

/// Loads a version: what the cache has is not even read. The digest is that of what was loaded, which under a storm of
/// replacements is another than was looked at; waiting for the same would end in nothing ever being loaded.
async fn load(
    supervisor: Supervisor,
    compiler: Arc<dyn Compiler>,
    reads: Arc<Semaphore>,
    name: Name,
    version: Version,
) -> (String, Result<Arc<dyn Checker>, NotUsed>) {
    let Version { source, digest, .. } = version;
    if let Some(checker) = compiler.recall(name.clone(), digest.clone()).await {
        return (digest, Ok(checker));
    }
    if let Some(bytes) = bundled::bytes(&name).filter(|_| source == bundled::SOURCE) {
        let loaded = compiler.load(name, digest.clone(), Arc::from(bytes)).await;
        return (digest, loaded.map_err(NotUsed::from));
    }
    let _turn = reads.acquire().await;
    let read = supervisor.blocking(move || inventory::content(Path::new(&source)));
    let Ok(Ok(Some((digest, bytes)))) = timeout(PATIENCE, read).await else { return (digest, Err(NotUsed::Gone)) };
    let loaded = compiler.load(name, digest.clone(), bytes).await;
    (digest, loaded.map_err(NotUsed::from))
}

/// How the first loads get on, for people who wait for them.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    total: usize,
    left: BTreeSet<Name>,
    /// Those that did not work.
    failed: BTreeSet<Name>,
    said: bool,
}

impl Progress {
    /// These are being loaded, of `all` that there are.
    pub fn new(began: Instant, names: BTreeSet<Name>, all: usize) -> Self {
        match names.len() {
            0 => {}
            1 => tracing::info!("compiling 1 plugin"),
            count => tracing::info!("compiling {count} plugins"),
        }
        let mut progress = Self { began, total: names.len(), left: names, failed: BTreeSet::new(), said: all == 0 };
        progress.say_end();
        progress
    }

    /// One is through; what is said of it: ` (2 of 5)`.
    pub fn done(&mut self, name: &Name, works: bool) -> String {
        if !self.left.remove(name) {
            return String::new();
        }
        if !works {
            self.failed.insert(name.clone());
        }
        format!(" ({} of {})", self.total - self.left.len(), self.total)
    }

    /// Says, once, that none is left.
    pub fn say_end(&mut self) {
        if !self.left.is_empty() || std::mem::replace(&mut self.said, true) {
            return;
        }
        let after = self.began.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            tracing::info!("all plugins are ready after {after:.1} s");
        } else {
            let failed = self.failed.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
            tracing::warn!("all plugins were looked at after {after:.1} s; not used: {failed}");
        }
    }

    /// What went meanwhile is not waited for.
    pub fn forget(&mut self, name: &Name) {
        self.left.remove(name);
    }
}
