//! When checks run, how many at once, and never two runs of one check at the same time.
//!
//! A due run becomes a run or is skipped, and both are counted: due = runs + skipped. The first runs are spread over
//! two seconds; a changed check runs at once; a check whose evidence differs from its status runs again sooner; one
//! that only faults runs more and more seldom. The checker's state bytes are kept here, between its runs.

mod entry;
mod metrics;
mod queue;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::model::check::Check;
use crate::model::checkset::CheckSet;
use crate::model::name::Name;
use crate::model::outcome::{Ending, Fault, FaultKind, RunReport, Skipped};
use crate::model::requests::{NextRun, NextRunsRequest};
use crate::model::snapshot::HealthSnapshot;
use crate::model::time::Moment;
use crate::model::verdict::Observation;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use self::entry::Entry;
use self::metrics::ScheduleMetrics;
use self::queue::Queue;

/// First runs are spread over this, or over the interval if it is shorter.
const SPREAD: Duration = Duration::from_secs(2);
/// Many checks that change together are spread over this.
const CHANGE_SPREAD: Duration = Duration::from_millis(250);
/// So many may start at once.
const CHANGE_BURST: usize = 8;
/// While nothing is due the loop looks again after this.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Config {
    /// Runs at once; at most a quarter of them with one plugin.
    pub concurrency: u32,
}

/// What the schedule is connected to.
pub struct Wires {
    pub checks: watch::Receiver<Arc<CheckSet>>,
    pub snapshot: watch::Receiver<Arc<HealthSnapshot>>,
    /// Full when health has not moved for that many runs: the schedule then waits for it, and runs are skipped.
    pub observations: mpsc::Sender<Observation>,
    /// What the checkers remembered when the agent stopped.
    pub states: BTreeMap<Name, Vec<u8>>,
    /// Who wants to know when checks run next. Full: they wait, and give up by themselves.
    pub next_runs: mpsc::Receiver<NextRunsRequest>,
}

pub struct Schedule {
    config: Config,
    supervisor: Supervisor,
    wires: Wires,
    metrics: ScheduleMetrics,
    entries: BTreeMap<Name, Entry>,
    queue: Queue,
    running: usize,
    runs: u64,
    running_of: BTreeMap<Name, usize>,
    /// Checks whose last run health has not judged yet.
    unjudged: BTreeMap<Name, Moment>,
    /// Room for every run that can be in flight, so that sending never waits.
    finished: (mpsc::Sender<Finished>, mpsc::Receiver<Finished>),
}

/// A run that is over.
struct Finished {
    check: Name,
    checker: Name,
    /// The run's number.
    run: u64,
    report: RunReport,
}

impl Schedule {
    pub fn build(config: Config, supervisor: Supervisor, wires: Wires, metrics: &Metrics) -> Self {
        let finished = mpsc::channel(usize::try_from(config.concurrency).unwrap_or(1).max(1));
        Self {
            config,
            supervisor,
            wires,
            metrics: ScheduleMetrics::new(metrics),
            entries: BTreeMap::new(),
            queue: Queue::default(),
            running: 0,
            runs: 0,
            running_of: BTreeMap::new(),
            unjudged: BTreeMap::new(),
            finished,
        }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("schedule");
        self.take_over();
        loop {
            let due = self.queue.next().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = stop.wait() => break,
                () = beat.next() => {}
                Ok(()) = self.wires.checks.changed() => self.take_over(),
                Ok(()) = self.wires.snapshot.changed() => self.confirm_sooner(),
                Some(finished) = self.finished.1.recv() => self.finish(finished).await,
                Some(request) = self.wires.next_runs.recv() => self.tell_next_runs(request),
                () = sleep_until(due) => self.start_due(),
            }
        }
        self.drain(&mut beat).await;
    }

    /// Lets the runs in flight end; each has its deadline.
    async fn drain(&mut self, beat: &mut crate::supervise::Beat) {
        while self.running > 0 {
            tokio::select! {
                () = beat.next() => {}
                Some(finished) = self.finished.1.recv() => self.finish(finished).await,
            }
        }
    }

    /// Compares what is to run with what runs.
    fn take_over(&mut self) {
        let set = self.wires.checks.borrow_and_update().clone();
        let gone: Vec<Name> = self.entries.keys().filter(|name| !set.checks.contains_key(*name)).cloned().collect();
        for name in gone {
            self.entries.remove(&name);
            self.unjudged.remove(&name);
            self.metrics.forget(&name);
        }
        let changed = set.checks.values().filter(|check| self.is_new_version(check)).count();
        let spread = if changed > CHANGE_BURST { CHANGE_SPREAD } else { Duration::ZERO };
        for (name, check) in &set.checks {
            let first = Instant::now() + jitter(SPREAD.min(check.definition().policy.interval));
            let due = match self.entries.get_mut(name) {
                None => {
                    let state = self.wires.states.remove(name);
                    self.entries.insert(name.clone(), Entry::new(check.clone(), first, state));
                    first
                }
                Some(entry) => {
                    let waited = !entry.check.is_ready();
                    if !entry.replace(check.clone()) {
                        continue;
                    }
                    entry.due = if waited { first } else { Instant::now() + jitter(spread) };
                    entry.due
                }
            };
            // What waits for its checker is not due: it is, once that is there.
            if check.is_ready() {
                self.queue.push(due, name.clone());
            }
        }
    }

    fn is_new_version(&self, check: &Arc<dyn Check>) -> bool {
        self.entries.get(&check.definition().name).is_some_and(|entry| entry.differs(check))
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while let Some((due, name)) = self.queue.pop(now) {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            // An entry that was moved stands in the queue twice; only its own due time counts.
            if entry.due != due || !entry.check.is_ready() {
                continue;
            }
            entry.advance(now);
            self.queue.push(entry.due, name.clone());
            self.metrics.due(&name, now.saturating_duration_since(due));
            if let Err(why) = self.start(&name) {
                self.metrics.skipped(&name, why);
            }
        }
    }

    fn start(&mut self, name: &Name) -> Result<(), Skipped> {
        let Some(entry) = self.entries.get_mut(name) else { return Err(Skipped::Cancelled) };
        if entry.running.is_some() {
            return Err(Skipped::Overlap);
        }
        let checker = entry.check.definition().checker.clone();
        let limit = usize::try_from(self.config.concurrency).unwrap_or(1);
        let of_plugin = self.running_of.entry(checker.clone()).or_default();
        if self.running >= limit || *of_plugin >= (limit / 4).max(1) {
            return Err(Skipped::Overloaded);
        }
        *of_plugin += 1;
        self.running += 1;
        self.metrics.in_flight(self.running);
        self.runs += 1;
        entry.running = Some(self.runs);
        let (check, state, run_number) = (entry.check.clone(), entry.state.clone(), self.runs);
        let (sender, name) = (self.finished.0.clone(), name.clone());
        let run = check.run(state);
        self.supervisor.run_guest(async move {
            let report = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
                let fault = Fault::new(FaultKind::Internal, "the sandbox itself panicked; see the log");
                RunReport::without_sandbox(Ending::Faulted(fault))
            });
            let _ = sender.send(Finished { check: name, checker, run: run_number, report }).await;
        });
        Ok(())
    }

    async fn finish(&mut self, finished: Finished) {
        let Finished { check: name, checker, run, report } = finished;
        self.running -= 1;
        self.metrics.in_flight(self.running);
        if let Some(count) = self.running_of.get_mut(&checker) {
            *count -= 1;
            if *count == 0 {
                self.running_of.remove(&checker);
            }
        }
        // The check is gone, or has come back meanwhile as another.
        let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.running == Some(run)) else { return };
        let void = entry.end_run(Instant::now());
        if let Ending::NotRun(why) = report.ending {
            return self.metrics.skipped(&name, why);
        }
        // What it judged is not what the check is about any more.
        if void {
            return self.metrics.skipped(&name, Skipped::Cancelled);
        }
        self.metrics.ran(&name, &checker, &report);
        if entry.note(&report) {
            self.queue.push(entry.due, name.clone());
        }
        let at = clock::now();
        let state = entry.state.as_deref().map(Arc::from);
        // Faults back off, whatever was being confirmed before them.
        let fault = matches!(&report.ending, Ending::Faulted(fault) if fault.kind != FaultKind::Timeout);
        if !fault {
            self.unjudged.insert(name.clone(), at);
        }
        // An error means that health is gone, and the agent with it.
        let _ = self.wires.observations.send(Observation { check: name, at, report, state }).await;
    }

    fn tell_next_runs(&self, request: NextRunsRequest) {
        let now = Instant::now();
        let next = |entry: &Entry| NextRun {
            due_in: entry.due.saturating_duration_since(now),
            running: entry.running.is_some(),
        };
        // Whoever asked may have given up.
        let ready = self.entries.iter().filter(|(_, entry)| entry.check.is_ready());
        let _ = request.send(ready.map(|(name, entry)| (name.clone(), next(entry))).collect());
    }

    /// Brings forward the next run of what is being confirmed.
    fn confirm_sooner(&mut self) {
        let snapshot = self.wires.snapshot.borrow_and_update().clone();
        let judged: Vec<Name> =
            self.unjudged.iter().filter(|(_, at)| **at <= snapshot.at).map(|(name, _)| name.clone()).collect();
        for name in judged {
            self.unjudged.remove(&name);
            let confirming = snapshot.checks.get(&name).is_some_and(|check| check.verdict.confirming());
            if let Some(entry) = self.entries.get_mut(&name)
                && confirming
                && entry.retry_sooner()
            {
                self.queue.push(entry.due, name);
            }
        }
    }
}

fn jitter(within: Duration) -> Duration {
    within.mul_f64(rand::random::<f64>())
}

#[cfg(test)]
mod tests;
