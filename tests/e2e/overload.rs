//! More than the machine can bear: memory, CPU, and a guest runtime that is stuck. The agent stays, tells the truth, or
//! makes room for one that does.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::harness::{
    Agent, Cgroup, Etcd, Listener, Manner, Poll, Site, alone, check, eventually, guest, program, service, that,
    throughout,
};

const SOON: Duration = Duration::from_secs(20);
const KEY: &str = "/services/shop/shop-host-1";

/// Runs of a check by what they gave, over all checks whose name starts so.
fn runs(agent: &Agent, prefix: &str, result: &str) -> f64 {
    let metrics = agent.metrics();
    let checks = metrics.values_of("vitald_check_runs_total", "check");
    let own = checks.iter().filter(|check| check.starts_with(prefix));
    own.map(|check| metrics.sum("vitald_check_runs_total", &[("check", check), ("result", result)])).sum()
}

#[test]
fn bombs_and_loopers_in_a_small_control_group_meet_no_oom_killer() {
    const MEMORY: u64 = 768 << 20;
    const BOMBS: usize = 256;
    const LOOPERS: usize = 64;
    let _machine = alone();
    let cgroup = match Cgroup::with_memory(MEMORY) {
        Ok(cgroup) => cgroup,
        Err(why) if std::env::var_os("VITALD_TESTS").is_some_and(|mode| mode == "strict") => {
            panic!(
                "no control group with a memory limit can be made: {why}; run this as root, with /sys/fs/cgroup writable"
            )
        }
        Err(why) => {
            println!("skipped: no control group with a memory limit can be made: {why}");
            return;
        }
    };
    let site = Site::new().with_defaults("interval = \"1s\"\ntimeout = \"1s\"");
    for name in ["allocator", "looper", "noop"] {
        site.plugin(name, guest(name));
    }
    let agent = site.start();
    cgroup.adopt(agent.pid());
    let live = Poll::start(&agent, "/health/live", 200);
    let bombs = (0..BOMBS).map(|n| check(&format!("bomb-{n}"), "allocator"));
    site.drop_in("hostile", bombs.chain((0..LOOPERS).map(|n| check(&format!("looper-{n}"), "looper"))));

    // So many at once leave each other too little to come to the cap of one.
    let put_off = || agent.metrics().sum("vitald_check_skipped_total", &[("reason", "overloaded")]);
    eventually("bombs and loopers run", SOON, || {
        let (limit, cpu, put_off) = (runs(&agent, "bomb-", "limit"), runs(&agent, "looper-", "cpu"), put_off());
        that(limit + put_off >= 1.0 && cpu >= 1.0, || format!("{limit} limit, {cpu} cpu, {put_off} put off"))
    });
    throughout("the agent lives", Duration::from_secs(15), || {
        agent.answers("/health/live", 200)?;
        that(cgroup.oom_kills() == 0, || "the kernel killed something".into())
    });
    let (limit, cpu) = (runs(&agent, "bomb-", "limit"), runs(&agent, "looper-", "cpu"));
    println!(
        "measured: {BOMBS} bombs and {LOOPERS} loopers: at most {} of {} MiB; {limit} runs ended with limit, {cpu} with \
         cpu, {} were put off",
        cgroup.peak() >> 20,
        MEMORY >> 20,
        put_off(),
    );
    live.stop();
    site.remove_drop_in("hostile");
    site.drop_in("good", [check("good", "noop")]);
    agent.until("good", "UP");
    assert_eq!(cgroup.oom_kills(), 0);
    drop(agent);
}

/// Processes that take all the CPU there is, before everyone else where we may; killed in `Drop`.
struct Burners(Vec<Child>);

impl Burners {
    fn start(count: usize) -> Self {
        let burn = |_| {
            let mut command = Command::new("nice");
            // Who is not root gets the priority that there is.
            command.args(["-n", "-15", "sh", "-c", "while :; do :; done"]).stderr(std::process::Stdio::null());
            command.spawn().expect("nice of coreutils")
        };
        Self((0..count).map(burn).collect())
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_machine_that_burns_takes_nobody_down() {
    const GOOD: usize = 50;
    const BURNT: Duration = Duration::from_secs(15);
    let _machine = alone();
    let listener = Listener::start(Manner::Closing);
    let site = Site::new().with_defaults("interval = \"1s\"\ntimeout = \"300ms\"");
    site.plugin("noop", guest("noop"));
    let name = |n| format!("good-{n}");
    site.drop_in(
        "good",
        (0..GOOD).map(|n| match n % 2 {
            0 => check(&name(n), "noop"),
            _ => check(&name(n), "tcp").target(&listener.url()),
        }),
    );
    let agent = site.start();
    for n in 0..GOOD {
        agent.until(&name(n), "UP");
    }
    let changes = || agent.metrics().sum("vitald_check_status_changes_total", &[]);
    let before = changes();
    let burners = Burners::start(4);
    throughout("no check is DOWN", BURNT, || {
        // The answer itself may be late.
        let Ok(answer) = agent.try_get("/health") else { return Ok(()) };
        that(!answer.body.contains("\"DOWN\""), || answer.body)
    });
    drop(burners);
    eventually("all is well again", SOON, || agent.answers("/health", 200));
    assert_eq!(changes(), before, "a status changed");
    for result in ["down", "timeout"] {
        assert_eq!(runs(&agent, "good-", result), 0.0, "runs ended with {result}");
    }
    let metrics = agent.metrics();
    let (all, due) = (runs(&agent, "good-", "up"), metrics.sum("vitald_schedule_due_total", &[]));
    let of = |reason| metrics.sum("vitald_check_skipped_total", &[("reason", reason)]);
    println!(
        "measured: beside four burners of {BURNT:?}: {due} due, {all} up, {} overloaded, {} overlapping; p99 lateness {} s",
        of("overloaded"),
        of("overlap"),
        metrics.quantile("vitald_schedule_lateness_seconds", 0.99),
    );
}

#[test]
fn a_guest_runtime_that_is_stuck_is_not_live_and_ends_the_agent() {
    /// What stands in DESIGN 2 is 15 s, 60 s and 60 s; the bounds leave room for a busy machine.
    const NOT_LIVE: Duration = Duration::from_secs(40);
    const ENDS: Duration = Duration::from_secs(100);
    const UNREGISTERED: Duration = Duration::from_secs(75);
    let hooked = program().with_file_name("examples").join("wedged");
    assert!(hooked.exists(), "there is no {}: run `cargo build --release -p vitald --examples`", hooked.display());
    let etcd = Etcd::start();
    // Minutes of waiting, next to no CPU.
    let site = Site::aside().registered_at(&etcd);
    site.plugin("noop", guest("noop"));
    site.drop_in("shop", [service("shop"), check("shop", "noop").of("shop")]);
    let wedge = site.path().join("wedge");
    let mut agent = Agent::start_program(&site, &hooked, &[("VITALD_WEDGE_FILE", wedge.as_os_str())]);
    eventually("the key is there", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));

    std::fs::write(&wedge, "").unwrap();
    let wedged = Instant::now();
    eventually("/health/live is 503", NOT_LIVE, || agent.answers("/health/live", 503));
    println!("measured: stuck: not live after {:.1?} (budget 20 s)", wedged.elapsed());
    let left = |since: Instant, budget: Duration| budget.saturating_sub(since.elapsed());
    let code = agent.end(left(wedged, ENDS));
    println!("measured: stuck: ended with {code} after {:.1?} (budget 75 s)", wedged.elapsed());
    assert_eq!(code, 70);
    eventually("the key is gone", left(wedged, UNREGISTERED), || {
        that(etcd.get(KEY).is_none(), || "it is there".into())
    });
    println!("measured: stuck: unregistered after {:.1?}", wedged.elapsed());
}
