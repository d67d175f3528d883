//! An operator takes services out of traffic, and back.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::control::{SOON, done, ends_with, gone, ill, says, there};
use crate::harness::{Agent, Etcd, Poll, Site, check, eventually, service, that, throughout, timed, write};
use crate::registration::{registered, settled, shop};

#[test]
fn maintenance_takes_a_service_out_of_traffic_and_back() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    let before = settled(&site, &etcd);
    agent.answers("/health/services/shop", 200).unwrap();
    let healthy = Poll::start(&agent, "/health", 200);

    let ended = done(&site, &["maintenance", "on", "--service", "shop", "--reason", "disk swap", "--for", "1h"]);
    assert!(ended.stdout.contains("shop") && ended.stdout.contains("disk swap"), "{ended:?}");
    assert_eq!(ended.stderr, "", "it has an end");
    // The answer comes once the agent acts by it.
    let body = agent.get("/health/services/shop");
    assert_eq!((body.code, &body.json()["status"]), (503, &"MAINTENANCE".into()), "{}", body.body);
    timed("maintenance on until the key is gone", SOON, || gone(&etcd));

    shows_maintenance(&site, &agent);
    throughout("the key stays away while its check is well", Duration::from_secs(1), || {
        agent.shows("app", "UP")?;
        gone(&etcd)
    });

    let ended = done(&site, &["maintenance", "off", "--service", "shop"]);
    assert_eq!(ended.stdout, "nothing is in maintenance\n");
    timed("maintenance off until the key is back", SOON, || there(&etcd));
    assert_eq!(registered(&etcd).value["status"], before.value["status"]);
    agent.answers("/health/services/shop", 200).unwrap();
    says(&agent, "maintenance of service shop ended after").unwrap();
    healthy.stop();
}

/// Everything that says that `shop` is in maintenance.
fn shows_maintenance(site: &Site, agent: &Agent) {
    let order = |value: &Value| {
        let (since, until) = (value["since"].as_str().unwrap(), value["until"].as_str().unwrap());
        assert_eq!((&value["reason"], since.len(), until.len()), (&"disk swap".into(), 24, 24), "{value}");
    };
    order(&agent.get("/health").json()["maintenance"]["shop"]);
    order(&agent.get("/health/services/shop").json()["maintenance"]);
    let services = agent.get("/api/v1/services").json();
    assert_eq!(services["services"][0]["status"], "MAINTENANCE", "{services}");
    order(&services["services"][0]["maintenance"]);
    let metrics = agent.metrics();
    assert_eq!(metrics.get("vitald_service_maintenance", &[("service", "shop")]), Some(1.0));
    for (word, one) in [("maintenance", 1.0), ("up", 0.0), ("down", 0.0)] {
        let labels = [("service", "shop"), ("status", word)];
        assert_eq!(metrics.get("vitald_service_status", &labels), Some(one), "{word}");
    }
    says(agent, "maintenance of service shop begins, until").unwrap();
    says(agent, "uid 0 asks for maintenance of shop").unwrap();
    let list = done(site, &["maintenance", "list"]).stdout;
    assert!(list.contains("shop") && list.contains("disk swap"), "{list}");
    let status = ends_with(site, &["status"], 1).stdout;
    assert!(status.contains("MAINTENANCE") && status.contains("disk swap"), "{status}");
    ends_with(site, &["status", "shop"], 1);
    done(site, &["status", "app"]);
}

#[test]
fn what_is_in_maintenance_counts_for_nothing_overall() {
    let (site, agent) = ill();
    agent.answers("/health", 503).unwrap();
    ends_with(&site, &["status"], 2);
    let ended = done(&site, &["maintenance", "on", "--service", "shop"]);
    assert!(ended.stderr.contains("no end") && ended.stderr.contains("off --service shop"), "{ended:?}");
    says(&agent, "without an end: it lasts until `vitald maintenance off --service shop`").unwrap();
    agent.until_health(200);
    agent.answers("/health/services/shop", 503).unwrap();
    agent.shows("app", "DOWN").unwrap();
    ends_with(&site, &["status"], 1);
    done(&site, &["maintenance", "off", "--service", "shop"]);
    agent.until_health(503);
}

#[test]
fn maintenance_survives_a_crash_and_a_restart() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    settled(&site, &etcd);
    done(&site, &["maintenance", "on", "--service", "shop", "--reason", "disk swap"]);
    agent.kill();

    // The key was perhaps not removed yet: the next agent does it.
    let mut agent = site.start();
    eventually("the key is gone", SOON, || gone(&etcd));
    says(&agent, "maintenance of service shop goes on, without an end").unwrap();
    agent.until("app", "UP");
    let revision = etcd.revision();
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    let agent = site.start();
    agent.until("app", "UP");
    agent.answers("/health/services/shop", 503).unwrap();
    agent.answers("/health", 200).unwrap();
    throughout("the key stays away", Duration::from_secs(2), || gone(&etcd));
    assert_eq!(etcd.events_since(revision, "/services"), Vec::<String>::new());

    done(&site, &["maintenance", "off", "--service", "shop"]);
    eventually("the key is back", SOON, || there(&etcd));
}

#[test]
fn a_file_of_maintenance_that_is_damaged_is_set_aside() {
    let site = Site::new();
    let mut agent = site.start();
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    write(&site.path().join("state/maintenance.json"), "{\"version\":1,");
    let agent = site.start();
    says(&agent, "nothing is in maintenance").unwrap();
    assert!(site.path().join("state/maintenance.json.unusable").exists());
    assert_eq!(done(&site, &["maintenance", "list"]).stdout, "nothing is in maintenance\n");
}

#[test]
fn what_cannot_be_written_down_holds_and_says_so() {
    let (site, agent) = ill();
    std::fs::create_dir(site.path().join("state/maintenance.json")).unwrap();
    let ended = done(&site, &["maintenance", "on", "--service", "shop", "--for", "1h"]);
    assert!(ended.stderr.contains("could not be written down"), "{ended:?}");
    agent.until_health(200);
    says(&agent, "a restart would forget it").unwrap();
    // It is tried again.
    std::fs::remove_dir(site.path().join("state/maintenance.json")).unwrap();
    let ended = done(&site, &["maintenance", "list"]);
    assert_eq!(ended.stderr, "");
    says(&agent, "who is in maintenance is written again").unwrap();
}

#[test]
fn maintenance_ends_by_itself() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    settled(&site, &etcd);
    let ordered = Instant::now();
    done(&site, &["maintenance", "on", "--service", "shop", "--for", "3s"]);
    eventually("the key is gone", SOON, || gone(&etcd));
    eventually("the key is back", SOON, || there(&etcd));
    let lasted = ordered.elapsed();
    assert!(lasted >= Duration::from_secs(3), "{lasted:?}");
    println!("measured: maintenance of 3 s until the key is back: {lasted:.1?}");
    says(&agent, "maintenance of service shop is over as it was set").unwrap();
    assert_eq!(done(&site, &["maintenance", "list"]).stdout, "nothing is in maintenance\n");
    // And it is not taken up again.
    let memory = site.path().join("state/maintenance.json");
    eventually("that is written down", SOON, || {
        let text = std::fs::read_to_string(&memory).unwrap();
        that(!text.contains("shop"), || text)
    });
}

#[test]
fn the_whole_host_is_every_service_of_it_also_of_later() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    settled(&site, &etcd);
    done(&site, &["maintenance", "on", "--reason", "kernel", "--for", "1h", "--wait"]);
    gone(&etcd).unwrap();
    site.drop_in("cart", [service("cart"), check("cart-app", "noop").of("cart")]);
    agent.until("cart-app", "UP");
    throughout("the later one does not appear", Duration::from_secs(1), || {
        that(etcd.get("/services/cart/cart-host-1").is_none(), || "it is there".into())
    });
    agent.answers("/health/services/cart", 503).unwrap();
    agent.answers("/health", 200).unwrap();
    let ended = ends_with(&site, &["maintenance", "off", "--service", "cart"], 1);
    assert!(ended.stderr.contains("with the whole host"), "{ended:?}");
    done(&site, &["maintenance", "off"]);
    eventually("both are there", SOON, || {
        there(&etcd)?;
        that(etcd.get("/services/cart/cart-host-1").is_some(), || "no cart".into())
    });
}

#[test]
fn waiting_ends_when_the_key_is_gone_and_drain_has_passed() {
    let drain = Duration::from_secs(2);
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "drain = \"2s\"");
    let _agent = site.start();
    settled(&site, &etcd);
    let begun = Instant::now();
    let ended = done(&site, &["maintenance", "on", "--service", "shop", "--for", "1h", "--wait"]);
    let took = begun.elapsed();
    gone(&etcd).unwrap();
    assert!(took >= drain, "{took:?}: {ended:?}");
    println!("measured: maintenance on --wait with a drain of {drain:?}: {took:.1?}");
    assert!(ended.stderr.contains("draining"), "{ended:?}");
    // Who asks again has waited already.
    let begun = Instant::now();
    done(&site, &["maintenance", "on", "--service", "shop", "--for", "1h", "--wait"]);
    assert!(begun.elapsed() < drain, "{:?}", begun.elapsed());
}

#[test]
fn waiting_has_an_end_where_etcd_is_away() {
    let mut etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    settled(&site, &etcd);
    etcd.kill();
    let on = ["maintenance", "on", "--service", "shop", "--for", "1h", "--wait", "--timeout", "1s"];
    let ended = ends_with(&site, &on, 1);
    assert!(ended.stderr.contains("keys may still be there: shop (native registered, as last seen)"), "{ended:?}");
    assert!(ended.stderr.contains("the maintenance stays"), "{ended:?}");
    agent.answers("/health/services/shop", 503).unwrap();
    let status = ends_with(&site, &["status"], 1).stdout;
    assert!(status.contains("AWAY") && status.contains("last error of etcd"), "{status}");
    etcd.restart();
    eventually("the key is gone once etcd is back", SOON, || gone(&etcd));
    done(&site, &["maintenance", "on", "--service", "shop", "--for", "1h", "--wait"]);
}

#[test]
fn where_ill_instances_are_marked_so_is_maintenance() {
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "on_down = \"mark\"");
    let _agent = site.start();
    settled(&site, &etcd);
    done(&site, &["maintenance", "on", "--service", "shop", "--for", "1h", "--wait"]);
    assert_eq!(registered(&etcd).value["status"], "MAINTENANCE", "it waited until consumers can see it");
    done(&site, &["maintenance", "off", "--service", "shop"]);
    eventually("it is marked well again", SOON, || {
        let status = registered(&etcd).value["status"].clone();
        that(status == "UP", || status.to_string())
    });
}

#[test]
fn an_agent_that_stands_alone_has_no_key_to_wait_for() {
    let (site, _agent) = ill();
    let begun = Instant::now();
    done(&site, &["maintenance", "on", "--service", "shop", "--for", "1h", "--wait"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A service takes itself out when it stops and in when it starts: that ends no operator's word.
#[test]
fn who_ends_its_own_reason_leaves_the_operators() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let _agent = site.start();
    settled(&site, &etcd);
    let on = |reason: &str, length: &str| {
        done(&site, &["maintenance", "on", "--service", "shop", "--reason", reason, "--for", length, "--wait"])
    };
    let off = |reason: &str| done(&site, &["maintenance", "off", "--service", "shop", "--reason", reason]);
    on("disk swap", "2h");
    on("stopped", "10min");
    let ended = off("stopped");
    assert!(ended.stdout.contains("shop stays in maintenance (disk swap)"), "{ended:?}");
    throughout("the key stays away", Duration::from_secs(1), || gone(&etcd));
    off("disk swap");
    eventually("the key is back", SOON, || there(&etcd));
}
