//! The agent is killed while it writes down what it knows.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use super::SOON;
use crate::harness::{Agent, Etcd, Site, Watcher, check, eventually, guest, service, that, throughout};
use crate::registration::{KEY, settled};
use crate::reloads::{count, counter};

const ILL_KEY: &str = "/services/ill/ill-host-1";
const INTERVAL: &str = "100ms";
/// A change of status is written within a second.
const LIFE: Duration = Duration::from_millis(900);

/// Statuses that change all the time, one that is always well, and one that never was.
fn restless(etcd: &Etcd) -> Site {
    let site = Site::new().registered_at(etcd).with_defaults(&format!(
        "interval = \"{INTERVAL}\"\ntimeout = \"90ms\"\nretry_interval = \"{INTERVAL}\"\nfall = 1\nrise = 1\n\
         stale_after = \"60s\""
    ));
    for name in ["counter", "noop", "down"] {
        site.plugin(name, guest(name));
    }
    let flips = |n| counter(&format!("flips-{n}")).with("severity", "info").line("params = { flips = true }");
    let own = [counter("counts"), check("app", "noop").of("shop"), check("never", "down").of("ill")];
    // A machine that is busy with other tests may keep a run waiting; a status needs more than one such run.
    let own = own.map(|table| table.with("interval", "200ms").with("timeout", "200ms"));
    let [counts, app, never] = own;
    let app = app.line("fall = 10");
    site.drop_in("all", [service("shop"), service("ill"), counts, app, never, flips(0), flips(1), flips(2)]);
    site
}

/// Nothing is claimed that is not so.
fn honest(agent: &Agent) -> Result<(), String> {
    let never = agent.check("never");
    that(never["status"] != "UP" && never["last"] != "UP", || never.to_string())?;
    agent.answers("/health/services/ill", 503)
}

/// Some length of time below that.
fn some_of(length: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    length.mul_f64((random % 1000) as f64 / 1000.0)
}

/// Waits until the agent writes, for as long as it should not take to begin; returns whether it was seen.
fn is_writing(site: &Site) -> bool {
    let temporary = site.path().join("state/verdicts.json.tmp");
    let begun = Instant::now();
    // A write is over sooner than two looks of `eventually` are apart.
    while begun.elapsed() < LIFE * 2 {
        if temporary.exists() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn killed(times: u32) {
    let etcd = Etcd::start();
    let site = restless(&etcd);
    let begun = Instant::now();
    let mut agent = site.start();
    settled(&site, &etcd);
    eventually("it is known who is ill", SOON, || agent.shows("never", "DOWN"));
    let watcher = Watcher::start(&etcd, "/services");
    let (mut last, mut fresh, mut caught) = (0, 0, 0);
    for life in 0..times {
        throughout("nothing is claimed that is not so", some_of(LIFE), || honest(&agent));
        last = count(&agent, "counts").unwrap_or(last);
        caught += u32::from(life % 2 == 0 && is_writing(&site));
        agent.kill();
        agent = site.start();
        honest(&agent).unwrap();
        let now = eventually("it counts", SOON, || count(&agent, "counts"));
        // Each run is counted once, whatever became of the memory of it. One may have been under way at each end.
        let most = begun.elapsed().as_secs_f64() / 0.2 + f64::from(2 * times);
        assert!(f64::from(now) <= most, "run {now}, of at most {most:.0}");
        fresh += u32::from(now < 3 && last > 15);
    }
    eventually("it is well", SOON, || agent.shows("app", "UP"));
    honest(&agent).unwrap();
    let took = begun.elapsed();
    println!("measured: killed {times} times in {took:.1?}, {caught} in the act; {fresh} starts without memory");
    assert!(caught >= times / 8, "killed {caught} times while it wrote");
    let state = site.path().join("state");
    let odd: Vec<String> = std::fs::read_dir(state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("unusable"))
        .collect();
    let log = agent.log();
    assert!(odd.is_empty() && !log.contains("is not used") && !log.contains("is damaged"), "{odd:?}: {log}");
    assert_eq!(fresh, 0, "what was written was not used");
    let notes = watcher.all_notes(&etcd);
    let shop: Vec<_> = notes.iter().filter(|note| note.what.contains(KEY)).collect();
    assert!(!notes.iter().any(|note| note.is_put_of(ILL_KEY)), "an ill service was registered: {notes:?}");
    assert!(!shop.iter().any(|note| note.verb() == "DELETE"), "a well service was not: {shop:?}");
}

#[test]
fn an_agent_that_is_killed_twenty_times_always_starts_and_claims_nothing_that_is_not_so() {
    killed(20);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn long_killed_two_hundred_times() {
    killed(200);
}
