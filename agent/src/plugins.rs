//! What is on disk, what of it changed, and what runs because of it: the configured checks, bound to loaded checkers.
//!
//! Every event only means "look again"; a look compares what the directories hold with what is loaded, by content.
//! A plugin is compiled beside the running one and swapped in. What is broken, what would stop checks that run, and what
//! `[plugins]` does not let in by itself leaves the version before in place and says so; what is wrong at first sight
//! may be half written, and is judged at the second. The loop itself waits for nothing: looks, loads and writes go on
//! beside it.

mod accepted;
mod admit;
mod agenda;
mod asked;
mod bind;
mod bundled;
mod follow;
mod found;
mod gate;
mod inventory;
mod loading;
mod look;
mod metrics;
#[doc(hidden)] // For agent/fuzz.
pub mod schema;
mod settle;
mod shown;
mod silent;
mod slot;
mod sweep;
mod watch;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as channel};
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::checkset::{CheckSet, Compiler, DefinitionSource, Definitions, PluginInfo, Reading};
use crate::model::name::Name;
use crate::model::requests::PluginRequest;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use self::accepted::Accepted;
use self::agenda::Agenda;
use self::asked::Asked;
use self::bind::BoundChecks;
use self::inventory::Refused;
use self::loading::{Loads, Progress};
use self::look::{Looking, Question, Rereading};
use self::metrics::PluginMetrics;
use self::settle::Sights;
use self::slot::Slot;
use self::sweep::Sweep;
use self::watch::Watch;

/// Until another look at what could not be loaded for now.
const AGAIN: Duration = Duration::from_secs(1);
/// Until another look at a configuration that somebody may be writing.
const UNSETTLED: Duration = Duration::from_millis(250);

/// For what is not written down when the agent stops.
const LAST_WRITE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Config {
    /// Remembers which versions were let in.
    pub state_dir: PathBuf,
}

pub use self::bundled::names as bundled_names;
pub use self::found::{Found, NotFound, Unsuited, bound, find};

/// What the plugins are connected to.
pub struct Wires {
    pub definitions: Arc<dyn DefinitionSource>,
    pub compiler: Arc<dyn Compiler>,
    pub checks: channel::Sender<Arc<CheckSet>>,
    /// What `/api/v1/plugins` shows.
    pub infos: channel::Sender<Arc<[PluginInfo]>>,
    /// What operators ask. Full: they wait.
    pub requests: mpsc::Receiver<PluginRequest>,
}

pub struct Plugins {
    config: Config,
    supervisor: Supervisor,
    wires: Wires,
    metrics: PluginMetrics,
    definitions: Arc<Definitions>,
    slots: BTreeMap<Name, Slot>,
    bound: BoundChecks,
    /// The digest that each name has on disk, as far as it is wanted.
    on_disk: BTreeMap<Name, String>,
    refused: Vec<Refused>,
    unreadable: Vec<String>,
    shadowed: BTreeSet<PathBuf>,
    sights: Sights,
    accepted: Accepted,
    watch: Watch,
    agenda: Agenda,
    rereading: Rereading,
    /// What was read, and waits for the look at the plugins.
    read: Option<Reading>,
    /// Of the look that is under way: somebody says that nobody is writing.
    settled: bool,
    looking: Looking,
    /// What does not answer.
    silent: Option<String>,
    loads: Loads,
    /// None before the first look has ended.
    progress: Option<Progress>,
    sweep: Sweep,
    asked: Asked,
    began: Instant,
}

/// Is this the name of a checker that the agent brings with it?
pub fn is_bundled(name: &str) -> bool {
    bundled::has(name)
}

impl Plugins {
    pub fn build(
        config: Config,
        supervisor: Supervisor,
        definitions: Arc<Definitions>,
        wires: Wires,
        metrics: &Metrics,
    ) -> Self {
        wires.checks.send_replace(Arc::new(CheckSet { definitions: definitions.clone(), ..CheckSet::default() }));
        let (accepted, now) = (Accepted::new(&config.state_dir, supervisor.clone()), Instant::now());
        Self {
            config,
            supervisor,
            wires,
            metrics: PluginMetrics::new(metrics),
            definitions,
            slots: BTreeMap::new(),
            bound: BoundChecks::default(),
            on_disk: BTreeMap::new(),
            refused: Vec::new(),
            unreadable: Vec::new(),
            shadowed: BTreeSet::new(),
            sights: Sights::default(),
            accepted,
            watch: Watch::default(),
            agenda: Agenda::new(now),
            rereading: Rereading::default(),
            read: None,
            settled: false,
            looking: Looking::default(),
            silent: None,
            loads: Loads::default(),
            progress: None,
            sweep: Sweep::default(),
            asked: Asked::default(),
            began: now,
        }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("plugins");
        (self.began, self.agenda) = (Instant::now(), Agenda::new(Instant::now()));
        self.begin_look();
        loop {
            let (look_at, patience_ends) = (self.agenda.next(), self.patience_ends());
            tokio::select! {
                () = stop.wait() => break,
                () = beat.next() => {}
                Some(request) = self.wires.requests.recv() => self.take_request(request),
                read = self.rereading.ended() => self.take_read(read),
                looked = self.looking.ended() => self.take_look(looked),
                Some(loaded) = self.loads.next() => self.take_load(loaded),
                () = self.accepted.saved() => {}
                () = self.watch.changed() => self.agenda.event(Instant::now()),
                () = sleep_until(look_at), if self.may_look() => self.begin_look(),
                () = at(patience_ends) => self.lose_patience(),
                () = self.sweep.due() => self.begin_sweep(),
            }
        }
        let _ = beat.during(timeout(LAST_WRITE, self.accepted.close())).await;
    }

    fn begin_look(&mut self) {
        self.settled = self.asked.begin_look();
        self.agenda.begun();
        if self.progress.is_none() && !self.looking.is_under_way() {
            // The definitions were read just before.
            return self.look_at_disk(self.definitions.clone());
        }
        self.rereading.begin(self.settled, self.wires.definitions.clone(), &self.supervisor);
    }

    fn look_at_disk(&mut self, definitions: Arc<Definitions>) {
        let (first, state_dir) = (self.progress.is_none(), self.config.state_dir.clone());
        let question = Question { settled: self.settled, definitions, first, state_dir };
        let (supervisor, compiler) = (self.supervisor.clone(), self.wires.compiler.clone());
        self.looking.begin(question, self.watch.arranging(), supervisor, compiler);
    }

    /// Compiled code that nobody wants goes. What is being loaded meanwhile is wanted.
    fn begin_sweep(&mut self) {
        // Of a memory that was not read the last good versions are not known.
        if self.sweep.is_running() || self.accepted.is_unread() {
            return self.sweep.put_off();
        }
        let mut keep: BTreeSet<String> = bundled::all().map(|(_, version)| version.digest).collect();
        keep.extend(self.on_disk.values().cloned());
        keep.extend(self.slots.values().flat_map(Slot::known));
        keep.extend(self.loads.digests().cloned());
        // Of a directory that cannot be read it is not known what is there.
        let hidden = !self.unreadable.is_empty();
        let accepted = self.accepted.all().filter(|(name, _)| hidden || self.slots.contains_key(*name));
        keep.extend(accepted.map(|(_, entry)| entry.digest.clone()));
        let compiler = self.wires.compiler.clone();
        self.sweep.begin(self.supervisor.blocking(move || compiler.keep_only(&keep)));
    }
}

/// For ever where there is no time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod dirs_tests;
#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod loop_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
