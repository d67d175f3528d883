//! Runs the collectors, each on its own account: one that fails, panics or hangs is reported, and the others go on.
//!
//! A pass is a queue of collectors that a thread works off. Where one hangs, a second thread takes over the rest of the
//! queue; the first one keeps the collector until it comes back, however long that takes, and the collector is left out
//! of the passes until then. So a hanging file costs one thread and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::exposition::{CollectorState, Demand, HostText, state_names};
use crate::model::host::{HostBlock, HostFamily, HostKind, HostSample};
use crate::model::time::Moment;

use super::collector::{CollectError, Collector, Families, Settings};
use super::collectors::{Entry, TEXTFILE};
use super::process;

/// What is wrong with a collector may change with every sample: it is said so often at most.
const SAY_AGAIN: Duration = Duration::from_secs(60);

pub struct Sampler {
    slots: Vec<Slot>,
    settings: Settings,
}

/// A collector's place. The locks are held to take something out and to put something back, never while it works.
struct Slot {
    entry: &'static Entry,
    /// None while it works, or hangs.
    collector: Mutex<Option<Box<dyn Collector>>>,
    reading: Mutex<Reading>,
}

/// What a collector saw last.
struct Reading {
    block: Arc<HostBlock>,
    state: CollectorState,
    /// What was logged of it, and when.
    complaint: Option<(String, Instant)>,
}

/// How a collector ended.
enum Ended {
    Well,
    /// The host has nothing of the kind.
    Absent,
    /// Part of it does not answer: what there was is shown.
    Stuck(String),
    Failed(String),
}

impl From<Result<(), CollectError>> for Ended {
    fn from(result: Result<(), CollectError>) -> Self {
        match result {
            Ok(()) => Self::Well,
            Err(CollectError::Absent(_)) => Self::Absent,
            Err(CollectError::Stuck(problem)) => Self::Stuck(problem),
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sampler {
    pub fn new(chosen: impl Iterator<Item = &'static Entry>, settings: &Settings) -> Self {
        Self { slots: chosen.map(|entry| Slot::new(entry, settings)).collect(), settings: settings.clone() }
    }

    /// The names that the collectors use, as families without series: text files must not say them again, or the
    /// scrape would break.
    fn taken(&self) -> Families {
        let mut taken = Families::default();
        for name in state_names() {
            taken.family(HostKind::Gauge, name, "");
        }
        for slot in self.slots.iter().filter(|slot| slot.entry.name != TEXTFILE) {
            let block = locked(&slot.reading).block.clone();
            taken.0.extend(block.families.iter().map(head_of));
        }
        taken
    }

    /// What all collectors saw last, as a sample and as text.
    pub fn assemble(&self, demand: Arc<Demand>) -> (HostSample, HostText) {
        let mut blocks = Vec::with_capacity(self.slots.len() + 1);
        let mut states = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let reading = locked(&slot.reading);
            blocks.push(reading.block.clone());
            states.push(reading.state);
        }
        let taken = clock::now();
        blocks.push(Arc::new(HostBlock { collector: process::NAME, taken, families: process::collect() }));
        let sample = HostSample { taken, blocks: blocks.into() };
        let text = HostText::new(&sample, states, demand);
        (sample, text)
    }
}

/// Collectors to which it is a success, in node_exporter's words, to find nothing of the kind.
const CONTENT: [&str; 6] = ["bcache", "btrfs", "cpufreq", "edac", "thermal_zone", "xfs"];

fn head_of(family: &HostFamily) -> HostFamily {
    HostFamily { name: family.name.clone(), help: "".into(), kind: family.kind, series: Vec::new() }
}

impl Slot {
    fn new(entry: &'static Entry, settings: &Settings) -> Self {
        let state = CollectorState { name: entry.name, success: true, found: false, took: Duration::ZERO };
        let block = HostBlock { collector: entry.name, taken: Moment::default(), families: Vec::new() };
        Self {
            entry,
            collector: Mutex::new(Some((entry.build)(settings))),
            reading: Mutex::new(Reading { block: Arc::new(block), state, complaint: None }),
        }
    }

    /// Runs the collector, unless it hangs from an earlier pass. `families` is what it adds to.
    fn run(&self, settings: &Settings, mut families: Families) {
        let Some(mut collector) = locked(&self.collector).take() else { return };
        let (begun, taken) = (Instant::now(), clock::now());
        let ended = catch_unwind(AssertUnwindSafe(|| collector.collect(&mut families)));
        let took = begun.elapsed();
        let (collector, ended) = match ended {
            Ok(result) => (collector, result.into()),
            // It may be anything now.
            Err(_) => ((self.entry.build)(settings), Ended::Failed("it panicked: this is a bug of vitald".to_owned())),
        };
        families.0.retain(|family| !family.series.is_empty());
        self.report(taken, families, ended, took);
        *locked(&self.collector) = Some(collector);
    }

    fn report(&self, taken: Moment, families: Families, ended: Ended, took: Duration) {
        let name = self.entry.name;
        let success = matches!(ended, Ended::Well | Ended::Absent);
        let found = match ended {
            Ended::Well | Ended::Stuck(_) => true,
            Ended::Absent => CONTENT.contains(&name),
            Ended::Failed(_) => false,
        };
        let state = CollectorState { name, success, found, took };
        let block = Arc::new(HostBlock { collector: name, taken, families: families.0 });
        let mut reading = locked(&self.reading);
        let complaint = say(name, reading.complaint.take(), ended);
        *reading = Reading { block, state, complaint };
    }

    /// It does not come back: what it saw last is no longer true.
    fn hangs(&self, since: Instant) {
        let took = since.elapsed();
        let problem = format!("no answer within {} s; a file system that is gone?", took.as_secs());
        self.report(clock::now(), Families::default(), Ended::Failed(problem), took);
    }
}

/// Logs what changed; gives what was said last, and when.
fn say(name: &str, before: Option<(String, Instant)>, ended: Ended) -> Option<(String, Instant)> {
    match (before, ended) {
        (None, Ended::Stuck(problem) | Ended::Failed(problem)) => {
            tracing::warn!(collector = name, "the collector {name} of the host's numbers failed: {problem}");
            Some((problem, Instant::now()))
        }
        (Some((old, said)), Ended::Stuck(problem) | Ended::Failed(problem)) => {
            if old == problem || said.elapsed() < SAY_AGAIN {
                return Some((old, said));
            }
            tracing::warn!(collector = name, "the collector {name} of the host's numbers fails otherwise: {problem}");
            Some((problem, Instant::now()))
        }
        (Some(_), Ended::Well) => {
            tracing::info!(collector = name, "the collector {name} works again");
            None
        }
        (Some(_), Ended::Absent) => {
            tracing::info!(collector = name, "the host has nothing any more for the collector {name}");
            None
        }
        (None, Ended::Well | Ended::Absent) => None,
    }
}

/// One pass over all collectors.
pub struct Pass {
    sampler: Arc<Sampler>,
    queue: Mutex<Queue>,
    begun: Instant,
}

struct Queue {
    next: usize,
    /// Which thread works it off: those that were given up leave it to the one after them.
    worker: usize,
    /// What it works on, and since when.
    current: Option<(usize, Instant)>,
}

impl Pass {
    pub fn new(sampler: Arc<Sampler>) -> Self {
        let queue = Mutex::new(Queue { next: 0, worker: 0, current: None });
        Self { sampler, queue, begun: Instant::now() }
    }

    /// Works off what is left of the queue.
    pub fn work(&self) {
        let mine = locked(&self.queue).worker;
        while let Some(slot) = self.take(mine) {
            let families = if slot.entry.name == TEXTFILE { self.sampler.taken() } else { Families::default() };
            slot.run(&self.sampler.settings, families);
        }
    }

    fn take(&self, worker: usize) -> Option<&Slot> {
        let mut queue = locked(&self.queue);
        if queue.worker != worker {
            return None;
        }
        let index = queue.next;
        let slot = self.sampler.slots.get(index);
        queue.next = index.saturating_add(1);
        queue.current = slot.map(|_| (index, Instant::now()));
        slot
    }

    /// Gives up the collector that works now if it has worked for longer than this, and reports it as one that hangs.
    pub fn give_up(&self, deadline: Duration) -> bool {
        let mut queue = locked(&self.queue);
        let Some((index, since)) = queue.current.filter(|(_, since)| since.elapsed() > deadline) else { return false };
        queue.worker = queue.worker.saturating_add(1);
        queue.current = None;
        drop(queue);
        if let Some(slot) = self.sampler.slots.get(index) {
            slot.hangs(since);
        }
        true
    }

    pub fn took(&self) -> Duration {
        self.begun.elapsed()
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
