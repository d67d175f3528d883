//! What stays in the registry although somebody or something would have it out: the last instances of a service, an ill
//! one that is only marked, and keys that somebody altered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dialects::{
    GRPC_KEY, falls, happened, instances, rises, settled_in, shop_of, shows_registered, texts, there, until,
};
use crate::harness::{Agent, Etcd, Redis, Site, check, eventually, report, service, tally, that, throughout};
use crate::registration::{AGENT_KEY, KEY};

const SOON: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(2);
const NATIVE_AND_GRPC: &str = "dialects = [\"native\", \"grpc\"]";

/// Five hosts with a cart each, which all use one redis.
struct Five {
    agents: Vec<Agent>,
    redis: Redis,
    etcd: Etcd,
    _sites: Vec<Site>,
}

impl Five {
    fn with(lines: &str) -> Self {
        let (etcd, redis) = (Etcd::start(), Redis::start());
        let site = |n: usize| {
            let site = Site::new().named(&format!("host-{n}")).registered_at(&etcd);
            let site = site.with("registry", "keep_at_least = 2").with("registry", lines);
            let cache = check("cache", "redis").of("cart").target(&redis.url());
            site.drop_in("cart", [service("cart"), cache]);
            site
        };
        let sites: Vec<Site> = (1..=5).map(site).collect();
        let agents = sites.iter().map(Site::start).collect();
        let five = Self { agents, redis, etcd, _sites: sites };
        five.until("five are UP", |value| value["status"] == "UP" && value.get("held").is_none(), 5, 5);
        five
    }

    fn values(&self) -> Vec<Value> {
        let entries = self.etcd.below("/services/cart/");
        entries.iter().map(|entry| serde_json::from_str(&entry.value).expect("JSON")).collect()
    }

    /// Waits until there are so many keys, and so many of them are such.
    fn until(&self, what: &str, such: impl Fn(&Value) -> bool, count: usize, all: usize) {
        eventually(what, SOON * 2, || self.has(&such, count, all));
    }

    fn has(&self, such: impl Fn(&Value) -> bool, count: usize, all: usize) -> Result<(), String> {
        let values = self.values();
        let fits = values.iter().filter(|value| such(value)).count() == count && values.len() == all;
        that(fits, || format!("{values:?}"))
    }

    fn held(&self) -> f64 {
        self.agents.iter().map(|agent| agent.metrics().sum("vitald_registry_removal_held", &[])).sum()
    }

    /// How many served at least, and at most, at any moment since then: a reader takes what is UP or held.
    fn serving(&self, since: i64, marks: bool) -> (usize, usize) {
        let mut serving: BTreeMap<String, bool> =
            (1..=5).map(|n| (format!("/services/cart/cart-host-{n}"), true)).collect();
        let (mut least, mut most) = (5, 5);
        let mut events = self.etcd.history_since(since, "/services/cart/").into_iter().peekable();
        while let Some((revision, what)) = events.next() {
            let mut words = what.splitn(3, ' ');
            let (verb, key) = (words.next().unwrap(), words.next().unwrap());
            let value: Value = words.next().map_or(Value::Null, |value| serde_json::from_str(value).unwrap());
            let serves = verb == "PUT" && (!marks || value["status"] != "DOWN" || value["held"] == true);
            serving.insert(key.to_owned(), serves);
            if events.peek().is_none_or(|(next, _)| *next != revision) {
                let now = serving.values().filter(|serves| **serves).count();
                (least, most) = (least.min(now), most.max(now));
            }
        }
        (least, most)
    }
}

fn is_held(value: &Value) -> bool {
    value["status"] == "DOWN" && value["held"] == true
}

#[test]
fn a_dependency_that_all_share_does_not_empty_the_registry() {
    let mut five = Five::with("");
    let before = five.etcd.revision();
    five.redis.kill();
    five.until("two are held", is_held, 2, 2);
    five.agents.iter().for_each(|agent| agent.until("cache", "DOWN"));
    // It is counted again and again.
    throughout("two are held", TTL * 2, || five.has(is_held, 2, 2));
    let held = five.held();
    let errors: Vec<usize> = five.agents.iter().map(|agent| stays(&agent.log())).collect();
    five.redis.restart();
    five.until("five are UP", |value| value["status"] == "UP" && value.get("held").is_none(), 5, 5);
    let (least, most) = five.serving(before, false);
    let seen = format!("never fewer than {least} keys, {held} held, then {most} UP");
    report(
        "5 agents, keep_at_least = 2, their redis killed and back",
        &seen,
        "never fewer than 2 keys, 2 held, then 5 UP",
    );
    assert_eq!((least, most, held), (2, 5, 2.0));
    assert_eq!(errors.iter().sum::<usize>(), 2, "each that is held says so once: {errors:?}");
    eventually("none is held", SOON, || that(five.held() == 0.0, || format!("{}", five.held())));
}

fn stays(log: &str) -> usize {
    log.lines().filter(|line| line.contains("ERROR ") && line.contains("keep_at_least is 2")).count()
}

#[test]
fn a_dependency_that_all_share_marks_no_more_than_may_be_missed() {
    let mut five = Five::with("on_down = \"mark\"");
    let before = five.etcd.revision();
    five.redis.kill();
    let marked = |value: &Value| value["status"] == "DOWN" && value.get("held").is_none();
    five.until("three are marked", marked, 3, 5);
    five.until("two are held", is_held, 2, 5);
    throughout("it stays so", TTL * 2, || five.has(is_held, 2, 5).and_then(|()| five.has(marked, 3, 5)));
    let held = five.held();
    five.redis.restart();
    five.until("five are UP", |value| value["status"] == "UP" && value.get("held").is_none(), 5, 5);
    let (least, most) = five.serving(before, true);
    let deleted = five.etcd.events_since(before, "/services/").iter().filter(|what| what.starts_with("DELETE")).count();
    let seen = format!("never fewer than {least} serve, {held} held, {deleted} DELETE, then {most} UP");
    let expected = "never fewer than 2 serve, 2 held, 0 DELETE, then 5 UP";
    report("the same with on_down = \"mark\"", &seen, expected);
    assert_eq!((least, most, held, deleted), (2, 5, 2.0, 0));
}

#[test]
fn a_marked_instance_says_down_in_one_write_and_leaves_the_other_dialects() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd).with("registry", NATIVE_AND_GRPC);
    let site = shop_of(site.with("registry", "on_down = \"mark\""));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY, GRPC_KEY]);
    let before = etcd.revision();
    falls(&site);
    eventually("it is marked", SOON, || there(&etcd, &[KEY]));
    throughout("it stays marked", TTL + TTL / 2, || {
        let key = etcd.get(KEY).ok_or("no key")?;
        that(key.value["status"] == "DOWN" && key.value.get("held").is_none(), || key.value.to_string())
    });
    shows_registered(&agent, "grpc", 0.0);
    shows_registered(&agent, "native", 1.0);
    rises(&site);
    eventually("both are there", SOON, || there(&etcd, &[KEY, GRPC_KEY]));
    let seen = happened(&etcd, before);
    let verbs: Vec<String> =
        texts(&seen).iter().map(|what| what.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    report("on_down = \"mark\": DOWN, then UP", &tally(&texts(&seen)), "1 PUT with 1 DELETE at once, 2 PUT at once");
    assert_eq!(tally(&verbs[..2]).len(), "1 PUT, 1 DELETE".len(), "{seen:?}");
    assert!(seen.len() == 4 && seen[0].0 == seen[1].0 && seen[2].0 == seen[3].0, "{seen:?}");
    let mut fell = verbs[..2].to_vec();
    fell.sort();
    assert_eq!(fell, [format!("DELETE {GRPC_KEY}"), format!("PUT {KEY}")]);
    let value = etcd.get(KEY).unwrap().value;
    assert_eq!(value["status"], "UP");
}

#[test]
fn a_marked_instance_is_removed_after_a_while() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd).with("registry", NATIVE_AND_GRPC);
    let site = shop_of(site.with("registry", "on_down = \"mark\"\nremove_after = \"2s\""));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY, GRPC_KEY]);
    let before = etcd.revision();
    falls(&site);
    eventually("it is marked", SOON, || there(&etcd, &[KEY]));
    let marked = Instant::now();
    assert_eq!(etcd.get(KEY).map(|key| key.value["status"].clone()), Some(json!("DOWN")));
    eventually("it is removed", SOON, || there(&etcd, &[]));
    let stayed = marked.elapsed();
    agent.shows("app", "DOWN").unwrap();
    rises(&site);
    eventually("both are back", SOON, || there(&etcd, &[KEY, GRPC_KEY]));
    let seen = happened(&etcd, before);
    let what = format!("{}; DOWN for {:.1} s", tally(&texts(&seen)), stayed.as_secs_f64());
    report("on_down = \"mark\", remove_after = \"2s\"", &what, "3 PUT, 2 DELETE; DOWN for 2 s");
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(stayed >= Duration::from_millis(1500), "{stayed:?}");
}

fn repairs(agent: &Agent) -> f64 {
    agent.metrics().sum("vitald_registry_repairs_total", &[])
}

#[test]
fn keys_that_are_deleted_or_altered_by_hand_are_put_again() {
    let etcd = Etcd::start();
    let site = shop_of(Site::new().registered_at(&etcd).with("registry", NATIVE_AND_GRPC));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY, GRPC_KEY]);
    let (before, agents) = (instances(&etcd), etcd.get(AGENT_KEY).unwrap());
    let lease = before[0].lease;
    let same = || {
        let now = instances(&etcd);
        let alike = now.len() == 2 && now.iter().zip(&before).all(|(now, before)| now.value == before.value);
        let renewed = now.iter().all(|entry| entry.lease == lease);
        that(alike && renewed, || format!("{now:?}"))
    };
    let mut done = 0;
    let mut mended = |fault: &str, repaired: u32| {
        let begun = Instant::now();
        eventually(&format!("{fault}: it is as before"), WATCHED, same);
        let took = begun.elapsed().as_secs_f64() * 1e3;
        done += repaired;
        until(&agent, "vitald_registry_repairs_total", &[], f64::from(done));
        report(fault, &format!("PUT again after {took:.0} ms, {repaired} counted"), "PUT again within 2 s, counted");
    };
    etcd.delete(KEY);
    mended("native deleted by hand", 1);
    etcd.delete(GRPC_KEY);
    mended("grpc deleted by hand", 1);
    etcd.put(KEY, "oops");
    mended("native altered by hand", 1);
    etcd.put(GRPC_KEY, r#"{"Op":0,"Addr":"127.0.0.1:1","Metadata":null}"#);
    mended("grpc altered by hand", 1);
    etcd.must(async |client| client.delete("/services/", Some(etcd_client::DeleteOptions::new().with_prefix())).await);
    mended("everything below /services/ deleted by hand", 1);
    etcd.delete(AGENT_KEY);
    eventually("the agent's key too", WATCHED, || that(etcd.get(AGENT_KEY).is_some(), || "no key".into()));
    assert_eq!(etcd.get(AGENT_KEY).unwrap().value, agents.value);
    eventually("it is counted", SOON, || that(repairs(&agent) == f64::from(done + 1), || repairs(&agent).to_string()));
}

#[test]
fn a_compaction_under_the_watch_costs_nothing() {
    let etcd = Etcd::start();
    let site = shop_of(Site::new().registered_at(&etcd).with("registry", NATIVE_AND_GRPC));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY, GRPC_KEY]);
    for _ in 0..3 {
        (0..20).for_each(|n| etcd.put("/elsewhere", &n.to_string()));
        let revision = etcd.revision();
        etcd.must(async |client| client.compact(revision, None).await);
        etcd.delete(KEY);
        eventually("own keys are watched still", WATCHED, || that(etcd.get(KEY).is_some(), || "no key".into()));
    }
    report("compaction under the agent's own watch, then a key deleted by hand", "PUT again", "PUT again within 2 s");
    assert_eq!(agent.metrics().sum("vitald_registry_errors_total", &[]), 0.0, "{}", agent.log());
}

/// Somebody else takes a key, under a lease of its own.
fn taken(key: &str, dialect: &str, foreign: &str, who: &str) {
    let etcd = Etcd::start();
    let site = shop_of(Site::new().registered_at(&etcd).with("registry", NATIVE_AND_GRPC));
    let agent = site.start();
    settled_in(&site, &etcd, &[KEY, GRPC_KEY]);
    let ours = etcd.below(key).remove(0).value;
    let owner = etcd.get(KEY).unwrap().value["owner"].as_str().unwrap().to_owned();
    let before = etcd.revision();
    let lease = etcd.grant(8);
    etcd.put_leased(key, foreign, lease);
    until(&agent, "vitald_registry_conflict", &[], 1.0);
    shows_registered(&agent, dialect, 0.0);
    throughout("it is left alone", TTL, || {
        let now = etcd.below(key);
        that(now.len() == 1 && now[0].value == foreign, || format!("{now:?}"))
    });
    agent.answers("/health", 200).unwrap();
    let said: Vec<String> = agent.log().lines().filter(|line| line.contains("ERROR ")).map(ToOwned::to_owned).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    for word in [key, "host-1", &owner, who] {
        assert!(said[0].contains(word), "{word:?} is not in {:?}", said[0]);
    }
    assert_eq!(repairs(&agent), 0.0);

    let gone = || etcd.events_since(before, "").iter().any(|what| *what == format!("DELETE {key}"));
    eventually("the other's lease ends", SOON, || that(gone(), || "it is there".into()));
    let ended = Instant::now();
    eventually("ours is put", TTL * 2, || {
        let now = etcd.below(key);
        that(now.len() == 1 && now[0].value == ours, || format!("{now:?}"))
    });
    let took = ended.elapsed().as_secs_f64();
    until(&agent, "vitald_registry_conflict", &[], 0.0);
    shows_registered(&agent, dialect, 1.0);
    let events = happened(&etcd, before);
    let what = format!("{}; ours {took:.1} s after the other's lease", tally(&texts(&events)));
    report(&format!("{dialect}: taken by another, under its lease"), &what, "2 PUT, 1 DELETE; ours within 5 s");
    assert_eq!(events.len(), 3, "{events:?}");
}

#[test]
fn a_native_key_that_another_takes_is_left_alone_until_its_lease_ends() {
    let foreign = r#"{"id":"shop-host-1","agent":"host-7","owner":"somebody-else"}"#;
    taken(KEY, "native", foreign, "somebody-else");
}

#[test]
fn a_grpc_key_that_another_takes_is_left_alone_until_its_lease_ends() {
    taken(GRPC_KEY, "grpc", r#"{"Op":0,"Addr":"10.0.0.9:8080","Metadata":null}"#, "10.0.0.9:8080");
}

#[test]
fn a_conflict_of_a_service_that_left_the_file_is_over() {
    let etcd = Etcd::start();
    etcd.put_leased("/services/stall/stall-host-1", r#"{"owner":"somebody-else"}"#, etcd.grant(600));
    let site = shop_of(Site::new().registered_at(&etcd));
    site.drop_in("stall", [service("stall").line("checks = \"none\"")]);
    let agent = site.start();
    until(&agent, "vitald_registry_conflict", &[], 1.0);
    site.remove_drop_in("stall");
    until(&agent, "vitald_registry_conflict", &[], 0.0);
    assert_eq!(etcd.below("/services/stall/").len(), 1, "it is another's");
}
