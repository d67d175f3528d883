//! etcd's database is full: it takes no puts. What cannot come back must not leave.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType};
use rustix::process::Signal;

use crate::dialects::{falls, rises, until};
use crate::harness::{Etcd, Poll, Site, Watcher, check, eventually, guest, report, service, tally, that, throughout};
use crate::registration::{AGENT_KEY, KEY, settled, shop};

const SOON: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(5);
const STALL: &str = "/services/stall/stall-host-1";

/// Puts until there is no space left.
fn fill(etcd: &Etcd) {
    let value = "x".repeat(1 << 19);
    eventually("etcd is full", SOON, || {
        match etcd.ask(async |client| client.put("/filling", value.as_str(), None).await) {
            Err(error) if error.contains("space exceeded") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// What an operator does about it.
fn mend(etcd: &Etcd) {
    let revision = etcd.revision();
    etcd.must(async |client| client.compact(revision, None).await);
    etcd.must(async |client| client.defragment().await);
    let member = etcd.must(async |client| client.alarm(AlarmAction::Get, AlarmType::Nospace, None).await);
    for alarm in member.alarms() {
        let mut options = AlarmOptions::new();
        options.with_member(alarm.member_id());
        let options = || Some(options.clone());
        etcd.must(async |client| client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, options()).await);
    }
}

#[test]
fn a_full_etcd_keeps_the_ill_with_the_healthy_until_there_is_space() {
    let etcd = Etcd::with(vec!["--quota-backend-bytes=8388608".to_owned()]);
    let site = Site::new().registered_at(&etcd);
    site.plugin("noop", guest("noop"));
    rises(&site);
    let (well, app) = (check("well", "noop").of("shop"), check("app", "app").of("stall"));
    site.drop_in("both", [service("shop"), well, service("stall"), app]);
    let agent = site.start();
    for key in [KEY, STALL, AGENT_KEY] {
        eventually(&format!("{key} is there"), SOON, || that(etcd.get(key).is_some(), || "no key".into()));
    }
    agent.until_health(200);
    let watcher = Watcher::start(&etcd, "/");
    let healthy = Poll::start(&agent, "/health/services/shop", 200);
    let filled =
        || watcher.notes().into_iter().filter(|note| !note.what.starts_with("PUT /filling")).collect::<Vec<_>>();

    fill(&etcd);
    falls(&site);
    agent.until("app", "DOWN");
    agent.answers("/health/services/stall", 503).unwrap();
    throughout("nothing leaves", TTL * 2, || that(filled().is_empty(), || format!("{:?}", filled())));
    let full = |log: &str| log.lines().filter(|line| line.contains("ERROR ") && line.contains("is full")).count();
    assert_eq!(full(&agent.log()), 1, "{}", agent.log());
    assert!(agent.metrics().sum("vitald_registry_errors_total", &[("reason", "space")]) >= 1.0);
    until(&agent, "vitald_registry_up", &[], 1.0);
    // It comes and goes, and nothing of it can be written.
    rises(&site);
    agent.until("app", "UP");
    falls(&site);
    agent.until("app", "DOWN");
    let during: Vec<String> = filled().into_iter().map(|note| note.what).collect();
    report("NOSPACE, one instance ill", &tally(&during), "nothing");
    assert_eq!(during, Vec::<String>::new());

    mend(&etcd);
    eventually("the ill one goes", SOON, || that(etcd.get(STALL).is_none(), || "it is there".into()));
    eventually("the agent's key is current", SOON, || {
        let key = etcd.get(AGENT_KEY).ok_or("no key")?;
        that(key.value["services"]["stall"] == "DOWN", || key.value.to_string())
    });
    rises(&site);
    eventually("it is back", SOON, || that(etcd.get(STALL).is_some(), || "no key".into()));
    healthy.stop();
    let after: Vec<String> = watcher.all_notes(&etcd).into_iter().map(|note| note.what).collect();
    let instances: Vec<&String> = after.iter().filter(|what| what.contains("/services/")).collect();
    report("compacted, defragmented, disarmed", &tally(&instances), "1 DELETE, 1 PUT");
    assert_eq!(tally(&instances), "1 DELETE, 1 PUT", "{instances:?}");
    assert!(instances.iter().all(|what| what.contains(STALL)), "{instances:?}");
    assert_eq!(full(&agent.log()), 1, "{}", agent.log());
}

#[test]
fn a_restart_beside_a_full_etcd_changes_nothing() {
    let etcd = Etcd::with(vec!["--quota-backend-bytes=8388608".to_owned()]);
    let site = shop(&etcd);
    let mut agent = site.start();
    let before = settled(&site, &etcd);
    fill(&etcd);
    agent.kill();
    let agent = site.start();
    until(&agent, "vitald_registry_up", &[], 1.0);
    throughout("the key is there", TTL * 2, || that(etcd.get(KEY).as_ref() == Some(&before), || "it is not".into()));
    report("NOSPACE, the agent killed and restarted", "nothing", "nothing");
}

#[test]
fn an_agent_that_starts_beside_a_full_etcd_registers_once_there_is_space() {
    let etcd = Etcd::with(vec!["--quota-backend-bytes=8388608".to_owned()]);
    fill(&etcd);
    let site = shop(&etcd);
    let agent = site.start();
    agent.until_health(200);
    let complaints = || -> Vec<String> {
        let log = agent.log();
        log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).map(ToOwned::to_owned).collect()
    };
    eventually("it goes on trying", SOON, || {
        let errors = agent.metrics().sum("vitald_registry_errors_total", &[("reason", "space")]);
        that(errors >= 3.0, || errors.to_string())
    });
    let said = complaints();
    assert!(said.len() == 1 && said[0].contains("alarm disarm") && said[0].contains(&etcd.url()), "{said:?}");
    mend(&etcd);
    eventually("it is registered", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
    report("NOSPACE at the start, then mended", "1 warning, then registered", "the same");
}

#[test]
fn sigterm_beside_a_full_etcd_withdraws_drains_and_revokes() {
    let etcd = Etcd::with(vec!["--quota-backend-bytes=8388608".to_owned()]);
    let site = shop(&etcd).with("registry", "drain = \"1s\"");
    let mut agent = site.start();
    settled(&site, &etcd);
    fill(&etcd);
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    let log = agent.log();
    assert!(log.contains("draining for 1s") && log.contains(" revoked"), "{log}");
    assert_eq!((etcd.get(KEY), etcd.leases()), (None, Vec::new()));
    report("NOSPACE, SIGTERM", "withdrawn, drained, the lease revoked", "the same");
}
