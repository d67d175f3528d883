//! Checkers that loop, leak, crash, hang and attack. Each gets its fault's name; nobody else notices.

use std::time::Duration;

use crate::harness::{
    Etcd, Listener, Manner, Poll, Site, Table, alone, check, eventually, guest, service, that, throughout,
};

const SOON: Duration = Duration::from_secs(20);
const KEY: &str = "/services/shop/shop-host-1";

/// A registered service with a check that is well, and beside it checks of the host with hostile checkers.
fn site(etcd: &Etcd, guests: &[&str], hostile: Vec<Table>) -> Site {
    let site = Site::new().registered_at(etcd);
    site.plugin("noop", guest("noop"));
    for name in guests {
        site.plugin(name, guest(name));
    }
    site.drop_in("shop", [service("shop"), check("shop", "noop").of("shop")]);
    site.drop_in("hostile", hostile);
    site
}

fn message(seen: &serde_json::Value) -> &str {
    seen["message"].as_str().unwrap_or_default()
}

#[test]
fn a_grant_is_what_lets_a_checker_through() {
    let (etcd, listener) = (Etcd::start(), Listener::start(Manner::Closing));
    let to = format!("params = {{ to = \"127.0.0.1:{}\" }}", listener.port());
    let visitor = |name| check(name, "trespasser").line(&to);
    let allowed = visitor("allowed").line(&format!("allow = [\"tcp://127.0.0.1:{}\"]", listener.port()));
    let other = visitor("other-port").line(&format!("allow = [\"tcp://127.0.0.1:{}\"]", listener.port() + 1));
    let site = site(&etcd, &["trespasser"], vec![allowed, other]);
    let agent = site.start();
    agent.until("allowed", "UP");
    assert_eq!(message(&agent.check("allowed")), format!("got through to 127.0.0.1:{}", listener.port()));
    agent.until_unknown("other-port", "denied");
}

#[test]
fn a_flood_breaks_no_scrape_and_forges_no_line() {
    let etcd = Etcd::start();
    let site = site(&etcd, &["flood"], vec![check("flood", "flood")]);
    let agent = site.start_with(&["--log-level", "trace"]);
    agent.until("flood", "UP");
    let seen = agent.check("flood");
    assert!(!message(&seen).contains(char::is_control), "{seen}");
    assert!(seen["parts"].as_array().unwrap().len() <= 64, "{seen}");
    // Parses, and has no series twice.
    let metrics = agent.metrics();
    let values = metrics.names().into_iter().filter(|name| name.starts_with("vitald_value_")).count();
    assert_eq!(values, 64, "of a hundred good measurements so many are kept");
    assert!(metrics.get("up", &[]).is_none(), "a series was forged");
    let log = agent.log();
    assert!(!log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("level=error")), "a line was forged");
}

#[test]
fn of_measurements_that_clash_the_first_is_kept() {
    let site = Site::new();
    site.plugin("mislabeler", guest("mislabeler"));
    site.drop_in("checks", [check("labels-1", "mislabeler"), check("labels-2", "mislabeler")]);
    let agent = site.start();
    agent.until("labels-1", "UP");
    agent.until("labels-2", "UP");
    let metrics = agent.metrics();
    let of = |name: &str| metrics.get(&format!("vitald_value_good{name}"), &[("check", "labels-1")]);
    for (name, value) in [
        ("", Some(1.0)),
        ("_labels", Some(1.0)),
        ("_seconds", Some(1.0)),
        ("_kind_total", Some(1.0)),
        ("_text", Some(1.0)),
        ("_twice", None),
        ("_taken", None),
        ("_number", None),
    ] {
        assert_eq!(of(name), value, "good{name}");
    }
    let swapped = metrics.values_of("vitald_value_good_swapped_total", "check");
    assert!(!swapped.is_empty(), "neither of two kinds was kept");
}

#[test]
fn who_floods_the_log_is_cut_short() {
    /// What a run may log, unless its check says otherwise.
    const LINES: f64 = 20.0;
    let site = Site::new().with_defaults("interval = \"3s\"\ntimeout = \"3s\"");
    for name in ["log_flood", "stderr_flood"] {
        site.plugin(name, guest(name));
    }
    let few = check("few", "log_flood").line("limits = { log_lines = 3 }");
    site.drop_in("hostile", [check("log_flood", "log_flood"), few, check("stderr_flood", "stderr_flood")]);
    let agent = site.start();
    agent.until("log_flood", "UP");
    agent.until("few", "UP");
    let seen = agent.until_unknown("stderr_flood", "trap");
    let said = message(&seen);
    assert!(said.contains("flooding, line 0") && said.contains("deliberate, after the flood"), "head and tail: {seen}");
    assert!(said.len() <= 4096 && !said.contains(char::is_control), "{seen}");

    let (log, metrics) = (agent.log(), agent.metrics());
    assert!(!log.lines().any(|line| line.starts_with("level=error")), "a line was forged");
    for (name, cap) in [("log_flood", LINES), ("few", 3.0)] {
        // One more may be in flight.
        let runs = metrics.sum("vitald_check_runs_total", &[("check", name)]) + 1.0;
        let lines = log.lines().filter(|line| line.contains(&format!("check {name} says: flooding"))).count();
        assert!(lines > 0 && lines as f64 <= cap * runs, "{name}: {lines} lines of {runs} runs");
    }
    assert!(log.lines().all(|line| line.len() < 4096), "a line has no end");
    assert!(!log.contains("check stderr_flood says"), "what a guest prints is shown with its fault only");
}

#[test]
fn sixty_four_loopers_beside_twenty_good_checks() {
    const LOOPERS: usize = 64;
    const GOOD: usize = 20;
    let _machine = alone();
    let (etcd, listener) = (Etcd::start(), Listener::start(Manner::Closing));
    let loopers = (0..LOOPERS).map(|n| check(&format!("looper-{n}"), "looper").with("timeout", "500ms"));
    let site = site(&etcd, &["looper"], loopers.collect()).with_defaults("interval = \"1s\"\ntimeout = \"1s\"");
    let good: Vec<String> = (0..GOOD).map(|n| format!("good-{n}")).collect();
    let tables = good.iter().enumerate().map(|(n, name)| match n % 2 {
        0 => check(name, "noop"),
        _ => check(name, "tcp").target(&listener.url()),
    });
    site.drop_in("good", tables);
    let agent = site.start();
    for name in &good {
        agent.until(name, "UP");
    }
    let key = eventually("the key is there", SOON, || etcd.get(KEY).ok_or_else(|| "no key".into()));
    let live = Poll::start(&agent, "/health/live", 200);

    throughout("the good ones are UP", Duration::from_secs(12), || {
        let details = agent.get("/health").json()["details"].clone();
        let other = good.iter().find(|name| details[name.as_str()]["status"] != "UP");
        that(other.is_none(), || format!("{other:?}: {}", details[other.unwrap().as_str()]))
    });
    let metrics = agent.metrics();
    for name in &good {
        let of = |result| metrics.sum("vitald_check_runs_total", &[("check", name.as_str()), ("result", result)]);
        let all = metrics.sum("vitald_check_runs_total", &[("check", name.as_str())]);
        assert!(all == of("up") && all >= 5.0, "{name}: {all} runs, {} up", of("up"));
    }
    let skipped: f64 = good.iter().map(|name| metrics.sum("vitald_check_skipped_total", &[("check", name)])).sum();
    let cpu: f64 = (0..LOOPERS)
        .map(|n| metrics.sum("vitald_check_runs_total", &[("check", &format!("looper-{n}")), ("result", "cpu")]))
        .sum();
    let late = metrics.quantile("vitald_schedule_lateness_seconds", 0.99);
    println!(
        "measured: {cpu} runs of {LOOPERS} loopers ended with cpu; {skipped} good runs skipped; p99 lateness {late} s"
    );
    assert!(cpu > 0.0);

    let slowest = live.stop();
    assert!(slowest < Duration::from_secs(1), "/health/live took {slowest:?}");
    assert!(etcd.lease_left(key.lease) > 0);
    assert_eq!(metrics.sum("vitald_registry_leases_lost_total", &[]), 0.0);
}
