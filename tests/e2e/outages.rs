//! A target fails and recovers; its checker fails meanwhile. What a service is worth follows the target alone.

use std::time::Duration;

use crate::harness::{
    Agent, Etcd, Key, Listener, Manner, Redis, Site, bundled, check, eventually, guest, service, that, throughout,
    timed,
};

const KEY: &str = "/services/shop/shop-host-1";
const SOON: Duration = Duration::from_secs(15);

fn registered(etcd: &Etcd) -> Key {
    eventually("the key is there", SOON, || etcd.get(KEY).ok_or_else(|| "no key".to_owned()))
}

fn absent(etcd: &Etcd) -> Result<(), String> {
    that(etcd.get(KEY).is_none(), || "the key is there".to_owned())
}

fn out_of_traffic(agent: &Agent, etcd: &Etcd) -> Result<(), String> {
    agent.answers("/health", 503)?;
    agent.answers("/health/services/shop", 503)?;
    absent(etcd)
}

#[test]
fn redis_dies_and_comes_back() {
    let (etcd, mut redis) = (Etcd::start(), Redis::start());
    let site = Site::new().registered_at(&etcd);
    site.drop_in("shop", [service("shop"), check("cache", "redis").of("shop").target(&redis.url())]);
    let agent = site.start();
    agent.until("cache", "UP");
    agent.until_health(200);
    let key = registered(&etcd);
    assert_eq!((&key.value["status"], &key.value["port"]), (&"UP".into(), &8080.into()), "{key:?}");
    assert_eq!((&key.value["agent"], &key.value["address"]), (&"host-1".into(), &"127.0.0.1".into()), "{key:?}");

    redis.kill();
    // Two runs that fail, 400 ms apart; the rest is for a busy machine.
    let budget = Duration::from_secs(4);
    timed("redis killed until DOWN (target 0.8 s)", budget, || agent.shows("cache", "DOWN"));
    timed("redis killed until 503", budget, || agent.answers("/health", 503));
    timed("DOWN until the key is gone", budget, || absent(&etcd));
    let seen = agent.check("cache");
    assert!(seen["message"].as_str().unwrap().contains("refused"), "{seen}");

    redis.restart();
    timed("redis back until 200", SOON, || agent.answers("/health", 200));
    assert_eq!(registered(&etcd).value["status"], "UP");
}

#[test]
fn a_broken_plugin_does_not_keep_a_service_out() {
    let etcd = Etcd::start();
    let mut web = Listener::start(Manner::Closing);
    let site = Site::new().registered_at(&etcd);
    site.plugin("b", "this is no component");
    let a = check("a", "tcp").of("shop").target(&web.url());
    site.drop_in("shop", [service("shop"), a, check("b", "b").of("shop")]);
    let agent = site.start();
    agent.until("a", "UP");
    let seen = agent.until_unknown("b", "no-checker");
    assert!(seen["message"].as_str().unwrap().contains("broken"), "{seen}");
    registered(&etcd);

    web.close();
    agent.until("a", "DOWN");
    eventually("out of traffic", SOON, || out_of_traffic(&agent, &etcd));

    site.plugin("b", "still no component");
    web.open();
    agent.until("a", "UP");
    registered(&etcd);
    agent.until_health(200);
    agent.unknown("b", "no-checker").unwrap();
}

#[test]
fn a_plugin_that_breaks_while_the_target_is_down_hides_nothing() {
    let (etcd, mut redis) = (Etcd::start(), Redis::start());
    let site = Site::new().registered_at(&etcd);
    site.plugin("my-redis", bundled("redis"));
    let cache = check("cache", "my-redis").of("shop");
    site.drop_in("shop", [service("shop"), cache.clone().target(&redis.url())]);
    let agent = site.start();
    registered(&etcd);

    redis.kill();
    agent.until("cache", "DOWN");
    eventually("out of traffic", SOON, || out_of_traffic(&agent, &etcd));

    // The trapping guest takes no target, so the definition changes with the file.
    site.drop_in("shop", [service("shop"), cache]);
    site.plugin("my-redis", guest("trapper"));
    let seen = agent.until_unknown("cache", "trap");
    assert_eq!(seen["last"], "DOWN", "{seen}");
    throughout("out of traffic", Duration::from_secs(3), || out_of_traffic(&agent, &etcd));
    assert_eq!(agent.metrics().get("vitald_check_up", &[("check", "cache")]), Some(0.0));
}

#[test]
fn a_plugin_that_breaks_while_the_service_is_well_changes_nothing() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd);
    site.plugin("app", guest("noop"));
    site.drop_in("shop", [service("shop"), check("app", "app").of("shop")]);
    let agent = site.start();
    let key = registered(&etcd);
    agent.until_health(200);
    let revision = etcd.revision();

    site.plugin("app", guest("looper"));
    let seen = agent.until_unknown("app", "cpu");
    assert_eq!(seen["last"], "UP", "{seen}");
    throughout("in traffic", Duration::from_secs(3), || {
        agent.answers("/health", 200)?;
        agent.answers("/health/services/shop", 200)?;
        agent.answers("/health/checks/app", 200)?;
        agent.answers("/health/live", 200)
    });
    assert_eq!(etcd.events_since(revision, "/services"), Vec::<String>::new());
    assert_eq!(etcd.get(KEY), Some(key));
    assert_eq!(agent.metrics().get("vitald_check_up", &[("check", "app")]), Some(1.0));

    site.plugin("app", guest("version_two"));
    agent.until("app", "UP");
    assert_eq!(agent.check("app")["message"], "ok from version two");
    assert_eq!(etcd.events_since(revision, "/services"), Vec::<String>::new());
}
