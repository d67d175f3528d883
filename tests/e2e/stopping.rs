//! The agent is asked to end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{
    Agent, Etcd, Listener, Manner, Poll, Redis, Site, check, eventually, guest, report, service, tally, that,
    throughout, timed, write,
};
use crate::registration::{AGENT_KEY, KEY, registered, settled, shop};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn sigterm_takes_the_instance_out_at_once_and_drains() {
    let drain = Duration::from_secs(2);
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "drain = \"2s\"");
    let mut agent = site.start();
    settled(&site, &etcd);
    agent.answers("/health/ready", 200).unwrap();

    agent.signal(Signal::TERM);
    let gone = || that(etcd.get(KEY).is_none(), || "the key is there".into());
    timed("SIGTERM until the key is gone (target 100 ms)", Duration::from_secs(1), gone);
    let healthy = Poll::start(&agent, "/health", 200);
    throughout("it drains", drain - Duration::from_millis(500), || {
        agent.answers("/health/ready", 503)?;
        agent.answers("/health/live", 200)
    });
    healthy.stop();
    let metrics = agent.metrics();
    assert!(metrics.sum("vitald_check_runs_total", &[("check", "app")]) > 0.0, "checks run on while it drains");
    assert_eq!(agent.end(SOON), 0);
    assert!(etcd.get(AGENT_KEY).is_none(), "the agent's key outlived it");
    assert_eq!(etcd.leases(), Vec::<i64>::new());
}

#[test]
fn without_a_drain_it_ends_at_once() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    settled(&site, &etcd);
    agent.signal(Signal::INT);
    timed("SIGINT until the agent has ended", Duration::from_secs(5), || {
        that(agent.ended() == Some(0), || "it runs".into())
    });
    assert!(etcd.get(KEY).is_none());
}

#[test]
fn an_etcd_that_is_gone_does_not_keep_it() {
    let mut etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    settled(&site, &etcd);
    etcd.kill();
    agent.signal(Signal::TERM);
    let mut code = None;
    // Twice the request timeout, and some.
    timed("SIGTERM without etcd until the agent has ended", Duration::from_secs(10), || {
        code = agent.ended();
        that(code.is_some(), || "it runs".into())
    });
    assert_eq!(code, Some(0));
    assert!(agent.log().contains("the keys go when the lease ends"), "nothing is said of the keys");
}

#[test]
fn the_second_signal_quits() {
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "drain = \"1h\"");
    let mut agent = site.start();
    settled(&site, &etcd);
    agent.signal(Signal::TERM);
    eventually("it drains", SOON, || agent.answers("/health/ready", 503));
    // One that comes within 200 ms is the first one again: some tools send it twice.
    eventually("it ends", Duration::from_secs(5), || {
        if agent.ended().is_some() {
            return Ok(());
        }
        agent.signal(Signal::TERM);
        Err("it runs".into())
    });
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    settled(&site, &etcd);
    // As timeout(1) does: to the process, and to its group.
    agent.signal(Signal::TERM);
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    assert!(agent.log().contains("stopped"), "{}", agent.log());
    assert!(etcd.get(KEY).is_none(), "it left its keys behind");
}

#[test]
fn on_stop_keep_hands_over() {
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "on_stop = \"keep\"");
    let mut agent = site.start();
    let before = settled(&site, &etcd);
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    assert_eq!(registered(&etcd), before);
}

/// Runs that were begun may take longer than a lease lasts, and what is known grows old meanwhile.
#[test]
fn a_handover_with_a_slow_run_in_flight_loses_nothing() {
    let (etcd, mute) = (Etcd::start(), Listener::start(Manner::Silent));
    let site = shop(&etcd);
    let slow = check("slow", "http").of("shop").target(&mute.url().replace("tcp://", "http://"));
    let slow = slow.with("severity", "info").with("timeout", "7s").with("interval", "8s");
    let hasty = check("hasty", "noop").of("shop").with("stale_after", "1s").with("on_fault", "down");
    site.drop_in("slow", [slow, hasty]);
    let mut agent = site.start();
    settled(&site, &etcd);
    eventually("the slow run goes on", SOON, || {
        let running = agent.metrics().get("vitald_runs_in_flight", &[]);
        that(running >= Some(1.0), || format!("{running:?}"))
    });
    let revision = etcd.revision();
    let begun = Instant::now();
    agent.signal(Signal::USR2);
    assert_eq!(agent.end(SOON), 0);
    let took = begun.elapsed().as_secs_f64();
    let _next = site.start();
    throughout("the key is there", Duration::from_secs(7), || that(etcd.get(KEY).is_some(), || "no key".into()));
    // That a check counts as DOWN while nobody runs it may show in `since`, and in nothing else.
    let seen = etcd.events_since(revision, "/services");
    report(&format!("SIGUSR2 with a run of 7 s in flight (ended after {took:.1} s)"), &tally(&seen), "no DELETE");
    assert!(seen.iter().all(|what| what.starts_with("PUT ") && what.contains("\"status\":\"UP\"")), "{seen:?}");
}

/// A held instance would be counted again while everything drains; nobody may spin over that.
#[test]
fn a_held_instance_drains_at_rest() {
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "keep_at_least = 2\ndrain = \"8s\"");
    let mut agent = site.start();
    settled(&site, &etcd);
    site.plugin("noop", guest("down"));
    eventually("it is held", SOON, || that(registered(&etcd).value["held"] == true, || "it is not".into()));
    agent.signal(Signal::TERM);
    eventually("the key is gone", SOON, || that(etcd.get(KEY).is_none(), || "it is there".into()));
    let cpu = |agent: &Agent| agent.metrics().get("process_cpu_seconds_total", &[]).expect("a number");
    let before = cpu(&agent);
    throughout("it drains", Duration::from_secs(6), || agent.answers("/health/ready", 503));
    let used = cpu(&agent) - before;
    println!("measured: CPU of 6 s of draining beside a held instance: {used:.2} s");
    assert!(used < 3.0, "{used} s of CPU in 6 s");
    assert_eq!(agent.end(SOON), 0);
}

#[test]
fn an_agent_that_does_not_know_its_address_withdraws_before_it_drains() {
    let etcd = Etcd::start();
    let site = shop(&etcd).with("registry", "drain = \"4s\"\ndialects = [\"native\", \"grpc\"]");
    let mut agent = site.start();
    settled(&site, &etcd);
    agent.kill();
    let main = std::fs::read_to_string(site.main()).unwrap();
    write(&site.main(), main.replace("[agent]\n", "[agent]\nadvertise = \"nowhere0\"\n"));
    let mut agent = site.start();
    agent.until("app", "UP");
    let instances = || etcd.below("/services/").len() + etcd.below("grpc/").len();
    throughout("what is there stays", Duration::from_secs(6), || that(instances() == 2, || instances().to_string()));
    let warnings = agent.log().lines().filter(|line| line.contains("the address to register is not known")).count();
    assert_eq!(warnings, 1, "a change of state is one line: {}", agent.log());
    agent.signal(Signal::TERM);
    eventually("all are gone before the drain is over", Duration::from_secs(2), || {
        that(instances() == 0, || instances().to_string())
    });
    agent.answers("/health/ready", 503).unwrap();
    assert_eq!(agent.end(SOON), 0);
    report("SIGTERM while the address is not known", "withdrawn, then drained", "withdrawn, then drained");
}

#[test]
fn verdicts_survive_a_restart_without_a_registry() {
    let mut redis = Redis::start();
    let site = Site::new()
        .with_defaults("interval = \"400ms\"\ntimeout = \"300ms\"\nfall = 2\nrise = 100\nstale_after = \"60s\"");
    site.drop_in("shop", [service("shop"), check("cache", "redis").of("shop").target(&redis.url())]);
    let mut agent = site.start();
    agent.until("cache", "UP");
    redis.kill();
    agent.until("cache", "DOWN");
    let since = agent.check("cache")["since"].clone();
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    redis.restart();

    // A hundred good runs are wanted before it is UP again: what is known is known after a restart too.
    let agent = site.start();
    eventually("it is DOWN since then", SOON, || {
        agent.shows("cache", "DOWN")?;
        let seen = agent.check("cache");
        that(seen["since"] == since, || seen.to_string())
    });
    agent.until_health(503);
    throughout("it stays so", Duration::from_secs(1), || agent.shows("cache", "DOWN"));
}

#[test]
fn with_runs_in_flight_it_ends_in_order_every_time() {
    let site = Site::new();
    for name in ["noop", "sleeper", "looper"] {
        site.plugin(name, guest(name));
        site.drop_in(name, (0..4).map(|n| check(&format!("{name}-{n}"), name)));
    }
    for _ in 0..6 {
        let mut agent = site.start();
        agent.until("noop-0", "UP");
        agent.signal(Signal::TERM);
        assert_eq!(agent.end(SOON), 0);
        assert!(agent.log().trim_end().ends_with("stopped"), "something came after the farewell");
    }
}

#[test]
fn one_state_directory_has_one_agent() {
    let site = Site::new();
    let agent = site.start();
    let other = site.path().join("other.toml");
    let text = std::fs::read_to_string(site.main()).unwrap().replace(&site.port().to_string(), "0");
    crate::harness::write(&other, text);
    let ended = crate::harness::vitald(&["run", "--config", other.to_str().unwrap()]);
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.stderr.contains("in use by another agent"), "{ended:?}");
    agent.answers("/health/live", 200).unwrap();
}
