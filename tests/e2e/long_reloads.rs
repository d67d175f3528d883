//! How long it takes until what was changed on disk runs, and what many changes leave behind.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Agent, Site, alone, check, eventually, guest, stamped, that};

const SOON: Duration = Duration::from_secs(10);
/// Ten times what DESIGN 10 allows.
const RELOADED: Duration = Duration::from_secs(10);

/// What is measured many times.
struct Distribution(Vec<Duration>);

impl Distribution {
    fn of(count: u64, mut one: impl FnMut(u64) -> Duration) -> Self {
        let mut times: Vec<Duration> = (0..count).map(&mut one).collect();
        times.sort();
        Self(times)
    }

    fn quantile(&self, quantile: f64) -> Duration {
        let last = self.0.len() - 1;
        self.0[(last as f64 * quantile).round() as usize]
    }

    fn report(&self, what: &str) {
        let [min, median, p95, max] = [0.0, 0.5, 0.95, 1.0].map(|quantile| self.quantile(quantile));
        println!(
            "measured: {what}: min {min:.0?}, median {median:.0?}, p95 {p95:.0?}, max {max:.0?} of {}",
            self.0.len()
        );
    }
}

/// What a process has, and should have no more of after a thousand changes.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    resident: u64,
    files: usize,
    mappings: usize,
    threads: usize,
}

impl Holdings {
    fn of(agent: &Agent) -> Self {
        let path = |file: &str| format!("/proc/{}/{file}", agent.pid());
        let count = |dir: &str| fs::read_dir(path(dir)).expect("the agent lives").count();
        let maps = fs::read_to_string(path("maps")).expect("the agent lives");
        Self { resident: agent.resident(), files: count("fd"), mappings: maps.lines().count(), threads: count("task") }
    }
}

/// An agent whose check runs seldom: when its plugin is another, and else hardly ever.
fn seldom() -> (Site, Agent) {
    let site = Site::new().with_defaults("interval = \"60s\"\ntimeout = \"1s\"\nstale_after = \"1h\"");
    site.plugin("app", guest("noop"));
    site.drop_in("checks", [check("app", "app")]);
    let agent = site.start();
    agent.until("app", "UP");
    (site, agent)
}

/// A version that no agent has seen, and what it says.
fn version(number: u64) -> (Vec<u8>, &'static str) {
    let (name, message) =
        if number.is_multiple_of(2) { ("version_two", "ok from version two") } else { ("noop", "ok") };
    let bytes = stamped(&guest(name), number);
    assert!(bytes.len() <= 300 << 10, "{} bytes are more than DESIGN 10 speaks of", bytes.len());
    (bytes, message)
}

/// From the rename until the new version has judged.
fn reload(site: &Site, agent: &Agent, number: u64) -> Duration {
    let (bytes, message) = version(number);
    let begun = Instant::now();
    site.plugin("app", bytes);
    eventually("the new version judges", RELOADED, || {
        let seen = agent.check("app");
        that(seen["status"] == "UP" && seen["message"] == message, || seen.to_string())
    });
    begun.elapsed()
}

fn reloads(count: u64) {
    let _machine = alone();
    let (site, agent) = seldom();
    let times = Distribution::of(count, |number| reload(&site, &agent, number));
    times.report("a new .wasm renamed into place until its first run (target 1 s, aim 300 ms)");
    accounts_balance(&agent);
    let metrics = agent.metrics();
    let succeeded = metrics.sum("vitald_plugin_reloads_total", &[("plugin", "app"), ("result", "success")]);
    assert_eq!(succeeded, (count + 1) as f64);
    let compiled = metrics.sum("vitald_compile_seconds_sum", &[]) / metrics.sum("vitald_compile_seconds_count", &[]);
    println!("measured: of a reload {compiled:.3} s on average are compiling, {} bytes", version(0).0.len());
}

/// Due = runs + skipped, once no run is in flight.
fn accounts_balance(agent: &Agent) {
    eventually("due = runs + skipped", SOON, || {
        let metrics = agent.metrics();
        let sum = |name| metrics.sum(name, &[("check", "app")]);
        let due = sum("vitald_schedule_due_total");
        let (runs, skipped) = (sum("vitald_check_runs_total"), sum("vitald_check_skipped_total"));
        that(due == runs + skipped && due > 0.0, || format!("due {due}, runs {runs}, skipped {skipped}"))
    });
}

#[test]
fn a_new_version_runs_within_a_second() {
    reloads(10);
}

#[test]
#[ignore = "takes a minute: tests/run --long"]
fn long_a_hundred_new_versions() {
    reloads(100);
}

/// Reloads, after some that let everything grow that grows once.
fn leave_nothing_behind(count: u64) {
    const FIRST: u64 = 20;
    let _machine = alone();
    let (site, agent) = seldom();
    for number in 0..FIRST {
        reload(&site, &agent, number);
    }
    let before = Holdings::of(&agent);
    for number in FIRST..FIRST + count {
        reload(&site, &agent, number);
    }
    // Compiled code of versions that no run holds any more is let go.
    let after = eventually("what was replaced is let go", SOON, || {
        let after = Holdings::of(&agent);
        let few = after.files <= before.files + 5 && after.mappings <= before.mappings + 100;
        that(few, || format!("{after:?}, before {before:?}")).map(|()| after)
    });
    println!("measured: {count} reloads: before {before:?}, after {after:?}");
    let grown = after.resident.saturating_sub(before.resident);
    assert!(grown < 50 << 20, "{grown} bytes more");
    assert!(after.threads <= before.threads + 16, "{before:?} {after:?}");
    eventually("the code of what was replaced is swept", SOON, || {
        let kept = fs::read_dir(site.path().join("state/compiled")).unwrap().flatten();
        let kept: usize = kept.map(|dir| fs::read_dir(dir.path()).unwrap().count()).sum();
        that(kept <= 2, || format!("{kept} files of compiled code are kept"))
    });
    accounts_balance(&agent);
}

#[test]
fn reloads_leave_nothing_behind() {
    leave_nothing_behind(10);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn long_a_thousand_reloads_leave_nothing_behind() {
    leave_nothing_behind(1000);
}

/// From the rename until `/api/v1/checks` has it.
fn edit(site: &Site, agent: &Agent, number: u64) -> Duration {
    let timeout = 500 + number;
    let begun = Instant::now();
    site.drop_in("checks", [check("app", "app").with("timeout", &format!("{timeout}ms"))]);
    eventually("the edit is taken over", RELOADED, || {
        let seen = agent.get("/api/v1/checks/app").json();
        that(seen["timeout_ms"].as_f64() == Some(timeout as f64), || seen.to_string())
    });
    begun.elapsed()
}

#[test]
fn an_edit_is_taken_over_within_a_second() {
    let _machine = alone();
    let (site, agent) = seldom();
    let times = Distribution::of(20, |number| edit(&site, &agent, number));
    times.report("a drop-in renamed into place until it is taken over");
    assert!(times.quantile(0.5) < RELOADED);
}

#[test]
#[ignore = "a measurement: tests/run --long"]
fn long_a_thousand_edits_leave_nothing_behind() {
    let _machine = alone();
    let (site, agent) = seldom();
    for number in 0..20 {
        edit(&site, &agent, number);
    }
    let before = Holdings::of(&agent);
    let times = Distribution::of(1000, |number| edit(&site, &agent, number % 400));
    times.report("a drop-in renamed into place until it is taken over");
    let after = Holdings::of(&agent);
    println!("measured: a thousand edits: before {before:?}, after {after:?}");
    assert!(after.resident.saturating_sub(before.resident) < 50 << 20, "before {before:?}, after {after:?}");
    assert!(after.files <= before.files + 5 && after.mappings <= before.mappings + 100, "{before:?} {after:?}");
}
