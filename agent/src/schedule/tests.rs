//! The schedule over fake checks, in paused time.

use std::collections::BTreeMap;

use tokio::runtime::Handle;

use crate::model::check::CheckDef;
use crate::model::outcome::Status;
use crate::model::snapshot::{Aggregate, CheckView, Shown};
use crate::model::testing::{FakeCheck, definition, faulted, judged, name};
use crate::model::verdict::Verdict;
use crate::supervise::{Stopper, stop_pair};

use super::*;

struct Rig {
    checks: watch::Sender<Arc<CheckSet>>,
    snapshot: watch::Sender<Arc<HealthSnapshot>>,
    observations: mpsc::Receiver<Observation>,
    next_runs: mpsc::Sender<NextRunsRequest>,
    metrics: Metrics,
    stopper: Stopper,
    task: tokio::task::JoinHandle<()>,
}

fn set(checks: Vec<FakeCheck>) -> Arc<CheckSet> {
    let checks = checks.into_iter().map(|c| (c.definition.name.clone(), Arc::new(c) as Arc<dyn Check>)).collect();
    Arc::new(CheckSet { checks, loaded: true, ..CheckSet::default() })
}

impl Rig {
    fn start(concurrency: u32, checks: Vec<FakeCheck>) -> Self {
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        let (checks, check_receiver) = watch::channel(set(checks));
        let (snapshot, snapshot_receiver) = watch::channel(Arc::new(HealthSnapshot::default()));
        let (sender, observations) = mpsc::channel(10_000);
        let (next_runs, next_runs_receiver) = mpsc::channel(1);
        let wires = Wires {
            checks: check_receiver,
            snapshot: snapshot_receiver,
            observations: sender,
            states: BTreeMap::new(),
            next_runs: next_runs_receiver,
        };
        let metrics = Metrics::default();
        let schedule = Schedule::build(Config { concurrency }, supervisor.clone(), wires, &metrics);
        let (stopper, stop) = stop_pair();
        let task = supervisor.spawn("schedule", &stop, schedule.run(stop.clone()));
        Self { checks, snapshot, observations, next_runs, metrics, stopper, task }
    }

    /// Lets time pass, and returns how often each check was observed.
    async fn pass(&mut self, seconds: u64) -> BTreeMap<String, u32> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let mut seen = BTreeMap::new();
        while let Ok(observation) = self.observations.try_recv() {
            *seen.entry(observation.check.to_string()).or_default() += 1;
        }
        seen
    }

    async fn next_runs(&self) -> BTreeMap<Name, NextRun> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        self.next_runs.send(sender).await.expect("it runs");
        answer.await.expect("an answer")
    }

    fn counter(&self, metric: &str, check: &str, label: Option<(&str, &str)>) -> u64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|family| family.name() == metric);
        let matches = |m: &&prometheus::proto::Metric| {
            let has = |name: &str, value: &str| m.get_label().iter().any(|l| l.name() == name && l.value() == value);
            has("check", check) && label.is_none_or(|(name, value)| has(name, value))
        };
        let sum: f64 =
            family.iter().flat_map(|f| f.get_metric()).filter(matches).map(|m| m.get_counter().get_value()).sum();
        sum as u64
    }

    fn assert_due_is_runs_and_skipped(&self, check: &str) {
        let due = self.counter("vitald_schedule_due_total", check, None);
        let runs = self.counter("vitald_check_runs_total", check, None);
        let skipped = self.counter("vitald_check_skipped_total", check, None);
        assert!(due > 0);
        assert_eq!(due, runs + skipped, "{check}: {due} due, {runs} runs, {skipped} skipped");
    }
}

fn slow(check: &str, takes: u64) -> FakeCheck {
    FakeCheck { takes: Duration::from_secs(takes), ..FakeCheck::new(definition(check, &[])) }
}

#[tokio::test(start_paused = true)]
async fn every_interval_with_the_first_runs_spread() {
    let mut rig = Rig::start(100, (0..20).map(|n| slow(&format!("c{n}"), 0)).collect());
    assert!(rig.pass(1).await.len() < 20, "not all at once");
    rig.pass(1).await;
    let seen = rig.pass(100).await;
    assert_eq!(seen.len(), 20);
    assert!(seen.values().all(|count| *count == 10), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn no_overlap() {
    let mut rig = Rig::start(100, vec![slow("slow", 25)]);
    rig.pass(100).await;
    assert!(rig.counter("vitald_check_skipped_total", "slow", Some(("reason", "overlap"))) >= 5);
    rig.stopper.stop();
    rig.task.await.expect("the run in flight ends first");
}

#[tokio::test(start_paused = true)]
async fn bounded_concurrency_and_every_due_run_is_accounted_for() {
    let checks = (0..30).map(|n| slow(&format!("c{n}"), 9)).collect();
    let mut rig = Rig::start(16, checks);
    let seen = rig.pass(105).await;
    let total: u32 = seen.values().sum();
    // Four at once of one plugin, nine seconds each.
    assert!(total <= 4 * 12, "{total}");
    // Who gets a turn is chance.
    let skipped = |n| rig.counter("vitald_check_skipped_total", &format!("c{n}"), Some(("reason", "overloaded")));
    assert!((0..30).map(skipped).sum::<u64>() > 0);
    // Stopping lets the runs in flight end, and counts them.
    let Rig { stopper, task, .. } = std::mem::replace(&mut rig, Rig::start(1, Vec::new()));
    stopper.stop();
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn due_is_runs_and_skipped() {
    let mut rig = Rig::start(100, vec![slow("a", 0), slow("b", 3), slow("c", 12)]);
    rig.pass(100).await;
    // `c` runs again and again over its next due time: it may be in flight now.
    rig.checks.send_replace(set(vec![slow("a", 0), slow("b", 3), slow("c", 0)]));
    rig.pass(35).await;
    for check in ["a", "b", "c"] {
        rig.assert_due_is_runs_and_skipped(check);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_runs_at_once_and_an_equal_one_keeps_its_time() {
    let mut rig = Rig::start(100, vec![slow("a", 0), slow("b", 0)]);
    rig.pass(3).await;
    let changed = FakeCheck { version: "2".into(), ..slow("a", 0) };
    rig.checks.send_replace(set(vec![changed, slow("b", 0)]));
    let seen = rig.pass(1).await;
    assert_eq!(seen.get("a"), Some(&1));
    assert_eq!(seen.get("b"), None);
}

#[tokio::test(start_paused = true)]
async fn a_removed_check_leaves_nothing_behind() {
    let mut rig = Rig::start(100, vec![slow("a", 0)]);
    rig.pass(30).await;
    rig.checks.send_replace(set(Vec::new()));
    assert!(rig.pass(30).await.is_empty());
    let families = rig.metrics.gather();
    let series = families.iter().flat_map(|f| f.get_metric()).flat_map(|m| m.get_label());
    assert_eq!(series.filter(|label| label.value() == "a").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_judged_of_another_target_is_of_no_use() {
    let mut rig = Rig::start(100, vec![slow("a", 5)]);
    rig.pass(2).await;
    let other = CheckDef { checker: name("other"), ..definition("a", &[]) };
    rig.checks.send_replace(set(vec![FakeCheck::new(other)]));
    rig.pass(8).await;
    assert_eq!(rig.counter("vitald_check_skipped_total", "a", Some(("reason", "cancelled"))), 1);
}

#[tokio::test(start_paused = true)]
async fn faults_back_off_up_to_eight_times() {
    let faulty = FakeCheck { ending: faulted(FaultKind::Trap), ..slow("a", 0) };
    let mut rig = Rig::start(100, vec![faulty]);
    assert_eq!(rig.pass(42).await.get("a"), Some(&5), "five at the usual pace");
    assert_eq!(rig.pass(20).await.get("a"), Some(&1), "then after 20 s");
    assert_eq!(rig.pass(40).await.get("a"), Some(&1), "then after 40 s");
    assert_eq!(rig.pass(80).await.get("a"), Some(&1), "then after 80 s");
    assert_eq!(rig.pass(160).await.get("a"), Some(&2), "and no slower");
}

#[tokio::test(start_paused = true)]
async fn what_is_being_confirmed_runs_sooner() {
    let down = FakeCheck { ending: judged(Status::Down), ..slow("a", 0) };
    let mut rig = Rig::start(100, vec![down]);
    rig.pass(3).await;
    let definition = Arc::new(definition("a", &[]));
    let verdict = Arc::new(Verdict { status: Some(Status::Up), worse: 1, ..Verdict::default() });
    let view = CheckView { definition, verdict, shown: Shown::Up, reason: None, notice: None, counts: Aggregate::Up };
    let checks = [(name("a"), view)].into();
    let snapshot = HealthSnapshot { at: clock::now(), checks, ..HealthSnapshot::default() };
    rig.snapshot.send_replace(Arc::new(snapshot));
    assert_eq!(rig.pass(3).await.get("a"), Some(&1), "after 2.5 s instead of 10 s");
}

#[tokio::test(start_paused = true)]
async fn it_tells_when_checks_run_next() {
    let mut rig = Rig::start(100, vec![slow("quick", 0), slow("slow", 5)]);
    rig.pass(3).await;
    let next = rig.next_runs().await;
    let (quick, slow) = (next[&name("quick")], next[&name("slow")]);
    let range = Duration::from_secs(7)..=Duration::from_secs(9);
    assert!(!quick.running && range.contains(&quick.due_in), "{quick:?}");
    assert!(slow.running && range.contains(&slow.due_in), "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_checker_runs_once_that_is_there() {
    let waiting = FakeCheck { ready: false, version: "waits".into(), ..FakeCheck::new(definition("a", &[])) };
    let mut rig = Rig::start(16, vec![waiting]);
    assert_eq!(rig.pass(60).await, BTreeMap::new());
    assert!(rig.next_runs().await.is_empty());
    assert_eq!(rig.counter("vitald_schedule_due_total", "a", None), 0);
    rig.checks.send_replace(set(vec![FakeCheck::new(definition("a", &[]))]));
    assert_eq!(rig.pass(3).await["a"], 1);
    assert_eq!(rig.pass(30).await["a"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_only_moved_in_its_file_keeps_its_schedule() {
    let mut rig = Rig::start(16, vec![FakeCheck::new(definition("a", &[]))]);
    rig.pass(15).await;
    let next = rig.next_runs().await[&name("a")].due_in;
    let mut moved = definition("a", &[]);
    moved.origin = "test.toml:9".into();
    moved.params.insert("password".into(), "another, put in for the same text".into());
    rig.checks.send_replace(set(vec![FakeCheck::new(moved)]));
    tokio::task::yield_now().await;
    assert_eq!(rig.next_runs().await[&name("a")].due_in, next);
    let mut changed = definition("a", &[]);
    changed.policy.timeout = Duration::from_millis(5);
    rig.pass(0).await;
    rig.checks.send_replace(set(vec![FakeCheck::new(changed)]));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.pass(0).await.get("a"), Some(&1), "it runs at once");
}
