//! Owns the verdicts: takes in observations, publishes what they add up to, and remembers both over a restart.
//!
//! What a verdict becomes is decided in [`reduce`], what verdicts add up to in [`aggregate`]; both are pure. This loop
//! only moves data, says what changed, and writes the memory down.

pub mod aggregate;
mod changes;
mod maintenance;
mod metrics;
mod persist;
pub mod reduce;
mod saving;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock;
use crate::model::check::CheckDef;
use crate::model::checkset::CheckSet;
use crate::model::name::Name;
use crate::model::requests::MaintenanceRequest;
use crate::model::snapshot::{CheckView, HealthSnapshot};
use crate::model::time::Moment;
use crate::model::verdict::{Observation, Verdict};
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use self::aggregate::ServiceMemory;
use self::maintenance::Keeper;
use self::metrics::HealthMetrics;
use self::persist::{Memory, Persist, Remembered};
use self::saving::{Ordered, Saved, Saving, Work};

pub use self::metrics::snapshot_source;

/// A change of status is on disk within this.
const SAVE_AFTER_CHANGE: Duration = Duration::from_millis(500);
/// Ages and counts are on disk within this, and sooner where they are of use for a shorter time.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// A disk is not to be worn out by checks that run all the time.
const SAVE_SELDOM: Duration = Duration::from_secs(5);
/// Observations that are taken in before the next snapshot is published.
const BATCH: usize = 256;
/// An observation that changes nothing but ages is published within this: with many checks one snapshot then serves many.
const LAZY: Duration = Duration::from_millis(100);
/// How often age alone may change what is shown.
const LOOK: Duration = Duration::from_secs(1);
/// Verdicts of checks that are not there wait so long for them to come, or to come back: a file that is away for a
/// moment is no reason to forget.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

#[derive(Debug, Clone)]
pub struct Config {
    pub state_dir: PathBuf,
}

/// What health is connected to.
pub struct Wires {
    pub checks: watch::Receiver<Arc<CheckSet>>,
    pub observations: mpsc::Receiver<Observation>,
    pub orders: mpsc::Receiver<MaintenanceRequest>,
    pub publish: watch::Sender<Arc<HealthSnapshot>>,
}

pub struct Health {
    supervisor: Supervisor,
    wires: Wires,
    metrics: HealthMetrics,
    persist: Persist,
    keeper: Keeper,
    saving: Saving,
    set: Arc<CheckSet>,
    verdicts: BTreeMap<Name, Arc<Verdict>>,
    states: BTreeMap<Name, Arc<[u8]>>,
    services: BTreeMap<Name, ServiceMemory>,
    /// Verdicts of checks that have not appeared yet, or are gone.
    remembered: BTreeMap<Name, Remembered>,
    save_at: Instant,
}

/// What the rest of the agent needs of health before it runs.
pub struct Built {
    pub health: Health,
    /// What the checkers remembered when the agent stopped.
    pub states: BTreeMap<Name, Vec<u8>>,
}

impl Health {
    /// `defined` are the checks that there will be.
    pub fn build(
        config: &Config,
        defined: &BTreeMap<Name, Arc<CheckDef>>,
        supervisor: Supervisor,
        wires: Wires,
        metrics: &Metrics,
    ) -> Built {
        let persist = Persist::new(&config.state_dir);
        let memory = persist.load(clock::now());
        let keeper = Keeper::load(&config.state_dir, clock::now());
        let states = memory.states(defined, clock::now());
        let now = Instant::now();
        let health = Self {
            saving: Saving::new(supervisor.clone()),
            supervisor,
            wires,
            metrics: HealthMetrics::new(metrics),
            persist,
            keeper,
            set: Arc::default(),
            verdicts: BTreeMap::new(),
            states: BTreeMap::new(),
            services: memory.services,
            remembered: memory.checks,
            save_at: now + SAVE_EVERY,
        };
        Built { health, states }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("health");
        let mut look = tokio::time::interval(LOOK);
        self.take_over();
        let mut open = true;
        let mut publish_at: Option<Instant> = None;
        loop {
            let mut batch = Vec::new();
            let lazily = publish_at.unwrap_or_else(|| Instant::now() + LAZY);
            tokio::select! {
                () = stop.wait() => break,
                () = beat.next() => continue,
                () = tokio::time::sleep_until(self.save_at), if !self.saving.is_running() => {
                    self.save_all();
                    continue;
                }
                saved = self.saving.ended() => {
                    self.note_saved(saved);
                    continue;
                }
                Some(request) = self.wires.orders.recv() => {
                    self.order(request);
                    continue;
                }
                _ = look.tick() => publish_at = Some(Instant::now()),
                () = tokio::time::sleep_until(lazily), if publish_at.is_some() => {}
                Ok(()) = self.wires.checks.changed() => {
                    self.take_over();
                    publish_at = Some(Instant::now());
                }
                // The schedule stops before us.
                count = self.wires.observations.recv_many(&mut batch, BATCH), if open => open = count > 0,
            }
            for observation in batch {
                let wait = if self.observe(observation) { Duration::ZERO } else { LAZY };
                let at = Instant::now() + wait;
                publish_at = Some(publish_at.map_or(at, |earlier| earlier.min(at)));
            }
            if publish_at.is_some_and(|at| at <= Instant::now()) {
                publish_at = None;
                self.publish(clock::now());
            }
        }
        // The last runs' observations came before the stop.
        while let Ok(observation) = self.wires.observations.try_recv() {
            self.observe(observation);
        }
        self.publish(clock::now());
        while self.saving.is_running() {
            let saved = beat.during(self.saving.ended()).await;
            self.note_saved(saved);
        }
        self.save_all();
        let saved = beat.during(self.saving.ended()).await;
        self.note_saved(saved);
    }

    /// Takes over another set of checks: verdicts belong to names, so those that stay keep theirs.
    fn take_over(&mut self) {
        let set = self.wires.checks.borrow_and_update().clone();
        let now = clock::now();
        let old = std::mem::replace(&mut self.set, set);
        for (name, check) in old.checks.iter().filter(|(name, _)| !self.set.checks.contains_key(*name)) {
            self.remembered.extend(self.remember(name, check));
        }
        self.verdicts.retain(|name, _| self.set.checks.contains_key(name));
        self.states.retain(|name, _| self.set.checks.contains_key(name));
        for (name, check) in &self.set.checks {
            let definition = check.definition();
            let before = old.checks.get(name).map(|check| check.definition());
            if before.is_some_and(|before| !before.keeps_state(definition)) {
                self.states.remove(name);
            }
            if self.verdicts.contains_key(name) {
                continue;
            }
            let remembered = self.remembered.remove(name).and_then(|r| r.restore(definition, now));
            let verdict = match remembered {
                Some((verdict, state)) => {
                    self.states.extend(state.map(|state| (name.clone(), Arc::from(state))));
                    verdict
                }
                None => {
                    let joining = aggregate::joins_judged(definition, &old, &self.verdicts);
                    Arc::new(Verdict { joining, ..Verdict::default() })
                }
            };
            self.verdicts.insert(name.clone(), verdict);
        }
        self.remembered.retain(|_, remembered| remembered.is_younger_than(REMEMBERED_FOR, now));
    }

    /// Takes in one observation; true if more than ages and numbers changed.
    fn observe(&mut self, observation: Observation) -> bool {
        let Some(check) = self.set.checks.get(&observation.check) else { return false };
        let Some(verdict) = self.verdicts.get_mut(&observation.check) else { return false };
        let definition = check.definition();
        let steady = |verdict: &Verdict| !verdict.confirming() && verdict.fault.is_none();
        let was_steady = steady(verdict);
        let change = reduce::reduce(Arc::make_mut(verdict), &definition.policy, &observation);
        match observation.state {
            Some(state) => drop(self.states.insert(observation.check.clone(), state)),
            None => drop(self.states.remove(&observation.check)),
        }
        let urgent = change.is_some() || !was_steady || !steady(verdict);
        if let Some(change) = change {
            changes::log_status(definition, &change, verdict);
            self.metrics.status_changed(&observation.check, change.from.is_some());
            self.save_at = self.save_at.min(Instant::now() + SAVE_AFTER_CHANGE);
        }
        urgent
    }

    /// Takes in an order of maintenance: what it changes is seen at once, and answered once it is on disk.
    fn order(&mut self, request: MaintenanceRequest) {
        let now = clock::now();
        let notes = match self.keeper.take(&request.order, &self.set.definitions.services, now) {
            Ok(notes) => notes,
            // Whoever asked may have gone meanwhile.
            Err(refused) => return drop(request.answer.send(Err(refused))),
        };
        let ordered = Ordered { answer: request.answer, notes };
        let dirty = self.keeper.is_dirty();
        if dirty {
            self.publish(now);
        }
        match (dirty, self.saving.is_running()) {
            (false, false) => return ordered.answer(self.keeper.held(), None),
            // What holds is being written down, and this changes nothing of it.
            (false, true) => return self.saving.wait(ordered, true),
            (true, _) => self.saving.wait(ordered, false),
        }
        self.save_maintenance();
    }

    fn save_maintenance(&mut self) {
        if !self.saving.is_running() {
            let maintenance = self.maintenance_to_write();
            self.saving.begin(maintenance, None);
        }
    }

    fn maintenance_to_write(&mut self) -> Option<Work> {
        self.keeper.is_dirty().then(|| Box::new(self.keeper.writing()) as Work)
    }

    fn note_saved(&mut self, saved: Saved) {
        if let Some(written) = &saved.maintenance {
            self.keeper.note_written(written);
        }
        if let Some(written) = &saved.memory {
            self.persist.note_written(written);
            self.metrics.saved(written.is_ok());
        }
        let unwritten = saved.maintenance.and_then(Result::err);
        for ordered in saved.orders {
            ordered.answer(self.keeper.held(), unwritten.as_ref());
        }
        if self.saving.has_waiting() {
            self.save_maintenance();
        }
    }

    fn publish(&mut self, now: Moment) {
        if self.keeper.expire(now) {
            self.save_at = self.save_at.min(Instant::now() + SAVE_AFTER_CHANGE);
        }
        let mut checks: BTreeMap<Name, CheckView> = self
            .set
            .checks
            .iter()
            .filter_map(|(name, check)| {
                let verdict = self.verdicts.get(name)?.clone();
                let view = aggregate::view(check.definition().clone(), verdict, now);
                Some((name.clone(), CheckView { notice: self.set.notices.get(name).cloned(), ..view }))
            })
            .collect();
        let held = self.keeper.held();
        aggregate::weigh(&self.set, held, &mut checks, now);
        let services = aggregate::services(&self.set, held, &checks, &mut self.services, now);
        let overall = aggregate::overall(self.set.loaded, &checks);
        let next = Arc::new(HealthSnapshot { at: now, overall, checks, services, loaded: self.set.loaded });
        let last = self.wires.publish.send_replace(next.clone());
        let changed = changes::log(&last, &next);
        if changed {
            self.save_at = self.save_at.min(Instant::now() + SAVE_AFTER_CHANGE);
        }
        self.metrics.forget_gone(&last, &next);
    }

    /// Writes down everything, beside the loop.
    fn save_all(&mut self) {
        let shortest = self.set.checks.values().map(|check| check.definition().policy.stale_after).min();
        let useful = shortest.map_or(SAVE_EVERY, |stale| (stale / 2).clamp(SAVE_SELDOM, SAVE_EVERY));
        self.save_at = Instant::now() + useful;
        let maintenance = self.maintenance_to_write();
        // What is remembered of checks that are not loaded yet must not be written over.
        let memory = self.set.loaded.then(|| {
            let memory = Memory {
                checks: self.set.checks.iter().filter_map(|(name, check)| self.remember(name, check)).collect(),
                services: self.services.clone(),
            };
            let persist = self.persist.clone();
            Box::new(move || persist.write(&memory)) as Work
        });
        self.saving.begin(maintenance, memory);
    }

    fn remember(&self, name: &Name, check: &Arc<dyn crate::model::check::Check>) -> Option<(Name, Remembered)> {
        let verdict = self.verdicts.get(name)?;
        verdict.status?;
        let state = self.states.get(name).map(|state| state.to_vec());
        Some((name.clone(), Remembered::new(check.definition(), verdict.clone(), state)))
    }
}
