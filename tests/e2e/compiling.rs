//! Plugins are compiled in processes of their own, while the agent answers and everything else runs: what is slow
//! delays itself, what blows up the compiler costs that process.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Agent, Compiler, Listener, Manner, Poll, Site, bundled, check, cpu_bomb, eventually, guest, memory_bomb, slow,
    stamped, that, throughout, timed, vitald,
};

const SOON: Duration = Duration::from_secs(20);
/// For what takes seconds of CPU, at a lower priority than everything else on this machine.
const COMPILED: Duration = Duration::from_secs(90);
/// Of what it takes in a process of its own, an agent must not see anything.
const MUCH: u64 = 150 << 20;
/// For a check that is judged on a machine that compiles.
const PATIENT: &str = "interval = \"1s\"\ntimeout = \"1s\"\nfall = 3\nstale_after = \"60s\"";

pub fn state(agent: &Agent, name: &str, state: &str) -> Result<Value, String> {
    let seen = agent.plugin(name).ok_or_else(|| format!("{name} is not listed"))?;
    that(seen["state"] == state, || seen.to_string()).map(|()| seen)
}

pub fn until_state(agent: &Agent, name: &str, wanted: &str, budget: Duration) -> Value {
    eventually(&format!("the plugin {name} is {wanted}"), budget, || state(agent, name, wanted))
}

fn says(agent: &Agent, check: &str, message: &str) -> Result<(), String> {
    let seen = agent.check(check);
    that(seen["status"] == "UP" && seen["message"] == message, || seen.to_string())
}

fn error(plugin: &Value) -> &str {
    plugin["error"].as_str().unwrap_or_default()
}

/// A host with a good check, `app`, and beside it one of a plugin that another test puts there.
fn beside(plugin: &str) -> Site {
    let site = Site::new().with_defaults(PATIENT);
    site.plugin("app", guest("noop"));
    site.drop_in("checks", [check("app", "app"), check(plugin, plugin)]);
    site
}

#[test]
fn while_plugins_are_compiled_the_agent_answers_and_what_is_ready_runs() {
    let listener = Listener::start(Manner::Closing);
    let site = beside("slow");
    site.plugin("slow", slow(12));
    site.drop_in("more", [check("bundled", "tcp").target(&listener.url())]);
    let (agent, took) = Agent::start_timed(&site, "/health", |_| true);
    println!("measured: start to first /health answer while three plugins are compiled: {took:.1?} (target 100 ms)");
    agent.answers("/health", 503).unwrap();
    let held = Compiler::busy(&agent).hold();

    agent.until("app", "UP");
    agent.until("bundled", "UP");
    state(&agent, "slow", "compiling").unwrap();
    let seen = agent.check("slow");
    assert_eq!(seen["status"], "PENDING", "{seen}");
    let details = agent.get("/health").json()["details"].clone();
    assert!(details["slow"]["notice"].as_str().unwrap_or_default().contains("compiled"), "{details}");
    assert!(details["app"].get("notice").is_none(), "{details}");
    agent.answers("/health", 503).unwrap();
    agent.answers("/health/live", 200).unwrap();
    assert_eq!(agent.metrics().sum("vitald_compiling", &[]), 1.0);
    let log = agent.log();
    assert!(log.contains("compiling 3 plugins") && log.contains("2 of 3"), "no progress is shown:\n{log}");
    assert!(!log.contains("all plugins are ready"));

    drop(held);
    eventually("it is ready and judges", COMPILED, || says(&agent, "slow", "1.0.0"));
    agent.until_health(200);
    eventually("that is said", SOON, || that(agent.log().contains("all plugins are ready"), || "not yet".into()));
    Compiler::none(&agent).unwrap();
    assert!(agent.check("slow").get("notice").is_none());
}

#[test]
fn an_agent_that_remembers_answers_as_before_while_it_compiles() {
    let site = beside("slow").with_defaults("interval = \"1s\"\ntimeout = \"1s\"\nstale_after = \"300s\"");
    site.plugin("slow", slow(8));
    let mut agent = site.start();
    eventually("both are UP", COMPILED, || agent.answers("/health", 200));
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    std::fs::remove_dir_all(site.path().join("state/compiled")).unwrap();

    let (agent, took) = Agent::start_timed(&site, "/health", |_| true);
    println!("measured: start to first /health answer, nothing compiled and all remembered: {took:.1?}");
    agent.answers("/health", 200).unwrap();
    let _held = Compiler::busy(&agent).hold();
    agent.answers("/health", 200).unwrap();
    agent.shows("slow", "UP").unwrap();
    let log = agent.log();
    assert!(log.matches("compiling").count() >= 2, "it was not compiled anew:\n{log}");
}

#[test]
fn what_takes_long_to_compile_delays_no_other_plugin() {
    let site = beside("slow");
    let agent = site.start();
    agent.until("app", "UP");
    site.plugin("slow", slow(5));
    let held = Compiler::only(&agent).hold();
    // Processes that are told to end with a thread of the agent end with any idle one: those live for ten seconds.
    let begun = Instant::now();
    let mut next = ["version_two", "noop"].into_iter().cycle().zip(0..);
    let swap = |(name, number): (&str, u64)| {
        let message = if name == "noop" { "ok" } else { "ok from version two" };
        site.plugin("app", stamped(&guest(name), number));
        let what = "replaced until the new one judges, beside one that is still compiled (target 1 s)";
        timed(what, Duration::from_secs(10), || says(&agent, "app", message));
    };
    while begun.elapsed() < Duration::from_secs(13) {
        next.by_ref().take(1).for_each(swap);
        throughout("it is compiled", Duration::from_secs(2), || state(&agent, "slow", "compiling").map(drop));
        assert!(!held.compiler().has_ended(), "the compiler is gone after {:?}", begun.elapsed());
    }
    drop(held);
    eventually("it is ready and judges", COMPILED, || says(&agent, "slow", "1.0.0"));
}

#[test]
fn a_component_that_eats_the_compilers_memory_costs_that_process() {
    let site = beside("bomb");
    let agent = site.start();
    agent.until("app", "UP");
    let before = agent.resident();
    let live = Poll::start(&agent, "/health/live", 200);
    let begun = Instant::now();
    site.plugin("bomb", memory_bomb());
    let compiler = Compiler::only(&agent);
    let (mut peak, mut resident) = (0, before);
    eventually("it is broken", COMPILED, || {
        peak = peak.max(compiler.peak());
        resident = resident.max(agent.resident());
        agent.shows("app", "UP").unwrap();
        state(&agent, "bomb", "broken").map(drop)
    });
    let seen = state(&agent, "bomb", "broken").unwrap();
    println!(
        "measured: a component that eats memory: {:?} after {:.1?}; its process had {} MiB, the agent {} MiB more",
        error(&seen),
        begun.elapsed(),
        peak >> 20,
        (resident - before) >> 20
    );
    assert!(error(&seen).contains("compil") && error(&seen).contains("memory"), "{seen}");
    assert!(resident - before < MUCH, "the agent has {resident} bytes, {before} before");
    let slowest = live.stop();
    assert!(slowest < Duration::from_secs(1), "/health/live took {slowest:?}");
    eventually("its check says why", SOON, || {
        agent.unknown("bomb", "no-checker")?;
        let unknown = agent.check("bomb");
        that(unknown["message"].as_str().unwrap().contains("memory"), || unknown.to_string())
    });
    eventually("its process is gone", SOON, || Compiler::none(&agent));
    let failures = [("plugin", "bomb"), ("result", "failure")];
    assert_eq!(agent.metrics().sum("vitald_plugin_reloads_total", &failures), 1.0);

    // What stands in its place is judged for itself.
    site.plugin("bomb", guest("noop"));
    eventually("a good one is loaded", SOON, || says(&agent, "bomb", "ok"));
}

#[test]
fn a_good_version_runs_on_while_the_next_one_blows_up_the_compiler() {
    let site = beside("other");
    site.plugin("other", guest("noop"));
    let agent = site.start();
    agent.until_health(200);
    let healthy = Poll::start(&agent, "/health", 200);
    site.plugin("app", memory_bomb());
    let seen = until_state(&agent, "app", "kept", COMPILED);
    assert!(error(&seen).contains("memory"), "{seen}");
    let notice = agent.check("app")["notice"].as_str().unwrap_or_default().to_owned();
    assert!(notice.contains("memory"), "{notice:?}");
    says(&agent, "app", "ok").unwrap();
    healthy.stop();
}

#[test]
fn a_component_whose_compiler_is_killed_is_tried_again() {
    let site = beside("slow");
    site.plugin("slow", guest("noop"));
    let agent = site.start();
    agent.until_health(200);
    let healthy = Poll::start(&agent, "/health", 200);
    site.plugin("slow", slow(5));
    // As the kernel does where memory runs out: it says nothing of the component.
    for _ in 0..2 {
        let compiler = Compiler::only(&agent);
        compiler.signal(Signal::KILL);
        eventually("it is gone", SOON, || that(compiler.has_ended(), || "it runs".into()));
    }
    says(&agent, "slow", "ok").unwrap();
    eventually("it is tried again, and is well", COMPILED, || says(&agent, "slow", "1.0.0"));
    let log = agent.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("SIGKILL")).collect();
    assert!(!said.is_empty() && said.iter().all(|line| line.contains("plugin slow")), "{said:?}\n{log}");
    healthy.stop();
    let failures = [("plugin", "slow"), ("result", "failure")];
    assert_eq!(agent.metrics().sum("vitald_plugin_reloads_total", &failures), 0.0);
}

#[test]
fn no_compiler_outlives_its_agent() {
    let site = beside("bomb");
    let bombed = || {
        let agent = site.start();
        agent.until("app", "UP");
        site.plugin("bomb", cpu_bomb());
        let compiler = Compiler::only(&agent);
        (agent, compiler)
    };
    let gone = |compiler: Compiler| {
        timed("its compiler is gone", Duration::from_secs(5), || that(compiler.has_ended(), || "it runs".to_owned()));
    };
    let (mut agent, compiler) = bombed();
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    gone(compiler);
    let (mut agent, compiler) = bombed();
    agent.kill();
    gone(compiler);
}

#[test]
fn few_are_compiled_at_once() {
    const PLUGINS: u64 = 6;
    /// The agent has other things to do.
    const AT_ONCE: usize = 2;
    let site = Site::new().with_defaults(PATIENT);
    let names: Vec<String> = (0..PLUGINS).map(|n| format!("slow-{n}")).collect();
    let one = slow(1);
    for (name, number) in names.iter().zip(0..) {
        site.plugin(name, stamped(&one, number));
    }
    site.drop_in("checks", names.iter().map(|name| check(name, name)));
    let agent = site.start();
    let mut most = 0;
    eventually("all are ready", COMPILED, || {
        most = most.max(Compiler::all(&agent).len());
        names.iter().try_for_each(|name| state(&agent, name, "ready").map(drop))
    });
    println!("measured: of {PLUGINS} plugins at most {most} are compiled at once");
    assert!((1..=AT_ONCE).contains(&most), "{most} at once");
}

#[test]
fn the_compilers_command_is_for_the_agent_alone() {
    assert!(!vitald(&["--help"]).stdout.contains("compile "), "it is no command for people");
    let ended = vitald(&["compile"]);
    assert!(ended.code != 0 && ended.stdout.is_empty() && ended.stderr.lines().count() == 1, "{ended:?}");
}

#[test]
fn what_is_no_component_starts_no_compiler() {
    let site = beside("core");
    site.drop_in("more", [check("empty", "empty"), check("text", "text")]);
    site.plugin("core", b"\0asm\x01\0\0\0");
    site.plugin("empty", b"");
    site.plugin("text", "no component at all");
    let agent = site.start();
    agent.until("app", "UP");
    for name in ["core", "empty", "text"] {
        let seen = until_state(&agent, name, "broken", SOON);
        assert!(error(&seen).contains("component"), "{seen}");
    }
    let metrics = agent.metrics();
    assert_eq!(metrics.sum("vitald_compile_seconds_count", &[]), 1.0, "only noop is compiled");
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn long_components_that_never_compile_hold_up_others_for_as_long_as_the_limits_allow() {
    let limits = Duration::from_secs(600);
    let site = beside("bomb-0");
    site.drop_in("more", [check("bomb-1", "bomb-1"), check("late", "late")]);
    let agent = site.start();
    agent.until("app", "UP");
    let before = agent.resident();
    let live = Poll::start(&agent, "/health/live", 200);
    for (number, name) in ["bomb-0", "bomb-1"].into_iter().enumerate() {
        site.plugin(name, stamped(&cpu_bomb(), number as u64));
    }
    eventually("both are compiled", SOON, || {
        let all = Compiler::all(&agent);
        that(all.len() == 2, || format!("{all:?}"))
    });
    let begun = Instant::now();
    site.plugin("late", bundled("tcp"));
    for name in ["bomb-0", "bomb-1"] {
        let seen = eventually("it is broken", limits, || {
            agent.shows("app", "UP").unwrap();
            state(&agent, name, "broken")
        });
        println!("measured: a component that never compiles: {:?} after {:.1?}", error(&seen), begun.elapsed());
        assert!(error(&seen).contains("CPU") || error(&seen).contains("time"), "{seen}");
    }
    until_state(&agent, "late", "ready", SOON);
    println!("measured: one that waited behind two of them was ready after {:.1?}", begun.elapsed());
    live.stop();
    let grown = agent.resident().saturating_sub(before);
    assert!(grown < MUCH, "the agent has {grown} bytes more");
    eventually("no process is left", SOON, || Compiler::none(&agent));
}
