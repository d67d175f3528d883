//! What is on disk, what of it changed, and what runs because of it: the configured checks, bound to loaded checkers.
//!
//! Every event only means "look again"; a look compares what the directories hold with what is loaded, by content.
//! A plugin is compiled beside the running one and swapped in; a file that is broken, or whose schema refuses the
//! parameters of checks that run, leaves the last good version in place and says so.

mod bind;
mod bundled;
mod inventory;
mod metrics;
#[doc(hidden)] // For agent/fuzz.
pub mod schema;
mod slot;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as channel};
use tokio::time::Instant;

use crate::model::checkset::{CheckSet, Compiler, DefinitionSource, Definitions, LoadError, PluginInfo};
use crate::model::name::Name;
use crate::supervise::{Beat, Stop, Supervisor};
use crate::telemetry::Metrics;

use self::inventory::{Inventory, Refused};
use self::metrics::PluginMetrics;
use self::slot::{Slot, Version};
use self::watch::Watch;

/// Quiet that must follow an event before a look: a file that is being written is not finished.
const QUIET: Duration = Duration::from_millis(100);
/// But a look comes at most this long after the first event.
const PATIENCE: Duration = Duration::from_millis(500);

/// Until another look at what could not be looked at.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `*.wasm` in these are plugins; the first directory wins.
    pub plugin_dirs: Vec<PathBuf>,
    /// Watched, because the definitions come from there.
    pub conf_dirs: Vec<PathBuf>,
    /// Watched, because parameters come from there.
    pub secret_dirs: Vec<PathBuf>,
}

/// What the plugins are connected to.
pub struct Wires {
    pub definitions: Arc<dyn DefinitionSource>,
    pub compiler: Arc<dyn Compiler>,
    pub checks: channel::Sender<Arc<CheckSet>>,
    /// What `/api/v1/plugins` shows.
    pub infos: channel::Sender<Arc<[PluginInfo]>>,
}

pub struct Plugins {
    config: Config,
    supervisor: Supervisor,
    wires: Wires,
    metrics: PluginMetrics,
    definitions: Arc<Definitions>,
    slots: BTreeMap<Name, Slot>,
    refused: Vec<Refused>,
    unreadable: Vec<String>,
    /// Something could not be looked at for now.
    again: bool,
    watch: Watch,
    /// Holds one: an event that finds it full says nothing new.
    events: mpsc::Receiver<()>,
}

impl Plugins {
    pub fn build(
        config: Config,
        supervisor: Supervisor,
        definitions: Arc<Definitions>,
        wires: Wires,
        metrics: &Metrics,
    ) -> Self {
        let (sender, events) = mpsc::channel(1);
        let dirs = [&config.plugin_dirs, &config.conf_dirs, &config.secret_dirs].into_iter().flatten().cloned();
        let watch = Watch::new(dirs.collect(), sender);
        wires.checks.send_replace(Arc::new(CheckSet { definitions: definitions.clone(), ..CheckSet::default() }));
        Self {
            config,
            supervisor,
            wires,
            metrics: PluginMetrics::new(metrics),
            definitions,
            slots: BTreeMap::new(),
            refused: Vec::new(),
            unreadable: Vec::new(),
            again: false,
            watch,
            events,
        }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("plugins");
        self.watch.start();
        self.look(&mut beat, true).await;
        let mut look_at = Instant::now() + self.next_look();
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = beat.next() => continue,
                // Notifications can be lost; a slow look finds what they missed.
                () = tokio::time::sleep_until(look_at) => {}
                Some(()) = self.events.recv() => self.settle().await,
            }
            self.watch.start();
            self.look(&mut beat, false).await;
            look_at = Instant::now() + self.next_look();
        }
    }

    fn next_look(&self) -> Duration {
        if self.again { AGAIN } else { self.watch.safety_interval() }
    }

    /// Waits until nothing has happened for a moment, but not for ever.
    async fn settle(&mut self) {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = &mut patience => return,
                () = tokio::time::sleep(QUIET) => return,
                Some(()) = self.events.recv() => {}
            }
        }
    }

    /// Compares what is on disk with what is loaded, and publishes what follows.
    async fn look(&mut self, beat: &mut Beat, first: bool) {
        self.again = false;
        let before = self.definitions.clone();
        // Reading can take long, and a dead file system for ever: it must keep nobody from being served.
        let (source, dirs) = (self.wires.definitions.clone(), self.config.plugin_dirs.clone());
        let known = self.slots.iter().map(|(name, slot)| (name.clone(), slot.tried().to_owned())).collect();
        let reading = move || ((!first).then(|| source.load()).flatten(), inventory::read(&dirs, &known));
        let Ok((definitions, inventory)) = beat.during(self.supervisor.blocking(reading)).await else { return };
        if let Some(definitions) = definitions {
            self.definitions = definitions;
        }
        let mut changed = first || !Arc::ptr_eq(&before, &self.definitions);
        changed |= self.note_refused(&inventory);
        changed |= self.remove_gone(&inventory);
        for (name, version) in self.wanted(&inventory) {
            changed |= self.bring_to(&name, version, beat).await;
        }
        if changed {
            self.publish();
        }
    }

    fn note_refused(&mut self, inventory: &Inventory) -> bool {
        if self.refused == inventory.refused {
            return false;
        }
        for refused in inventory.refused.iter().filter(|refused| !self.refused.contains(refused)) {
            tracing::error!("plugin file {} is not loaded: {}", refused.path.display(), refused.reason);
        }
        self.refused.clone_from(&inventory.refused);
        true
    }

    /// What should be loaded: every file, and of the bundled checkers those that a check names.
    fn wanted(&self, inventory: &Inventory) -> BTreeMap<Name, Version> {
        let used: BTreeSet<&Name> = self.definitions.checks.values().map(|check| &check.checker).collect();
        let bundled = bundled::all().filter(|(name, _)| used.contains(name));
        let files = inventory.files.iter().map(|(name, version)| (name.clone(), version.clone()));
        bundled.chain(files).collect()
    }

    fn remove_gone(&mut self, inventory: &Inventory) -> bool {
        if self.unreadable != inventory.unreadable {
            for problem in &inventory.unreadable {
                tracing::error!("a plugin directory cannot be read, its plugins stay as they are: {problem}");
            }
            self.unreadable.clone_from(&inventory.unreadable);
        }
        if !self.unreadable.is_empty() {
            return false;
        }
        let gone = |name: &Name, slot: &Slot| slot.is_file() && !inventory.files.contains_key(name);
        // A file that cannot be read for now is not gone.
        let unreadable = |name: &Name| inventory.refused.iter().any(|refused| refused.name.as_ref() == Some(name));
        let names: Vec<Name> = self
            .slots
            .iter()
            .filter(|(name, slot)| gone(name, slot) && !unreadable(name))
            .map(|(n, _)| n.clone())
            .collect();
        for name in &names {
            tracing::info!(plugin = %name, "plugin {name} removed");
            self.slots.remove(name);
            self.metrics.forget(name);
        }
        !names.is_empty()
    }

    /// Brings one plugin to a version; true if anything changed.
    async fn bring_to(&mut self, name: &Name, version: Version, beat: &mut Beat) -> bool {
        if self.slots.get(name).is_some_and(|slot| slot.has_tried(&version)) {
            return false;
        }
        let digest = version.digest.clone();
        let loading = self.wires.compiler.load(name.clone(), digest, version.bytes.clone());
        let loaded = beat.during(loading).await;
        if matches!(loaded, Err(LoadError::Overloaded)) {
            tracing::warn!(plugin = %name, "plugin {name} is looked at later: the agent is too busy");
            self.again = true;
            return false;
        }
        let used_by = self.definitions.checks.values().filter(|check| check.checker == *name);
        let slot = self.slots.entry(name.clone()).or_insert_with(|| Slot::new(&version));
        let swapped = slot.take(&version, loaded, used_by.map(|check| &**check));
        self.metrics.reloaded(name, swapped.is_ok());
        match swapped {
            Ok(()) => {
                let (source, of) = (&version.source, slot.version_text());
                tracing::info!(plugin = %name, digest = %version.digest, "plugin {name} {of} loaded from {source}");
            }
            Err(error) => {
                let kept = if slot.is_ready() { "; the version before it runs on" } else { "" };
                tracing::error!(plugin = %name, "plugin {name} from {} is not used: {error}{kept}", version.source);
            }
        }
        true
    }

    fn publish(&self) {
        let infos = self.infos();
        self.metrics.publish(&infos);
        self.wires.infos.send_replace(infos.into());
        let checks = bind::bind_all(&self.definitions, &self.slots);
        let set = CheckSet { definitions: self.definitions.clone(), checks, loaded: true };
        self.wires.checks.send_replace(Arc::new(set));
    }

    fn infos(&self) -> Vec<PluginInfo> {
        let users = |name: &Name| {
            let own = self.definitions.checks.values().filter(|check| check.checker == *name);
            own.map(|check| check.name.clone()).collect()
        };
        let refused = |name: &Name| self.refused.iter().find(|refused| refused.name.as_ref() == Some(name));
        let loaded = self.slots.iter().map(|(name, slot)| {
            let info = slot.info(name, users(name));
            match refused(name).filter(|_| slot.is_file()) {
                Some(refused) => PluginInfo { state: "kept", error: Some(refused.reason.clone()), ..info },
                None => info,
            }
        });
        let unused = bundled::all().filter(|(name, _)| !self.slots.contains_key(name));
        let unused = unused.map(|(name, version)| slot::unused(name, &version));
        let is_file = |name: &Name| self.slots.get(name).is_some_and(Slot::is_file);
        let others = self.refused.iter().filter(|refused| !refused.name.as_ref().is_some_and(is_file));
        loaded.chain(unused).chain(others.filter_map(Refused::info)).collect()
    }
}

#[cfg(test)]
mod tests;
