//! An agent ends without a farewell and another begins: what is whose, in all dialects.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::dialects::{
    FOUR, GRPC_KEY, SKYDNS_KEY, happened, in_four, instances, settled_in, shop_of, texts, there, until,
};
use crate::harness::{
    Agent, Etcd, Site, check, eventually, guest, program, report, service, tally, that, throughout, write,
};
use crate::registration::{AGENT_KEY, KEY};

const SOON: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(5);

fn four(etcd: &Etcd) -> Site {
    shop_of(in_four(Site::new().registered_at(etcd)))
}

/// An agent whose shop is registered in four dialects.
fn registered() -> (Etcd, Site, Agent) {
    let etcd = Etcd::start();
    let site = four(&etcd);
    let agent = site.start();
    settled_in(&site, &etcd, &FOUR);
    (etcd, site, agent)
}

/// Waits until an agent that was just started is connected and has judged.
fn awake(agent: &Agent) {
    until(agent, "vitald_registry_up", &[], 1.0);
    agent.until("app", "UP");
}

/// Line of the table; the events of the instances themselves.
fn reported(fault: &str, etcd: &Etcd, since: i64, expected: &str) -> Vec<String> {
    let events: Vec<String> = happened(etcd, since).into_iter().map(|(_, what)| what).collect();
    report(fault, &tally(&events), expected);
    events
}

#[test]
fn killed_and_restarted_within_the_ttl_nobody_sees_it() {
    let (etcd, site, mut agent) = registered();
    let before = etcd.revision();
    agent.kill();
    let agent = site.start();
    awake(&agent);
    throughout("they are there", TTL + TTL / 2, || there(&etcd, &FOUR));
    let seen = reported("killed (-9), restarted within the TTL", &etcd, before, "nothing");
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(etcd.leases().len(), 1, "one lease per agent");
}

#[test]
fn killed_and_restarted_after_the_ttl_it_goes_and_comes_back() {
    let (etcd, site, mut agent) = registered();
    let before = etcd.revision();
    agent.kill();
    eventually("they go with the lease", SOON, || there(&etcd, &[]));
    let agent = site.start();
    awake(&agent);
    eventually("they are back", SOON, || there(&etcd, &FOUR));
    let seen = reported("killed (-9), restarted after the TTL", &etcd, before, "4 DELETE, 4 PUT");
    assert_eq!(tally(&seen), "4 DELETE, 4 PUT");
    assert_eq!(etcd.leases().len(), 1, "one lease per agent");
}

#[test]
fn without_its_state_it_waits_for_the_lease_of_before() {
    let (etcd, site, mut agent) = registered();
    let before = etcd.revision();
    agent.kill();
    let killed = Instant::now();
    fs::remove_dir_all(site.path().join("state")).unwrap();
    let agent = site.start();
    awake(&agent);
    let conflicts = || agent.metrics().sum("vitald_registry_conflict", &[]);
    eventually("the conflict is seen", TTL / 2, || that(conflicts() >= 1.0, || conflicts().to_string()));
    assert!(agent.log().contains("held by another owner"), "{}", agent.log());
    // The lease of before lives on for as long as nobody who has it renews it.
    eventually("they go with the lease", TTL * 2, || {
        that(texts(&happened(&etcd, before)).iter().any(|what| what.starts_with("DELETE")), || "they are there".into())
    });
    let gone = killed.elapsed().as_secs_f64();
    eventually("they are back", SOON, || there(&etcd, &FOUR));
    until(&agent, "vitald_registry_conflict", &[], 0.0);
    let fault = format!("killed (-9), restarted without its state (gone after {gone:.1} s)");
    let seen = reported(&fault, &etcd, before, "4 DELETE, 4 PUT");
    assert_eq!(tally(&seen), "4 DELETE, 4 PUT", "{seen:?}");
}

/// An agent on another machine, as far as `/etc/machine-id` says so: it has a file system of its own there.
fn on_another_machine(site: &Site) -> Agent {
    let (machine, wrapper) = (site.path().join("machine-id"), site.path().join("elsewhere"));
    write(&machine, "0123456789abcdef0123456789abcdef\n");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount sh -ec 'mount --bind {} /etc/machine-id; exec \"$@\"' sh {} \"$@\"\n",
        machine.display(),
        program().display()
    );
    write(&wrapper, script);
    let made = Command::new("chmod").arg("755").arg(&wrapper).status().unwrap();
    assert!(made.success() && rustix::process::geteuid().is_root(), "a mount wants root: run the tests as root");
    Agent::start_program(site, &wrapper, &[])
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_cloned_machine_is_another_owner_and_disturbs_nobody() {
    let (etcd, site, agent) = registered();
    let clone = four(&etcd);
    copy(&site.path().join("state"), &clone.path().join("state"));
    let before = etcd.revision();
    let second = on_another_machine(&clone);
    awake(&second);
    let conflicts = || second.metrics().sum("vitald_registry_conflict", &[]);
    eventually("the clone sees the conflict", SOON, || that(conflicts() >= 1.0, || conflicts().to_string()));
    let owner = etcd.get(KEY).unwrap().value["owner"].as_str().unwrap().to_owned();
    let log = second.log();
    let line = log.lines().find(|line| line.contains(KEY) && line.contains("held by another owner"));
    assert!(line.is_some_and(|line| line.contains(&owner)), "{log}");
    throughout("the first has its keys", TTL * 2, || there(&etcd, &FOUR));
    agent.answers("/health", 200).unwrap();
    second.answers("/health", 200).unwrap();
    assert_eq!(agent.metrics().sum("vitald_registry_conflict", &[]), 0.0, "{}", agent.log());
    let seen = reported("state copied to an agent of another machine id", &etcd, before, "nothing");
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(etcd.events_since(before, AGENT_KEY), Vec::<String>::new(), "the agent's own key");
    assert_eq!(etcd.leases().len(), 2, "one lease each");
}

/// Nothing tells the two apart: they have one owner and one lease. What they write differs by the agent's address alone.
#[test]
fn a_cloned_machine_with_the_same_machine_id_is_no_endless_fight() {
    let (etcd, site, agent) = registered();
    let clone = four(&etcd);
    copy(&site.path().join("state"), &clone.path().join("state"));
    let before = etcd.revision();
    let second = clone.start();
    awake(&second);
    let said = || [&agent, &second].iter().any(|agent| agent.log().contains("altered again and again"));
    eventually("somebody says so", SOON * 4, || that(said(), || "nobody".into()));
    let fought = etcd.events_since(before, AGENT_KEY);
    let seen = reported("state copied to an agent of the same machine id", &etcd, before, "nothing");
    report("the same: the agent's own key", &tally(&fought), "fewer than 20 PUT until an error says so");
    assert_eq!(seen, Vec::<String>::new());
    assert!(fought.len() < 20 && fought.iter().all(|what| what.starts_with("PUT ")), "{fought:?}");
    there(&etcd, &FOUR).unwrap();
}

#[test]
fn a_service_that_left_the_file_meanwhile_leaves_the_registry() {
    let etcd = Etcd::start();
    let site = four(&etcd);
    let stall = service("stall").line("checks = \"none\"");
    site.drop_in("stall", [stall]);
    let mut agent = site.start();
    eventually("both are there", SOON, || that(instances(&etcd).len() == 8, || format!("{:?}", instances(&etcd))));
    eventually("the agent's key is there", SOON, || that(etcd.get(AGENT_KEY).is_some(), || "no key".into()));
    let memory = site.path().join("state/verdicts.json");
    eventually("the verdicts are written down", SOON, || that(memory.exists(), || "no file".into()));
    let before = etcd.revision();
    agent.kill();
    site.remove_drop_in("stall");
    let agent = site.start();
    awake(&agent);
    eventually("the stall is gone, in all dialects", SOON, || there(&etcd, &FOUR));
    throughout("the shop is there", TTL + TTL / 2, || there(&etcd, &FOUR));
    let seen = reported("killed (-9), a service removed from the file, restarted", &etcd, before, "4 DELETE, of that");
    assert_eq!(tally(&seen), "4 DELETE");
    assert!(seen.iter().all(|what| what.contains("/stall/")), "{seen:?}");
}

#[test]
fn another_ttl_moves_the_keys_onto_another_lease() {
    let (etcd, site, mut agent) = registered();
    let (before, lease) = (etcd.revision(), etcd.get(KEY).unwrap().lease);
    agent.kill();
    let main = fs::read_to_string(site.main()).unwrap().replace("ttl = \"5s\"", "ttl = \"8s\"");
    write(&site.main(), main);
    let agent = site.start();
    awake(&agent);
    eventually("the old lease is revoked", SOON, || {
        that(!etcd.leases().contains(&lease), || format!("{:?}", etcd.leases()))
    });
    until(&agent, "vitald_registry_lease_granted_ttl_seconds", &[], 8.0);
    throughout("they are there", TTL + TTL / 2, || there(&etcd, &FOUR));
    let moved = instances(&etcd);
    assert!(moved.iter().all(|entry| entry.lease != lease), "{moved:?}");
    assert_eq!(etcd.leases(), [moved[0].lease], "one lease per agent");
    // The readers of SkyDNS are told the TTL, so that value is another: once for the move, or once for both.
    let seen = reported("killed (-9), restarted with ttl = \"8s\"", &etcd, before, "PUT only, the old lease revoked");
    assert!(seen.iter().all(|what| what.starts_with("PUT ")), "{seen:?}");
    for key in FOUR {
        let puts = seen.iter().filter(|what| what.starts_with(&format!("PUT {key} "))).count();
        let most = if key == SKYDNS_KEY { 2 } else { 1 };
        assert!((1..=most).contains(&puts), "{key}: {puts} of {seen:?}");
    }
    assert!(etcd.below(SKYDNS_KEY)[0].value.contains("\"ttl\":8"));
}

#[test]
fn a_handover_is_not_seen_in_any_dialect() {
    let (etcd, site, mut agent) = registered();
    let before = etcd.revision();
    agent.signal(Signal::USR2);
    assert_eq!(agent.end(SOON), 0);
    let agent = site.start();
    awake(&agent);
    throughout("they are there", TTL + TTL / 2, || there(&etcd, &FOUR));
    let seen = reported("handed over by SIGUSR2", &etcd, before, "nothing");
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(etcd.leases().len(), 1, "one lease per agent");
}

#[test]
fn an_agent_that_stood_still_for_longer_than_the_ttl_comes_back() {
    let (etcd, _site, agent) = registered();
    let before = etcd.revision();
    agent.signal(Signal::STOP);
    eventually("they go with the lease", SOON, || there(&etcd, &[]));
    agent.signal(Signal::CONT);
    let begun = Instant::now();
    eventually("they are back", SOON, || there(&etcd, &FOUR));
    let back = begun.elapsed().as_secs_f64();
    let fault = format!("SIGSTOP for longer than the TTL, SIGCONT (back after {back:.1} s)");
    let seen = reported(&fault, &etcd, before, "4 DELETE, 4 PUT");
    assert_eq!(tally(&seen), "4 DELETE, 4 PUT");
    assert_eq!(etcd.leases().len(), 1, "one lease per agent");
    agent.answers("/health", 200).unwrap();
}

/// What happened while nobody looked: a watch would have told.
#[test]
fn keys_that_were_altered_while_the_agent_was_away_are_put_again() {
    let etcd = Etcd::start();
    let site = four(&etcd);
    site.plugin("noop", guest("noop"));
    site.drop_in("more", [check("more", "noop").of("shop")]);
    let mut agent = site.start();
    settled_in(&site, &etcd, &FOUR);
    let wanted = instances(&etcd);
    agent.kill();
    etcd.delete(GRPC_KEY);
    let native = etcd.get(KEY).unwrap().value.to_string().replace("\"port\":8080", "\"port\":1");
    etcd.put(KEY, &native);
    let agent = site.start();
    awake(&agent);
    eventually("all is as before", SOON, || {
        let now = instances(&etcd);
        let alike = now.iter().map(|entry| &entry.value).eq(wanted.iter().map(|entry| &entry.value));
        that(alike && now.iter().all(|entry| entry.lease == wanted[0].lease), || format!("{now:?}"))
    });
    report("altered and deleted by hand while the agent was dead", "PUT again", "PUT again");
}

/// The new lease has nothing yet, so the old one must live on.
#[test]
fn another_ttl_costs_nothing_while_nothing_can_be_written() {
    let (etcd, site, mut agent) = registered();
    let (before, lease) = (etcd.revision(), etcd.get(KEY).unwrap().lease);
    agent.kill();
    let configured = fs::read_to_string(site.main()).unwrap();
    let main = configured.replace("ttl = \"5s\"", "ttl = \"8s\"");
    write(&site.main(), main.replace("[agent]\n", "[agent]\nadvertise = \"nowhere0\"\n"));
    let mut second = site.start();
    second.until("app", "UP");
    throughout("they are there", TTL * 2, || there(&etcd, &FOUR));
    let seen = reported("another ttl, and nothing can be written for 10 s", &etcd, before, "nothing");
    assert_eq!(seen, Vec::<String>::new());
    second.kill();
    write(&site.main(), main);
    let third = site.start();
    awake(&third);
    eventually("the old lease is revoked", SOON, || {
        that(!etcd.leases().contains(&lease), || format!("{:?}", etcd.leases()))
    });
    there(&etcd, &FOUR).unwrap();
}

/// What takes the place of a key is there before it goes.
#[test]
fn another_id_is_there_before_the_one_of_before_goes() {
    let (etcd, site, mut agent) = registered();
    let before = etcd.revision();
    agent.signal(Signal::USR2);
    assert_eq!(agent.end(SOON), 0);
    site.drop_in("shop", [service("shop").with("id", "renamed"), check("app", "app").of("shop")]);
    let agent = site.start();
    awake(&agent);
    eventually("the one of before is gone", SOON, || that(etcd.get(KEY).is_none(), || "it is there".into()));
    let native: Vec<String> = reported("another id over a handover", &etcd, before, "3 PUT, 3 DELETE, in this order")
        .into_iter()
        .filter(|what| what.contains(" /services/shop/"))
        .collect();
    assert_eq!(tally(&native), "1 PUT, 1 DELETE", "{native:?}");
}
