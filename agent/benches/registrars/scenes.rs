//! The scenes, in the order in which they are played: everybody starts at once, a few change one after another, nothing
//! happens, everybody changes at once, etcd is lost with all it had, everybody is restarted.

use std::time::{Duration, Instant};

use vitald::clock;

use super::figures::{Figures, Reading, Spread};
use super::fleet::{AGENTS, Fleet, SERVICES};
use super::server::Etcd;
use super::until;
use super::watcher::{Seen, Watcher};

/// How long nothing happens.
const STEADY: Duration = Duration::from_secs(60);
/// When that begins, after the start. Each registrar compares its keys a minute after it began, give or take a quarter:
/// so the minute that is measured has one comparison of each.
const STEADY_FROM: Duration = Duration::from_secs(15);
/// How many change one after another, and how long after one the next.
const FEW: usize = 100;
const GAP: Duration = Duration::from_millis(50);
/// How long etcd is away: long enough for everybody to have come to the longest pause between tries.
pub const AWAY: Duration = Duration::from_secs(8);
/// As many parts are restarted one after another.
const PARTS: usize = 10;
/// More than anything takes; whatever takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nothing was written for so long: nothing is under way.
const QUIET: Duration = Duration::from_millis(300);

/// All of them, and what it cost the registrars that etcd was away before it was empty.
pub struct Played {
    pub scenes: Vec<Scene>,
    pub cpu_while_away: Duration,
}

pub struct Scene {
    pub name: &'static str,
    pub figures: Figures,
}

struct Stage {
    etcd: Etcd,
    fleet: Fleet,
    watcher: Watcher,
    count: usize,
}

/// Plays all of them with so many registrars.
pub fn play(count: usize, ttl: Duration) -> Played {
    let etcd = Etcd::start();
    let watcher = Watcher::start(etcd.url(), SERVICES);
    let fleet = Fleet::new(count, ttl, &etcd.url(), etcd.dir());
    let mut stage = Stage { etcd, fleet, watcher, count };
    let begun = Instant::now();
    let few = FEW.min(count);
    let mut scenes = vec![
        Scene { name: "all start", figures: stage.start() },
        Scene { name: "few change", figures: stage.few_change(few) },
    ];
    std::thread::sleep((begun + STEADY_FROM).saturating_duration_since(Instant::now()));
    scenes.push(Scene { name: "steady", figures: stage.steady() });
    scenes.push(Scene { name: "all DOWN", figures: stage.all_change(false) });
    scenes.push(Scene { name: "all UP", figures: stage.all_change(true) });
    let (cpu_while_away, figures) = stage.lose_etcd();
    scenes.push(Scene { name: "etcd empty", figures });
    scenes.push(Scene { name: "rolling restart", figures: stage.restart_all() });
    Played { scenes, cpu_while_away }
}

impl Stage {
    fn start(&mut self) -> Figures {
        let before = Reading::take(&self.etcd, &self.fleet);
        let from = Instant::now();
        self.fleet.start(0, self.count);
        let seen = self.all_seen(true, self.count);
        self.settle(self.count);
        let back = Spread::of(seen.iter().map(|seen| seen.at - from).collect());
        Figures { back: Some(back), ..self.figures(&before, &seen, 0, Some(from + back.all)) }
    }

    fn steady(&mut self) -> Figures {
        let before = Reading::take(&self.etcd, &self.fleet);
        std::thread::sleep(STEADY);
        let seen = self.watcher.take();
        self.figures(&before, &seen, 0, None)
    }

    /// Down one after another, then up again.
    fn few_change(&mut self, few: usize) -> Figures {
        let before = Reading::take(&self.etcd, &self.fleet);
        let (mut seen, mut changes) = (Vec::new(), Vec::new());
        for up in [false, true] {
            let mut sent = Vec::new();
            for member in &mut self.fleet.members[..few] {
                sent.push(member.turn(up));
                std::thread::sleep(GAP);
            }
            let of_these = self.all_seen(up, few);
            changes.extend(lengths(&sent, &of_these));
            seen.extend(of_these);
        }
        self.settle(self.count);
        Figures { changes: Some(Spread::of(changes)), ..self.figures(&before, &seen, few, None) }
    }

    fn all_change(&mut self, up: bool) -> Figures {
        let before = Reading::take(&self.etcd, &self.fleet);
        let sent: Vec<Instant> = self.fleet.members.iter_mut().map(|member| member.turn(up)).collect();
        let seen = self.all_seen(up, self.count);
        self.settle(if up { self.count } else { 0 });
        let changes = Some(Spread::of(lengths(&sent, &seen)));
        let expected = if up { 0 } else { self.count };
        let last = seen.last().map(|seen| seen.at);
        Figures { changes, ..self.figures(&before, &seen, expected, last) }
    }

    /// Also what it cost the registrars that it was away.
    fn lose_etcd(&mut self) -> (Duration, Figures) {
        let (errors, cpu) = (self.fleet.errors(), clock::process_cpu());
        self.etcd.kill();
        std::thread::sleep(AWAY);
        let cpu = clock::process_cpu().saturating_sub(cpu);
        let before = Reading::of_none(errors);
        let answered = self.etcd.start_empty();
        let seen = self.all_seen(true, self.count);
        self.settle(self.count);
        let back = Spread::of(seen.iter().map(|seen| seen.at.saturating_duration_since(answered)).collect());
        (cpu, Figures { back: Some(back), ..self.figures(&before, &seen, 0, Some(answered + back.all)) })
    }

    fn restart_all(&mut self) -> Figures {
        let before = Reading::take(&self.etcd, &self.fleet);
        for part in 0..PARTS {
            let (from, to) = (self.count * part / PARTS, self.count * (part + 1) / PARTS);
            self.fleet.stop(from, to);
            self.fleet.start(from, to);
            until("they are registered again", PATIENCE, || self.fleet.is_settled(from, to));
        }
        let done = Instant::now();
        self.settle(self.count);
        let seen = self.watcher.take();
        self.figures(&before, &seen, 0, Some(done))
    }

    /// Waits until the watcher has seen so many hosts change; returns everything that it saw.
    fn all_seen(&self, put: bool, count: usize) -> Vec<Seen> {
        let mut seen: Vec<Seen> = Vec::new();
        until("the watcher has seen all of them", PATIENCE, || {
            seen.extend(self.watcher.take());
            seen.iter().filter(|seen| seen.put == put).count() >= count
        });
        seen
    }

    /// Waits until nothing is under way any more, then looks whether everything is as it should be.
    fn settle(&mut self, instances: usize) {
        until("all are as they should be", PATIENCE, || self.fleet.is_settled(0, self.count));
        let writes = |etcd: &Etcd| etcd.counters().get("etcd_mvcc_put_total");
        until("nothing is written any more", PATIENCE, || {
            let before = writes(&self.etcd);
            std::thread::sleep(QUIET);
            before == writes(&self.etcd)
        });
        self.fleet.assert_alive();
        let keys = self.watcher.count(&[SERVICES, AGENTS]);
        assert_eq!(keys, i64::try_from(instances + self.count).unwrap(), "keys of instances and agents");
    }

    /// `expected` of the DELETEs are of instances that were DOWN.
    fn figures(&mut self, before: &Reading, seen: &[Seen], expected: usize, done: Option<Instant>) -> Figures {
        let late = self.watcher.take();
        let all: Vec<Seen> = seen.iter().chain(&late).copied().collect();
        let figures = before.until_now(&self.etcd, &self.fleet, &all, done);
        Figures { deleted: figures.deleted - expected, ..figures }
    }
}

/// From what was sent to each host until it was seen.
fn lengths(sent: &[Instant], seen: &[Seen]) -> Vec<Duration> {
    seen.iter().map(|seen| seen.at.saturating_duration_since(sent[seen.host])).collect()
}
