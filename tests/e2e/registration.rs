//! etcd fails and comes back, the agent fails and comes back: the key is there for as long as the service is well.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{
    Agent, Etcd, Key, Poll, Site, check, eventually, guest, report, service, tally, that, throughout, timed,
};

pub const KEY: &str = "/services/shop/shop-host-1";
pub const AGENT_KEY: &str = "/vitald/agents/host-1";
const TTL: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(15);

/// A host with a service that is always well.
pub fn shop(etcd: &Etcd) -> Site {
    let site = Site::new().registered_at(etcd);
    site.plugin("noop", guest("noop"));
    site.drop_in("shop", [service("shop"), check("app", "noop").of("shop")]);
    site
}

pub fn registered(etcd: &Etcd) -> Key {
    eventually("the key is there", SOON, || etcd.get(KEY).ok_or_else(|| "no key".to_owned()))
}

/// The instance and the agent are there, and a restart would know them.
pub fn settled(site: &Site, etcd: &Etcd) -> Key {
    eventually("the agent's key is there", SOON, || that(etcd.get(AGENT_KEY).is_some(), || "no key".into()));
    let memory = site.path().join("state/verdicts.json");
    eventually("the verdicts are written down", SOON, || that(memory.exists(), || "no file".into()));
    registered(etcd)
}

fn registry_up(agent: &Agent, up: f64) -> Result<(), String> {
    let seen = agent.metrics().get("vitald_registry_up", &[]);
    that(seen == Some(up), || format!("vitald_registry_up is {seen:?}"))
}

fn no_events() -> Vec<String> {
    Vec::new()
}

#[test]
fn etcd_loses_everything() {
    let mut etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    let before = registered(&etcd);
    let healthy = Poll::start(&agent, "/health", 200);

    etcd.restart_empty();
    timed("etcd restarted empty until the key is back", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
    let after = registered(&etcd);
    assert_eq!(after.value, before.value);
    eventually("the agent's key is back", SOON, || that(etcd.get(AGENT_KEY).is_some(), || "no key".into()));
    eventually("the registry is up", SOON, || registry_up(&agent, 1.0));
    throughout("it is renewed", TTL + TTL / 2, || that(etcd.get(KEY).is_some(), || "no key".into()));
    healthy.stop();
    assert!(agent.metrics().sum("vitald_registry_leases_lost_total", &[]) >= 1.0);
    assert_eq!(etcd.leases().len(), 1, "one lease per agent");
}

#[test]
fn etcd_restarts_with_its_data() {
    let mut etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    let before = settled(&site, &etcd);
    let revision = etcd.revision();
    let healthy = Poll::start(&agent, "/health", 200);

    etcd.kill();
    eventually("the loss is seen", SOON, || registry_up(&agent, 0.0));
    etcd.restart();
    eventually("the registry is up", SOON, || registry_up(&agent, 1.0));
    throughout("the key is there", TTL * 3, || that(etcd.get(KEY).is_some(), || "no key".into()));
    healthy.stop();
    assert_eq!(etcd.events_since(revision, "/"), no_events());
    assert_eq!(etcd.get(KEY), Some(before));
    assert_eq!(agent.metrics().sum("vitald_registry_leases_lost_total", &[]), 0.0);
}

#[test]
fn etcd_is_absent_at_the_start() {
    let mut etcd = Etcd::absent();
    let site = shop(&etcd);
    let agent = site.start();
    agent.until_health(200);
    agent.answers("/health/ready", 200).unwrap();
    registry_up(&agent, 0.0).unwrap();
    let warnings = agent.log().lines().filter(|line| line.contains("etcd unreachable")).count();
    assert_eq!(warnings, 1, "a change of state is one line");

    etcd.restart();
    timed("etcd started until registered", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
    eventually("the registry is up", SOON, || registry_up(&agent, 1.0));
    let registered = [("service", "shop")];
    eventually("the metric says so", SOON, || {
        let seen = agent.metrics().get("vitald_service_registered", &registered);
        that(seen == Some(1.0), || format!("{seen:?}"))
    });
}

#[test]
fn an_agent_that_is_killed_leaves_with_its_lease() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    settled(&site, &etcd);
    agent.kill();
    let killed = Instant::now();
    // The last renewal may be a third of the TTL old.
    throughout("the key outlives the agent", TTL / 2, || that(etcd.get(KEY).is_some(), || "no key".into()));
    eventually("the key is gone", TTL * 2, || that(etcd.get(KEY).is_none(), || "it is there".into()));
    println!("measured: SIGKILL until the key is gone (TTL {TTL:?}): {:.1?}", killed.elapsed());
    eventually("the agent's key is gone", SOON, || that(etcd.get(AGENT_KEY).is_none(), || "it is there".into()));
}

#[test]
fn an_agent_that_is_killed_and_started_again_is_not_missed() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    let before = settled(&site, &etcd);
    let revision = etcd.revision();
    for _ in 0..4 {
        agent.kill();
        agent = site.start();
        eventually("the registry is up", SOON, || registry_up(&agent, 1.0));
        agent.until("app", "UP");
    }
    throughout("the key is there", TTL + TTL / 2, || that(etcd.get(KEY).is_some(), || "no key".into()));
    assert_eq!(etcd.events_since(revision, "/"), no_events());
    assert_eq!(etcd.get(KEY), Some(before));
    assert_eq!(etcd.leases().len(), 1, "one lease per agent");
}

#[test]
fn an_agent_hands_over_to_the_next() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    let before = settled(&site, &etcd);
    let revision = etcd.revision();
    agent.signal(Signal::USR2);
    assert_eq!(agent.end(SOON), 0);
    let agent = site.start();
    eventually("the registry is up", SOON, || registry_up(&agent, 1.0));
    agent.until("app", "UP");
    throughout("the key is there", TTL + TTL / 2, || that(etcd.get(KEY).is_some(), || "no key".into()));
    assert_eq!(etcd.events_since(revision, "/"), no_events());
    assert_eq!(etcd.get(KEY), Some(before));
}

#[test]
fn a_service_that_fell_while_the_agent_was_away_is_removed() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    site.plugin("app", guest("noop"));
    site.drop_in("shop", [service("shop"), check("app", "app").of("shop")]);
    let mut agent = site.start();
    settled(&site, &etcd);
    agent.kill();
    site.plugin("app", guest("down"));
    let agent = site.start();
    agent.until("app", "DOWN");
    timed("DOWN until the key is gone", SOON, || that(etcd.get(KEY).is_none(), || "it is there".into()));
}

#[test]
fn another_owner_is_left_alone() {
    let etcd = Etcd::start();
    let foreign = r#"{"id":"shop-host-1","owner":"somebody-else"}"#;
    etcd.put_leased(KEY, foreign, etcd.grant(600));
    let revision = etcd.revision();
    let site = shop(&etcd);
    let agent = site.start();
    eventually("the conflict is seen", SOON, || {
        let seen = agent.metrics().get("vitald_registry_conflict", &[]);
        that(seen == Some(1.0), || format!("{seen:?}"))
    });
    agent.answers("/health", 200).unwrap();
    assert!(agent.log().contains("somebody-else"), "the log does not name the other");
    assert_eq!(etcd.events_since(revision, "/services"), no_events());

    etcd.delete(KEY);
    let key =
        eventually("the key is ours once the other is gone", SOON, || etcd.get(KEY).ok_or_else(|| "no key".into()));
    assert_eq!(key.value["status"], "UP");
}

#[test]
fn a_key_without_a_lease_has_no_living_owner() {
    let etcd = Etcd::start();
    etcd.put(KEY, r#"{"id":"shop-host-1","owner":"somebody-else"}"#);
    let site = shop(&etcd);
    let agent = site.start();
    eventually("it is ours", SOON, || {
        let value = etcd.get(KEY).map(|key| key.value["status"].clone());
        that(value == Some("UP".into()), || format!("{value:?}"))
    });
    assert!(agent.log().contains("hung on no lease"), "nothing is said of it");
}

/// A service whose checks are all warnings, or have never said anything, is not ill.
#[test]
fn an_edit_that_leaves_nothing_known_moves_no_registration() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let warning = |name: &str| check(name, "noop").of("shop").with("severity", "warning");
    site.drop_in("shop", [service("shop"), warning("app")]);
    let agent = site.start();
    settled(&site, &etcd);
    let revision = etcd.revision();
    site.drop_in("shop", [service("shop"), warning("renamed")]);
    agent.until("renamed", "UP");
    // Renamed again, and its checker is not there: it never says anything.
    site.drop_in("shop", [service("shop"), check("again", "missing").of("shop")]);
    agent.until_unknown("again", "no-checker");
    throughout("the key is there", Duration::from_secs(2), || that(etcd.get(KEY).is_some(), || "no key".into()));
    let seen = etcd.events_since(revision, "/services");
    assert_eq!(seen, no_events());
    report("checks renamed, the last without a checker", &tally(&seen), "nothing");
}
