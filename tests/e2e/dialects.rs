//! One instance, written for each kind of reader: byte for byte what they read, and never in one dialect alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Agent, Entry, Etcd, Site, Watcher, check, eventually, guest, report, service, tally, that, throughout, timed,
};
use crate::registration::{AGENT_KEY, KEY};

const SOON: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(5);
/// Within which a healthy instance is back once etcd is: min(TTL/3, 5 s) + 1 s.
const BACK: Duration = Duration::from_millis(2670);

/// What of the instance `shop-host-1` is written beside its native key, in all dialects that go with that.
pub const GRPC_KEY: &str = "grpc/shop/127.0.0.1:8080";
pub const SKYDNS_KEY: &str = "/skydns/local/skydns/shop/shop-host-1";
/// The index is the first 63 bits of `printf shop-host-1 | sha256sum`.
pub const TRAEFIK_KEY: &str = "traefik/http/services/shop/loadbalancer/servers/4732132289905018227/url";
pub const FOUR: [&str; 4] = [KEY, GRPC_KEY, SKYDNS_KEY, TRAEFIK_KEY];

/// Registers in four dialects.
pub fn in_four(site: Site) -> Site {
    site.with("registry", "dialects = [\"native\", \"grpc\", \"skydns\", \"traefik\"]")
}

/// A shop whose only check can be made to fail.
pub fn shop_of(site: Site) -> Site {
    rises(&site);
    site.drop_in("shop", [service("shop"), check("app", "app").of("shop")]);
    site
}

pub fn falls(site: &Site) {
    site.plugin("app", guest("down"));
}

pub fn rises(site: &Site) {
    site.plugin("app", guest("noop"));
}

/// Instances as readers of any dialect see them; not the agent's own key.
pub fn instances(etcd: &Etcd) -> Vec<Entry> {
    etcd.below("").into_iter().filter(|entry| entry.key != AGENT_KEY && !entry.key.contains('~')).collect()
}

/// The keys are there, these and no others.
pub fn there(etcd: &Etcd, keys: &[&str]) -> Result<(), String> {
    let seen: BTreeSet<String> = instances(etcd).into_iter().map(|entry| entry.key).collect();
    let wanted: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    that(seen == wanted, || format!("{seen:?}"))
}

/// Waits until the shop is registered in these dialects, and a restart would know it.
pub fn settled_in(site: &Site, etcd: &Etcd, keys: &[&str]) {
    eventually("all dialects are there", SOON, || there(etcd, keys));
    eventually("the agent's key is there", SOON, || that(etcd.get(AGENT_KEY).is_some(), || "no key".into()));
    let memory = site.path().join("state/verdicts.json");
    eventually("the verdicts are written down", SOON, || that(memory.exists(), || "no file".into()));
}

/// What happened to instances since then, each with its revision.
pub fn happened(etcd: &Etcd, since: i64) -> Vec<(i64, String)> {
    let all = etcd.history_since(since, "").into_iter();
    all.filter(|(_, what)| what.split(' ').nth(1) != Some(AGENT_KEY)).collect()
}

/// Was it that, of these keys, and all of it at once? Returns it as a line of the table has it.
fn at_once(events: &[(i64, String)], verb: &str, keys: &[&str]) -> String {
    let mut seen: Vec<&str> = events.iter().filter_map(|(_, what)| what.split(' ').nth(1)).collect();
    seen.sort_unstable();
    let mut wanted = keys.to_vec();
    wanted.sort_unstable();
    assert_eq!(seen, wanted, "{events:?}");
    assert!(events.iter().all(|(_, what)| what.starts_with(verb)), "{events:?}");
    let revisions: BTreeSet<i64> = events.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions.len(), 1, "not at once: {events:?}");
    format!("{} at 1 revision", tally(&texts(events)))
}

pub fn texts(events: &[(i64, String)]) -> Vec<&str> {
    events.iter().map(|(_, what)| what.as_str()).collect()
}

fn values(entries: &[Entry]) -> BTreeMap<&str, &str> {
    entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
}

/// The values, with their sources:
/// - native: DESIGN 7.
/// - grpc: `Update` in `client/v3/naming/endpoints/internal/update.go` of <https://github.com/etcd-io/etcd>, `Op
///   Operation`, `Addr string`, `Metadata interface{}`, without JSON names; the key is `target/addr`, as
///   <https://etcd.io/docs/v3.5/dev-guide/grpc_naming/> puts it (`em.AddEndpoint(.., "foo/bar/my-service/" + addr, ..)`).
/// - skydns: `Service` in `plugin/etcd/msg/service.go` of <https://github.com/coredns/coredns>, and
///   <https://coredns.io/plugins/etcd/>: `etcdctl put /skydns/local/skydns/x1 '{"host":"1.1.1.1","ttl":60}'`.
/// - traefik: <https://doc.traefik.io/traefik/routing/providers/kv/>:
///   `traefik/http/services/myservice/loadbalancer/servers/0/url` is `http://<ip-server-1>:<port-server-1>/`.
#[test]
fn an_instance_is_written_byte_for_byte_and_at_once_in_four_dialects() {
    let etcd = Etcd::start();
    let site = shop_of(in_four(Site::new().registered_at(&etcd)));
    let shop = service("shop").line("weight = 10\ntags = [\"v2\"]\nmetadata = { zone = \"a\" }");
    site.drop_in("shop", [shop, check("app", "app").of("shop")]);
    let start = etcd.revision();
    let agent = site.start();
    settled_in(&site, &etcd, &FOUR);

    let written = instances(&etcd);
    let native = written.iter().find(|entry| entry.key == KEY).map(|entry| entry.value.clone()).unwrap();
    let fields: Value = serde_json::from_str(&native).unwrap();
    let (owner, since) = (fields["owner"].as_str().unwrap(), fields["since"].as_str().unwrap());
    let native = format!(
        "{{\"id\":\"shop-host-1\",\"service\":\"shop\",\"address\":\"127.0.0.1\",\"port\":8080,\"status\":\"UP\",\
         \"since\":\"{since}\",\"weight\":10,\"tags\":[\"v2\"],\"metadata\":{{\"zone\":\"a\"}},\"agent\":\"host-1\",\
         \"owner\":\"{owner}\"}}"
    );
    let wanted = BTreeMap::from([
        (KEY, native.as_str()),
        (GRPC_KEY, r#"{"Op":0,"Addr":"127.0.0.1:8080","Metadata":{"zone":"a"}}"#),
        (SKYDNS_KEY, r#"{"host":"127.0.0.1","port":8080,"weight":10,"ttl":5}"#),
        (TRAEFIK_KEY, "http://127.0.0.1:8080"),
    ]);
    assert_eq!(values(&written), wanted);
    assert_eq!(written.iter().map(|entry| entry.lease).collect::<BTreeSet<_>>().len(), 1, "one lease");
    report("4 dialects: UP", &at_once(&happened(&etcd, start), "PUT", &FOUR), "4 PUT at 1 revision");
    for dialect in ["native", "grpc", "skydns", "traefik"] {
        shows_registered(&agent, dialect, 1.0);
    }

    let up = etcd.revision();
    falls(&site);
    eventually("all are gone", SOON, || there(&etcd, &[]));
    report("4 dialects: DOWN", &at_once(&happened(&etcd, up), "DELETE", &FOUR), "4 DELETE at 1 revision");
    let down = etcd.revision();
    rises(&site);
    eventually("all are back", SOON, || there(&etcd, &FOUR));
    report("4 dialects: UP again", &at_once(&happened(&etcd, down), "PUT", &FOUR), "4 PUT at 1 revision");
}

pub fn shows_registered(agent: &Agent, dialect: &str, wanted: f64) {
    until(agent, "vitald_service_registered", &[("service", "shop"), ("dialect", dialect)], wanted);
}

/// Waits until the metric has that value.
pub fn until(agent: &Agent, metric: &str, labels: &[(&str, &str)], wanted: f64) {
    eventually(&format!("{metric} {labels:?} is {wanted}"), SOON, || {
        let seen = agent.metrics().get(metric, labels);
        that(seen == Some(wanted), || format!("{seen:?}"))
    });
}

#[test]
fn the_roots_of_the_dialects_can_be_chosen() {
    let etcd = Etcd::start();
    let site = in_four(Site::new().registered_at(&etcd))
        .with("registry.grpc", "prefix = \"/naming/grpc\"")
        .with("registry.skydns", "prefix = \"/dns\"\ndomain = \"services.internal\"")
        .with("registry.traefik", "root = \"edge\"\nscheme = \"https\"");
    let site = shop_of(site);
    let _agent = site.start();
    let keys = [
        KEY,
        "/naming/grpc/shop/127.0.0.1:8080",
        "/dns/internal/services/shop/shop-host-1",
        "edge/http/services/shop/loadbalancer/servers/4732132289905018227/url",
    ];
    eventually("all dialects are there", SOON, || there(&etcd, &keys));
    let written = instances(&etcd);
    let values = values(&written);
    assert_eq!(values[keys[1]], r#"{"Op":0,"Addr":"127.0.0.1:8080","Metadata":null}"#);
    assert_eq!(values[keys[2]], r#"{"host":"127.0.0.1","port":8080,"ttl":5}"#);
    assert_eq!(values[keys[3]], "https://127.0.0.1:8080");
}

#[test]
fn plain_alone_is_host_and_port_and_survives_a_restart() {
    let etcd = Etcd::start();
    let site = shop_of(Site::new().registered_at(&etcd).with("registry", "dialects = [\"plain\"]"));
    let mut agent = site.start();
    settled_in(&site, &etcd, &[KEY]);
    assert_eq!(values(&instances(&etcd)), BTreeMap::from([(KEY, "127.0.0.1:8080")]));

    // It has no room for an owner: it is the lease that says whose it is.
    let before = etcd.revision();
    agent.kill();
    let agent = site.start();
    agent.until("app", "UP");
    throughout("it is renewed", TTL + TTL / 2, || there(&etcd, &[KEY]));
    let seen = happened(&etcd, before);
    report("plain alone: killed, restarted within the TTL", &tally(&texts(&seen)), "nothing");
    assert_eq!(seen, []);

    falls(&site);
    eventually("it is gone", SOON, || there(&etcd, &[]));
    rises(&site);
    eventually("it is back", SOON, || there(&etcd, &[KEY]));
}

/// 60 services in 4 dialects.
fn many(etcd: &Etcd) -> Site {
    let site = in_four(Site::new().registered_at(etcd));
    site.plugin("noop", guest("noop"));
    let app = check("app", "noop").of("*");
    site.drop_in("services", (0..60).map(|n| service(&format!("shop-{n:02}"))).chain([app]));
    site
}

const ALL: usize = 240;

fn count(etcd: &Etcd, wanted: usize) -> Result<(), String> {
    let seen = instances(etcd).len();
    that(seen == wanted, || format!("{seen} keys"))
}

#[test]
fn sixty_services_in_four_dialects_come_back_after_a_lost_lease() {
    let mut etcd = Etcd::start();
    let site = many(&etcd);
    let agent = site.start();
    eventually("all are there", SOON, || count(&etcd, ALL));
    let before = instances(&etcd);
    let watcher = Watcher::start(&etcd, "");
    etcd.restart_empty();
    let empty = Instant::now();
    eventually("all are back", BACK * 10, || count(&etcd, ALL));
    let notes = watcher.all_notes(&etcd);
    let puts: Vec<_> =
        notes.iter().filter(|note| note.what.starts_with("PUT ") && !note.what.contains(AGENT_KEY)).collect();
    let last = puts.iter().map(|note| note.at.saturating_duration_since(empty)).max().unwrap();
    let seen = format!("REREAD, {} PUT, the last {:.2} s after etcd answered", puts.len(), last.as_secs_f64());
    report("60 services in 4 dialects, etcd restarted empty", &seen, "REREAD, 240 PUT within 2.7 s");
    assert_eq!(puts.len(), ALL, "each once");
    let after = instances(&etcd);
    assert_eq!(values(&after), values(&before));
    // One transaction for each service.
    let mut revisions: BTreeMap<i64, usize> = BTreeMap::new();
    after.iter().for_each(|entry| *revisions.entry(entry.mod_revision).or_default() += 1);
    assert_eq!(revisions.into_values().collect::<Vec<_>>(), [4; 60]);
    assert!(agent.metrics().sum("vitald_registry_leases_lost_total", &[]) >= 1.0, "a lost lease is counted");
}

#[test]
fn sixty_services_in_four_dialects_are_handed_over_and_taken_out() {
    let etcd = Etcd::start();
    let site = many(&etcd);
    let mut agent = site.start();
    eventually("all are there", SOON, || count(&etcd, ALL));
    let memory = site.path().join("state/verdicts.json");
    eventually("the verdicts are written down", SOON, || that(memory.exists(), || "no file".into()));
    eventually("the agent's key is there", SOON, || that(etcd.get(AGENT_KEY).is_some(), || "no key".into()));
    let start = etcd.revision();
    agent.signal(Signal::USR2);
    assert_eq!(agent.end(SOON), 0);
    let mut agent = site.start();
    agent.until("app", "UP");
    throughout("they are renewed", TTL + TTL / 2, || count(&etcd, ALL));
    let seen = happened(&etcd, start);
    report("60 services in 4 dialects, handed over by SIGUSR2", &tally(&texts(&seen)), "nothing");
    assert_eq!(seen, []);

    let (watcher, start) = (Watcher::start(&etcd, ""), etcd.revision());
    let asked = Instant::now();
    agent.signal(Signal::TERM);
    timed("SIGTERM until 240 keys are gone (target 100 ms)", Duration::from_secs(2), || count(&etcd, 0));
    assert_eq!(agent.end(SOON), 0);
    let notes = watcher.all_notes(&etcd);
    let gone = notes.iter().filter(|note| note.what.starts_with("DELETE ") && !note.what.contains(AGENT_KEY));
    let last = gone.clone().map(|note| note.at.saturating_duration_since(asked)).max().unwrap();
    let revisions: BTreeSet<i64> = happened(&etcd, start).iter().map(|(revision, _)| *revision).collect();
    let (count, last, revisions) = (gone.count(), last.as_secs_f64() * 1e3, revisions.len());
    let seen = format!("{count} DELETE at {revisions} revisions, the last {last:.0} ms after SIGTERM");
    report("60 services in 4 dialects, SIGTERM", &seen, "240 DELETE at 3 revisions within 100 ms");
    assert_eq!((count, revisions), (ALL, 3), "at most 100 operations in a transaction");
    assert_eq!(etcd.leases(), Vec::<i64>::new());
}
