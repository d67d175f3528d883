//! One look at everything on disk, beside the loop: a disk may take its time, and a dead file system for ever.

use std::collections::BTreeSet;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::model::checkset::{Checker, Compiler, DefinitionSource, Definitions, Places, Reading};
use crate::model::name::Name;
use crate::supervise::Supervisor;

use super::accepted::{self, Remembered};
use super::inventory::{self, Inventory};
use super::settle::Span;
use super::watch::Arranged;
use super::{bundled, gate};

/// What was seen.
pub struct Looked {
    pub span: Span,
    /// Somebody said that nobody is writing.
    pub settled: bool,
    /// By which it was looked.
    pub definitions: Arc<Definitions>,
    pub inventory: Inventory,
    pub arranged: Arranged,
    pub first: Option<First>,
}

/// What only the first look finds.
pub struct First {
    pub remembered: Remembered,
    pub recalled: Vec<Recalled>,
}

/// A version that the cache had.
pub struct Recalled {
    pub name: Name,
    pub source: String,
    pub digest: String,
    /// It is what was let in last.
    pub accepted: bool,
    pub checker: Arc<dyn Checker>,
}

/// Where a look is: the one thing that is known of one that does not come back.
#[derive(Debug, Clone, Default)]
pub struct At(Arc<Mutex<PathBuf>>);

impl At {
    pub fn is(&self, path: &Path) {
        path.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).display().to_string()
    }
}

/// What a look is to find out.
pub struct Question {
    pub settled: bool,
    pub definitions: Arc<Definitions>,
    pub first: bool,
    pub state_dir: PathBuf,
}

/// The reading of the configuration that is under way.
#[derive(Default)]
pub struct Rereading(Option<(Instant, JoinHandle<Reading>)>);

impl Rereading {
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    pub fn began(&self) -> Option<Instant> {
        self.0.as_ref().map(|(began, _)| *began)
    }

    pub fn begin(&mut self, settled: bool, source: Arc<dyn DefinitionSource>, supervisor: &Supervisor) {
        self.0 = Some((Instant::now(), supervisor.blocking(move || source.load(settled))));
    }

    /// Waits for its end, for ever where there is none under way; none: it did not end as it should. Safe to cancel.
    pub async fn ended(&mut self) -> Option<Reading> {
        let Some((_, reading)) = &mut self.0 else { return pending().await };
        let reading = reading.await;
        self.0 = None;
        reading.ok()
    }
}

/// The look at watches and plugins that is under way.
#[derive(Default)]
pub struct Looking(Option<UnderWay>);

struct UnderWay {
    began: Instant,
    places: Places,
    at: At,
    look: BoxFuture<'static, Option<Looked>>,
}

impl Looking {
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    pub fn began(&self) -> Option<Instant> {
        self.0.as_ref().map(|look| look.began)
    }

    /// Where it is.
    pub fn at(&self) -> Option<String> {
        self.0.as_ref().map(|look| look.at.text())
    }

    /// Does it look at these?
    pub fn looks_by(&self, places: &Places) -> bool {
        self.0.as_ref().is_some_and(|look| look.places == *places)
    }

    /// One that is under way is left behind.
    pub fn begin(
        &mut self,
        question: Question,
        arrange: impl FnOnce(&Places, &At) -> Arranged + Send + 'static,
        supervisor: Supervisor,
        compiler: Arc<dyn Compiler>,
    ) {
        let Question { settled, definitions, first, state_dir } = question;
        let (began, at, places) = (Instant::now(), At::default(), definitions.places.clone());
        at.is(&state_dir);
        let look = {
            let (at, definitions) = (at.clone(), definitions.clone());
            move || {
                let remembered = first.then(|| accepted::read(&state_dir));
                // First the watches: what changes from now on is an event.
                let arranged = arrange(&definitions.places, &at);
                let (dirs, overrides) = (&definitions.places.plugin_dirs, &definitions.rules.overrides);
                (arranged, remembered, inventory::read(dirs, overrides, &at))
            }
        };
        let look = supervisor.blocking(look);
        let look = async move {
            let (arranged, remembered, inventory) = look.await.ok()?;
            let first = match remembered {
                Some(remembered) => {
                    let recalled = recall(&definitions, &inventory, &remembered, &supervisor, &compiler).await;
                    Some(First { remembered, recalled })
                }
                None => None,
            };
            let span = Span { began, ended: Instant::now() };
            Some(Looked { span, settled, definitions, inventory, arranged, first })
        };
        self.0 = Some(UnderWay { began, places, at, look: look.boxed() });
    }

    /// Waits for the end of the look that is under way, for ever where there is none; none: it did not end as it
    /// should. Safe to cancel.
    pub async fn ended(&mut self) -> Option<Looked> {
        let Some(under_way) = &mut self.0 else { return pending().await };
        let looked = (&mut under_way.look).await;
        self.0 = None;
        looked
    }
}

/// Everything that would run and is in the cache: of a file what was let in last, and what is on disk.
async fn recall(
    definitions: &Definitions,
    inventory: &Inventory,
    remembered: &Remembered,
    supervisor: &Supervisor,
    compiler: &Arc<dyn Compiler>,
) -> Vec<Recalled> {
    let mut wanted = Vec::new();
    let files = inventory.files.iter().map(|(name, version)| (name, version.source.clone(), Some(&version.digest)));
    let refused = inventory.refused.iter().filter(|refused| !refused.takes_a_name(&definitions.rules));
    let refused =
        refused.filter_map(|refused| Some((refused.name.as_ref()?, refused.path.display().to_string(), None)));
    for (name, source, on_disk) in files.chain(refused) {
        let accepted = remembered.get(name).map(|entry| &entry.digest);
        let others = on_disk.filter(|digest| Some(*digest) != accepted);
        for (digest, accepted) in accepted.map(|d| (d, true)).into_iter().chain(others.map(|d| (d, false))) {
            if gate::against_pin(&definitions.rules, name, digest).is_none() {
                wanted.push((name.clone(), source.clone(), digest.clone(), accepted));
            }
        }
    }
    let used: BTreeSet<&Name> = definitions.checks.values().map(|check| &check.checker).collect();
    for (name, version) in bundled::all().filter(|(name, _)| used.contains(name)) {
        wanted.push((name, version.source, version.digest, false));
    }
    let recall = |(name, source, digest, accepted): (Name, String, String, bool)| async move {
        // In a task of its own, so that a panic is its own end only.
        let (compiler, own) = (compiler.clone(), (name.clone(), digest.clone()));
        let recalled = supervisor.helper(async move { compiler.recall(own.0, own.1).await }).await;
        let checker = recalled.ok().flatten()?;
        Some(Recalled { name, source, digest, accepted, checker })
    };
    join_all(wanted.into_iter().map(recall)).await.into_iter().flatten().collect()
}
