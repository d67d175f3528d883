//! Drop-ins are edited while the agent runs: what changed takes effect, and nobody outside notices.

use std::time::Duration;

use crate::harness::{
    Agent, Etcd, Listener, Manner, Poll, Site, Table, check, eventually, guest, service, that, throughout,
};

const SOON: Duration = Duration::from_secs(15);
const KEY: &str = "/services/shop/shop-host-1";

fn web(listener: &Listener) -> Table {
    check("web", "tcp").of("shop").target(&listener.url())
}

/// A registered service with one check by the bundled checker.
fn registered(listener: &Listener, etcd: &Etcd) -> (Site, Agent) {
    let site = Site::new().registered_at(etcd);
    site.plugin("app", guest("noop"));
    site.drop_in("shop", [service("shop"), web(listener)]);
    let agent = site.start();
    eventually("the key is there", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
    agent.until_health(200);
    (site, agent)
}

fn defined(agent: &Agent, check: &str, key: &str, value: u64) {
    let path = format!("/api/v1/checks/{check}");
    eventually(&format!("{check} has {key} {value}"), SOON, || {
        let seen = agent.get(&path).json();
        that(seen[key].as_f64() == Some(value as f64), || seen.to_string())
    });
}

#[test]
fn good_edits_are_seen_by_nobody_outside() {
    let (etcd, listener) = (Etcd::start(), Listener::start(Manner::Closing));
    let (site, agent) = registered(&listener, &etcd);
    let revision = etcd.revision();
    let healthy = Poll::start(&agent, "/health", 200);
    let serving = Poll::start(&agent, "/health/services/shop", 200);

    site.drop_in("shop", [service("shop"), web(&listener).with("timeout", "250ms")]);
    defined(&agent, "web", "timeout_ms", 250);
    site.drop_in("shop", [service("shop"), web(&listener).with("interval", "500ms")]);
    defined(&agent, "web", "interval_ms", 500);
    defined(&agent, "web", "timeout_ms", 300);

    site.drop_in("good", [check("good", "app").of("shop"), check("good-host", "app")]);
    agent.until("good", "UP");
    agent.until("good-host", "UP");
    site.drop_in("bad", [check("bad", "no-such").of("shop"), check("bad-host", "no-such")]);
    let seen = agent.until_unknown("bad", "no-checker");
    assert!(seen["message"].as_str().unwrap().contains("no-such.wasm"), "{seen}");
    agent.until_unknown("bad-host", "no-checker");
    throughout("all are shown as they are", Duration::from_secs(2), || {
        agent.shows("web", "UP")?;
        agent.shows("good", "UP")?;
        agent.unknown("bad", "no-checker")
    });

    healthy.stop();
    serving.stop();
    assert_eq!(etcd.events_since(revision, "/"), Vec::<String>::new());
}

#[test]
fn what_is_removed_is_gone() {
    let (etcd, listener) = (Etcd::start(), Listener::start(Manner::Closing));
    let (site, agent) = registered(&listener, &etcd);
    site.drop_in("more", [check("good", "app").of("shop"), check("bad", "no-such").of("shop")]);
    agent.until("good", "UP");
    agent.until_unknown("bad", "no-checker");
    let revision = etcd.revision();
    let healthy = Poll::start(&agent, "/health", 200);

    site.remove_drop_in("more");
    eventually("good is gone", SOON, || agent.answers("/health/checks/good", 404));
    agent.answers("/health/checks/bad", 404).unwrap();
    agent.answers("/api/v1/checks/good", 404).unwrap();
    let metrics = agent.metrics();
    for name in metrics.names() {
        let checks = metrics.values_of(name, "check");
        assert!(!checks.contains("good") && !checks.contains("bad"), "{name} has series of {checks:?}");
    }

    healthy.stop();
    assert_eq!(etcd.events_since(revision, "/"), Vec::<String>::new());
}

#[test]
fn a_service_that_is_removed_leaves_etcd() {
    let (etcd, listener) = (Etcd::start(), Listener::start(Manner::Closing));
    let (site, agent) = registered(&listener, &etcd);
    site.drop_in("more", [service("other"), check("other", "app").of("other")]);
    let other = "/services/other/other-host-1";
    eventually("the other is there", SOON, || that(etcd.get(other).is_some(), || "no key".into()));
    let revision = etcd.revision();

    site.remove_drop_in("more");
    eventually("the other is gone", SOON, || that(etcd.get(other).is_none(), || "it is there".into()));
    assert_eq!(etcd.events_since(revision, "/services"), [format!("DELETE {other}")]);
    agent.answers("/health/services/other", 404).unwrap();
    agent.answers("/health", 200).unwrap();
}

#[test]
fn a_changed_target_is_judged_at_once_and_keeps_its_status_until_then() {
    let (etcd, listener) = (Etcd::start(), Listener::start(Manner::Closing));
    let second = Listener::start(Manner::Closing);
    let (site, agent) = registered(&listener, &etcd);
    let revision = etcd.revision();
    let healthy = Poll::start(&agent, "/health", 200);

    site.drop_in("shop", [service("shop"), web(&second)]);
    eventually("the new target", SOON, || {
        let seen = agent.get("/api/v1/checks/web").json();
        that(seen["target"] == second.url(), || seen.to_string())
    });
    throughout("it is UP", Duration::from_secs(1), || agent.shows("web", "UP"));

    healthy.stop();
    assert_eq!(etcd.events_since(revision, "/"), Vec::<String>::new());
}
