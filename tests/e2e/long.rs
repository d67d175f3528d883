//! Measurements that take minutes: `tests/run --long`.

use std::time::Duration;

use crate::harness::{Agent, Listener, Manner, Redis, Site, alone, check, eventually, guest, that, throughout};

/// A line of `/proc/PID/status`, in KiB.
fn memory(agent: &Agent, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("the agent runs");
    let found = status.lines().find_map(|text| text.strip_prefix(line)).expect("the line is there");
    found.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
#[ignore = "takes a minute: tests/run --long"]
fn long_resident_memory_of_thirty_checks() {
    const CHECKS: usize = 30;
    let _machine = alone();
    let (redis, listener) = (Redis::start(), Listener::start(Manner::Closing));
    let site = Site::new().with_defaults("interval = \"1s\"\ntimeout = \"900ms\"");
    let own = format!("http://127.0.0.1:{}/health/live", site.port());
    let checks = (0..CHECKS).map(|n| {
        let name = format!("check-{n}");
        match n % 3 {
            0 => check(&name, "tcp").target(&listener.url()),
            1 => check(&name, "redis").target(&redis.url()),
            _ => check(&name, "http").target(&own),
        }
    });
    site.drop_in("checks", checks);
    let agent = site.start();
    for n in 0..CHECKS {
        agent.until(&format!("check-{n}"), "UP");
    }
    throughout("all are well", Duration::from_secs(60), || agent.answers("/health", 200));
    let (resident, peak) = (memory(&agent, "VmRSS"), memory(&agent, "VmHWM"));
    println!(
        "measured: {CHECKS} checks over 3 bundled checkers after a minute: VmRSS {resident} KiB, VmHWM {peak} KiB"
    );
    assert!(resident < 450 * 1024, "ten times the target of 45 MB: {resident} KiB");
}

#[test]
#[ignore = "takes more than a minute: tests/run --long"]
fn long_a_thousand_checks_start_in_time() {
    const CHECKS: usize = 1000;
    let _machine = alone();
    let listener = Listener::start(Manner::Closing);
    let site = Site::new().with_defaults("interval = \"10s\"\ntimeout = \"1s\"");
    let checks = (0..CHECKS).map(|n| check(&format!("check-{n}"), "tcp").target(&listener.url()));
    site.drop_in("checks", checks);
    let agent = site.start();
    agent.until_health(200);
    throughout("all are well", Duration::from_secs(60), || {
        let answer = agent.get("/health/live");
        that(answer.code == 200, || answer.body)
    });
    let metrics = agent.metrics();
    let (late, due) =
        (metrics.quantile("vitald_schedule_lateness_seconds", 0.99), metrics.sum("vitald_schedule_due_total", &[]));
    let (skipped, up) =
        (metrics.sum("vitald_check_skipped_total", &[]), metrics.sum("vitald_check_runs_total", &[("result", "up")]));
    let cpu = metrics.sum("process_cpu_seconds_total", &[]);
    println!(
        "measured: {CHECKS} tcp checks at 10 s: {due} due, {up} up, {skipped} skipped, p99 lateness at most {late} s, \
         {cpu} s of CPU, VmRSS {} KiB",
        memory(&agent, "VmRSS")
    );
    assert!(due >= 5.0 * CHECKS as f64, "only {due} came due");
    assert_eq!(skipped, 0.0);
    // Ten times the target of 50 ms.
    assert!(late <= 0.5, "p99 lateness {late} s");
    agent.answers("/health", 200).unwrap();
}

/// The resident memory of an agent whose so many checks have run once and now wait.
fn idle(checks: usize) -> u64 {
    let site = Site::new().with_defaults("interval = \"1h\"\ntimeout = \"5s\"");
    site.plugin("noop", guest("noop"));
    site.drop_in("checks", (0..checks).map(|n| check(&format!("check-{n}"), "noop")));
    let agent = site.start();
    eventually("each has run", Duration::from_secs(60), || {
        let up = agent.metrics().sum("vitald_check_up", &[]);
        that(up == checks as f64, || format!("{up} are up"))
    });
    memory(&agent, "VmRSS")
}

#[test]
#[ignore = "a measurement: tests/run --long"]
fn long_memory_of_a_thousand_idle_checks() {
    const CHECKS: usize = 1000;
    let _machine = alone();
    let (one, many) = (idle(1), idle(CHECKS));
    let each = many.saturating_sub(one) as f64 / (CHECKS - 1) as f64;
    println!("measured: idle checks: VmRSS {one} KiB with 1, {many} KiB with {CHECKS}: {each:.1} KiB each");
    assert!(many < 450 * 1024, "ten times the target of 45 MB: {many} KiB");
}
