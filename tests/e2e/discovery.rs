//! Others read the registry through an agent, through Prometheus and through `vitald services`: what they see while
//! etcd is well, and while it is not.

use std::time::Duration;

use etcd_client::DeleteOptions;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Agent, Etcd, Prometheus, Site, check, eventually, guest, request, service, that, throughout, timed,
};

const SERVICES: &str = "/api/v1/registry/services";
const SD: &str = "/sd/prometheus";
pub const SOON: Duration = Duration::from_secs(15);
pub const TTL: Duration = Duration::from_secs(5);
/// A body may have been rendered 100 ms ago.
const RENDERED: Duration = Duration::from_millis(110);

/// An agent that watches these, and registers nothing but itself.
pub fn consumer(etcd: &Etcd, watch: &str) -> Site {
    Site::new().registered_at(etcd).with("discovery", &format!("watch = {watch}"))
}

/// What somebody else's agent would register.
pub fn instance(service: &str, id: &str, status: &str) -> String {
    json!({"id": id, "service": service, "address": "10.1.2.3", "port": 80, "status": status, "agent": "other",
           "tags": ["v1", "a"], "metadata": {"zone": "z1"}, "weight": 3})
    .to_string()
}

pub fn put(etcd: &Etcd, service: &str, ids: &str) {
    for id in ids.split_whitespace() {
        etcd.put(&format!("/services/{service}/{id}"), &instance(service, id, "UP"));
    }
}

/// `shop: a b?; stock: c`, where b is suspect.
pub fn words(body: &Value) -> String {
    let of = |service: &Value| {
        let instances = service["instances"].as_array().expect("a list").iter();
        let ids = instances.map(|one| {
            let mark = if one["suspect"] == true { "?" } else { "" };
            format!("{}{mark}", one["id"].as_str().expect("an id"))
        });
        format!("{}: {}", service["name"].as_str().expect("a name"), ids.collect::<Vec<_>>().join(" "))
    };
    body["services"].as_array().expect("a list").iter().map(of).collect::<Vec<_>>().join("; ")
}

/// Is that what the agent knows now?
pub fn knows(agent: &Agent, query: &str, expected: &str) -> Result<(), String> {
    let answer = agent.try_get(&format!("{SERVICES}{query}"))?;
    that(answer.code == 200, || format!("{} {}", answer.code, answer.body))?;
    that(words(&answer.json()) == expected, || answer.body.clone())
}

pub fn until_knows(agent: &Agent, expected: &str) {
    eventually(&format!("the agent knows {expected:?}"), SOON, || knows(agent, "", expected));
}

pub fn age(agent: &Agent) -> f64 {
    agent.get(SERVICES).json()["age_ms"].as_f64().expect("a number")
}

pub fn metric(agent: &Agent, name: &str, value: f64) -> Result<(), String> {
    let seen = agent.metrics().get(name, &[]);
    that(seen == Some(value), || format!("{name} is {seen:?}"))
}

#[test]
fn where_discovery_is_off_the_answer_has_the_lines_that_turn_it_on() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd);
    let agent = site.start();
    let mut lines = Vec::new();
    for path in [SERVICES, "/api/v1/registry/services/orders", SD] {
        let answer = agent.get(path);
        assert_eq!(answer.code, 404, "{path}");
        let (_, wanted) = answer.body.split_once("\n\n").expect("a paragraph of its own");
        lines.push(wanted.to_owned());
    }
    assert_eq!(lines, ["[discovery]\nwatch = [\"orders\"]\n"; 3]);
    drop(agent);
    // Taken literally.
    let site = site.with("discovery", lines[0].strip_prefix("[discovery]\n").expect("a table"));
    let agent = site.start();
    until_knows(&agent, "");
    assert_eq!(agent.get(SD).json(), json!([]));
    let error = |name: &str| {
        let answer = agent.get(&format!("{SERVICES}/{name}"));
        (answer.code, answer.json()["error"].as_str().expect("a text").to_owned())
    };
    assert_eq!(error("orders"), (404, "that service has no instance".to_owned()));
    let (code, text) = error("shop");
    assert!(code == 404 && text.contains("not watched") && text.contains("watch = [\"orders\"]"), "{text}");
}

#[test]
fn instances_are_listed_filtered_and_followed() {
    let etcd = Etcd::start();
    let site = consumer(&etcd, r#"["*"]"#);
    site.plugin("noop", guest("noop"));
    site.drop_in("web", [service("web").line("tags = [\"v2\"]"), check("app", "noop").of("web")]);
    put(&etcd, "shop", "b a");
    etcd.put("/services/shop/c", &instance("shop", "c", "DOWN"));
    // Strangers' keys are no reason to show less.
    etcd.put("/services/shop/junk", "10.0.0.1:80");
    etcd.put("/services/shop/large", &format!("{:65000}{:5000}", instance("shop", "large", "UP"), ""));
    etcd.put("/services/no-id", "{}");
    etcd.put("/servicesx/shop/x", &instance("shop", "x", "UP"));
    let agent = site.start();
    until_knows(&agent, "shop: a b c; web: web-host-1");
    knows(&agent, "?status=UP", "shop: a b; web: web-host-1").unwrap();
    knows(&agent, "?status=DOWN,DEGRADED", "shop: c; web: ").unwrap();
    agent.answers(&format!("{SERVICES}?colour=red"), 400).unwrap();

    let web = agent.get(&format!("{SERVICES}/web")).json();
    let own = &web["instances"][0];
    assert_eq!((&web["name"], &own["status"], &own["port"]), (&"web".into(), &"UP".into(), &8080.into()), "{web}");
    assert_eq!((&own["agent"], &own["tags"], &own["suspect"]), (&"host-1".into(), &json!(["v2"]), &false.into()));
    assert_eq!((&web["age_ms"], own.get("owner")), (&0.0.into(), None), "{web}");
    let shop = agent.get(&format!("{SERVICES}/shop?status=UP")).json();
    assert_eq!(shop["instances"].as_array().map(Vec::len), Some(2), "{shop}");

    timed("put until an agent serves it", SOON, || {
        etcd.put("/services/shop/a", &instance("shop", "a", "DEGRADED"));
        knows(&agent, "?status=DEGRADED", "shop: a; web: ")
    });
    etcd.delete("/services/shop/a");
    until_knows(&agent, "shop: b c; web: web-host-1");
    // It becomes an instance, another one becomes junk.
    put(&etcd, "shop", "junk");
    etcd.put("/services/shop/c", "[]");
    until_knows(&agent, "shop: b junk; web: web-host-1");

    metric(&agent, "vitald_discovery_up", 1.0).unwrap();
    metric(&agent, "vitald_discovery_skipped_total", 4.0).unwrap();
    metric(&agent, "vitald_discovery_relists_total", 0.0).unwrap();
    let of_shop = agent.metrics().get("vitald_discovery_instances", &[("service", "shop")]);
    assert_eq!(of_shop, Some(2.0));
    let log = agent.log();
    for key in ["/services/shop/junk", "/services/shop/large", "/services/no-id", "/services/shop/c"] {
        assert_eq!(log.matches(&format!("{key:?} is skipped")).count(), 1, "{key}: {log}");
    }
}

#[test]
fn only_what_is_named_is_watched() {
    let etcd = Etcd::start();
    put(&etcd, "shop", "a");
    put(&etcd, "shopping", "x");
    put(&etcd, "web", "w");
    let site = consumer(&etcd, r#"["web", "shop", "later"]"#);
    let agent = site.start();
    until_knows(&agent, "shop: a; web: w");
    put(&etcd, "shopping", "y");
    put(&etcd, "later", "l");
    put(&etcd, "shop", "b");
    until_knows(&agent, "later: l; shop: a b; web: w");
    etcd.delete("/services/web/w");
    until_knows(&agent, "later: l; shop: a b");
}

#[test]
fn many_instances_are_read_in_pages() {
    let etcd = Etcd::start();
    for page in 0..25 {
        etcd.must(async |client| {
            let put = |n: usize| {
                let id = format!("i{:04}", page * 100 + n);
                etcd_client::TxnOp::put(format!("/services/shop/{id}"), instance("shop", &id, "UP"), None)
            };
            client.txn(etcd_client::Txn::new().and_then((0..100).map(put).collect::<Vec<_>>())).await
        });
    }
    // Documents beside instances: a page of them would be larger than what is taken at once.
    for n in 0..30 {
        etcd.put(&format!("/services/documents/d{n:02}"), &"x".repeat(1_000_000));
    }
    let site = consumer(&etcd, r#"["*"]"#);
    let agent = site.start();
    eventually("all are known", SOON, || {
        let seen = agent.metrics().get("vitald_discovery_instances", &[("service", "shop")]);
        that(seen == Some(2500.0), || format!("{seen:?}"))
    });
    metric(&agent, "vitald_discovery_skipped_total", 30.0).unwrap();
    assert_eq!(agent.get(SD).json().as_array().map(Vec::len), Some(2500));
}

/// The agent does not read while more happens than etcd keeps for it; then the history is compacted.
#[test]
fn a_watch_whose_history_is_compacted_lists_again() {
    let etcd = Etcd::start();
    put(&etcd, "shop", "a b c gone");
    let site = consumer(&etcd, r#"["*"]"#);
    let agent = site.start();
    until_knows(&agent, "shop: a b c gone");

    agent.signal(Signal::STOP);
    let slow = || {
        let metrics = request("GET", &format!("{}/metrics", etcd.url()), &[])?.body;
        let line = metrics.lines().find(|line| line.starts_with("etcd_debugging_mvcc_slow_watcher_total "));
        that(line.is_some_and(|line| !line.ends_with(" 0")), || format!("{line:?}"))
    };
    let large = format!("{:32000}", instance("shop", "b", "UP"));
    eventually("etcd keeps no more for a reader that does not read", SOON * 2, || {
        for _ in 0..5 {
            etcd.must(async |client| {
                for _ in 0..50 {
                    client.put("/services/shop/b", large.as_str(), None).await?;
                }
                Ok(())
            });
        }
        slow()
    });
    etcd.delete("/services/shop/gone");
    put(&etcd, "shop", "new");
    let revision = etcd.revision();
    etcd.must(async |client| client.compact(revision, None).await);
    agent.signal(Signal::CONT);

    until_knows(&agent, "shop: a b c new");
    let log = agent.log();
    assert!(log.contains("compacted: it is listed again"), "{log}");
    metric(&agent, "vitald_discovery_relists_total", 1.0).unwrap();
    // And the new watch lives.
    put(&etcd, "shop", "newer");
    until_knows(&agent, "shop: a b c new newer");
    assert_eq!(age(&agent), 0.0);
}

#[test]
fn an_etcd_that_is_away_takes_nobody_with_it() {
    let mut etcd = Etcd::start();
    put(&etcd, "shop", "a b");
    put(&etcd, "stock", "alone");
    let known = "shop: a b; stock: alone";
    let site = consumer(&etcd, r#"["*"]"#);
    let agent = site.start();
    until_knows(&agent, known);
    let targets = agent.get(SD).json();
    assert_eq!(age(&agent), 0.0);

    etcd.kill();
    eventually("its age is said", SOON, || that(age(&agent) > 0.0, || "0".into()));
    let mut last = age(&agent);
    throughout("the last set is kept", TTL + TTL / 2, || {
        knows(&agent, "", known)?;
        that(agent.get(SD).json() == targets, || "other targets".into())?;
        let now = age(&agent);
        let grows = now >= last;
        last = now;
        that(grows, || format!("the age fell to {now}"))
    });
    assert!(last > 5000.0, "after {TTL:?} and more the age is {last} ms");
    metric(&agent, "vitald_discovery_up", 0.0).unwrap();

    etcd.restart();
    eventually("it is confirmed again", SOON, || that(age(&agent) == 0.0, || age(&agent).to_string()));
    put(&etcd, "shop", "c");
    until_knows(&agent, "shop: a b c; stock: alone");
    metric(&agent, "vitald_discovery_up", 1.0).unwrap();
    let log = agent.log();
    assert_eq!(log.matches("discovery: etcd is not watched").count(), 1, "a change of state is one line: {log}");
    assert_eq!(log.matches("is watched again after").count(), 1, "{log}");

    // One that has lost its data knows nothing of anybody: also those that were alone are kept.
    etcd.restart_empty();
    until_knows(&agent, "shop: a? b? c?; stock: alone?");
    put(&etcd, "stock", "alone");
    until_knows(&agent, "shop: a? b? c?; stock: alone");
}

#[test]
fn before_the_first_list_nothing_is_claimed() {
    let mut etcd = Etcd::absent();
    let site = consumer(&etcd, r#"["*"]"#);
    let agent = site.start();
    throughout("it is said that nothing is known", Duration::from_secs(2), || {
        agent.answers(SERVICES, 503)?;
        agent.answers(SD, 503)
    });
    agent.answers("/health/ready", 200).unwrap();
    etcd.restart();
    until_knows(&agent, "");
    assert_eq!(agent.get(SD).json(), json!([]));
}

#[test]
fn those_that_vanish_together_are_suspect_and_those_that_go_one_by_one_are_gone() {
    let etcd = Etcd::start();
    put(&etcd, "stock", "a b c d");
    put(&etcd, "single", "s");
    let site = consumer(&etcd, r#"["*"]"#);
    let agent = site.start();
    until_knows(&agent, "single: s; stock: a b c d");

    let range = DeleteOptions::new().with_range("/services/stock/d");
    etcd.must(async |client| client.delete("/services/stock/a", Some(range.clone())).await);
    etcd.delete("/services/single/s");
    until_knows(&agent, "stock: a? b? c? d");
    metric(&agent, "vitald_discovery_suspect_instances", 3.0).unwrap();
    assert!(agent.log().contains("3 of 4 instances of stock vanished within 5s"), "{}", agent.log());
    let suspects = agent.get(SD).json();
    let suspects = suspects.as_array().expect("groups").iter();
    let suspects: Vec<&Value> = suspects.map(|group| &group["labels"]["__meta_vitald_suspect"]).collect();
    assert_eq!(suspects, ["true", "true", "true", "false"]);

    put(&etcd, "stock", "a c");
    until_knows(&agent, "stock: a b? c d");
    throughout("the suspect is kept", TTL + TTL / 5, || knows(&agent, "", "stock: a b? c d"));
    etcd.delete("/services/stock/d");
    until_knows(&agent, "stock: a b? c");
    throughout("one that goes alone stays away", TTL + TTL / 5, || knows(&agent, "", "stock: a b? c"));
    etcd.delete("/services/stock/c");
    until_knows(&agent, "stock: a b?");
}

#[test]
fn prometheus_discovers_agents_and_scrapes_them() {
    let mut etcd = Etcd::start();
    let site = consumer(&etcd, r#"["agents"]"#);
    site.plugin("noop", guest("noop"));
    let other = Site::new().named("host-2").registered_at(&etcd);
    other.plugin("noop", guest("noop"));
    for site in [&site, &other] {
        // What is registered is the agent itself.
        let port = site.port();
        site.drop_in_text(
            "agents",
            &format!(
                "[[service]]\nname = \"agents\"\naddress = \":{port}\"\ntags = [\"blue\"]\nmetadata = {{ rack-no = \"7\" }}\n\
                 {}",
                check("app", "noop").of("agents")
            ),
        );
    }
    let (agent, mut second) = (site.start(), other.start());
    until_knows(&agent, "agents: agents-host-1 agents-host-2");

    let labels = [("service", "__meta_vitald_service"), ("host", "__meta_vitald_agent")];
    let prometheus = Prometheus::discovering(&format!("{}{SD}", agent.url()), &labels);
    let scraped = |count: usize| {
        let targets = prometheus.targets()?;
        let good = targets.iter().filter(|target| target["health"] == "up").count();
        that(good == count && targets.len() == count, || format!("{targets:?}\n{}", prometheus.log()))
    };
    timed("Prometheus has scraped both", SOON * 2, || scraped(2));
    let targets = prometheus.targets().unwrap();
    let first = format!("127.0.0.1:{}", site.port());
    let first = targets.iter().find(|target| target["labels"]["instance"] == first.as_str()).expect("the first agent");
    let discovered = &first["discoveredLabels"];
    let expected = [
        ("service", "agents"),
        ("instance", "agents-host-1"),
        ("status", "UP"),
        ("agent", "host-1"),
        ("tags", ",blue,"),
        ("metadata_rack_no", "7"),
        ("suspect", "false"),
    ];
    for (name, value) in expected {
        assert_eq!(discovered[format!("__meta_vitald_{name}")], value, "{name}: {discovered}");
    }
    let mut up = prometheus.query("vitald_build_info{service=\"agents\"}").unwrap();
    up.sort_by_key(|(labels, _)| labels["host"].to_string());
    let hosts: Vec<&Value> = up.iter().map(|(labels, _)| &labels["host"]).collect();
    assert_eq!(hosts, ["host-1", "host-2"], "{up:?}");

    // What is deregistered is not scraped any more.
    second.signal(Signal::TERM);
    assert_eq!(second.end(SOON), 0);
    eventually("only the first is scraped", SOON, || scraped(1));
    etcd.kill();
    eventually("its age is said", SOON, || that(age(&agent) > 0.0, || "0".into()));
    throughout("an etcd that is away takes no target", Duration::from_secs(3), || scraped(1));
}

#[test]
fn a_body_is_not_older_than_its_set() {
    let etcd = Etcd::start();
    put(&etcd, "shop", "a");
    let site = consumer(&etcd, r#"["shop"]"#);
    let agent = site.start();
    until_knows(&agent, "shop: a");
    // However often it is asked meanwhile.
    for id in ["b", "c", "d"] {
        put(&etcd, "shop", id);
        timed("put until an agent serves it", RENDERED * 20, || {
            let seen = agent.get(SERVICES).body;
            that(seen.contains(&format!("\"id\":\"{id}\"")), || seen.clone())
        });
    }
}
