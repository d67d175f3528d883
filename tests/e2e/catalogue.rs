//! Every hostile checker that we can think of, one after the other, in an agent that has better things to do: a
//! service that it keeps registered, and fifty good checks that must not notice anything.

use std::time::{Duration, Instant};

use crate::harness::{
    Agent, Etcd, Key, Listener, Manner, Metrics, Poll, Site, Table, alone, by_hand, check, eventually, guest, service,
    that, with_schema,
};

const SOON: Duration = Duration::from_secs(20);
const KEY: &str = "/services/shop/shop-host-1";
const GOOD: usize = 50;
/// How far the memory of all guests may be from what it was: a good check's run holds so much while it lasts.
const RUN: f64 = (1 << 20) as f64;
/// What the resident memory of an agent may grow by beside the 10 %: each compilation leaves pieces that the allocator
/// gives back when it pleases, and none of the sins in the warm-up is a large plugin.
const ALLOCATOR: u64 = 10 << 20;
/// Sins that are committed before resident memory is looked at: what they touch of the pool stays warm.
const WARM_UP: usize = 6;
/// The first bytes of compiled code as wasmtime stores it: an ELF file.
const COMPILED: &[u8] = b"\x7fELF\x02\x01\x01\xc8wasmtime";
const REDIRECT: &str = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n";

/// What becomes of a sin.
enum Fate {
    /// Its runs end with this fault.
    Fault(&'static str),
    /// The plugin is not loaded.
    Refused,
    /// It looks as if the target hung, which is evidence.
    Timeout,
    /// It may do that.
    Harmless,
}
use Fate::{Fault, Harmless, Refused, Timeout};

/// A plugin, and the check that it runs for.
struct Sin {
    name: &'static str,
    plugin: Vec<u8>,
    check: Table,
    fate: Fate,
    /// What the check's message, or the reason of the refusal, has in it.
    says: &'static str,
}

impl Sin {
    fn new(name: &'static str, plugin: Vec<u8>, fate: Fate, says: &'static str) -> Self {
        Self { name, plugin, check: check(name, name), fate, says }
    }

    fn line(mut self, line: &str) -> Self {
        self.check = self.check.line(line);
        self
    }

    /// Gives it time to go through with it.
    fn patient(self) -> Self {
        self.line("timeout = \"3s\"").line("interval = \"3s\"")
    }

    fn at(mut self, target: &str) -> Self {
        self.check = self.check.target(target);
        self
    }
}

fn written(name: &'static str, fate: Fate, says: &'static str) -> Sin {
    Sin::new(name, guest(name), fate, says)
}

fn lying(name: &'static str, fate: Fate, says: &'static str) -> Sin {
    Sin::new(name, by_hand(name), fate, says)
}

/// A way to where there is no grant for.
fn trespassing(name: &'static str, via: &str) -> Sin {
    let params = format!("params = {{ to = \"127.0.0.1:1\", via = {via:?} }}");
    Sin::new(name, guest("trespasser"), Fault("denied"), "").line(&params)
}

fn telling(name: &'static str, via: &str) -> Sin {
    let params = format!("params = {{ name = \"SECRET.evil.example\", via = {via:?} }}");
    Sin::new(name, guest("exfiltrator"), Fault("denied"), "").line(&params)
}

/// Computing, and taking what others need.
fn greed() -> Vec<Sin> {
    vec![
        written("allocator", Fault("limit"), "memory: more than the 64 MiB"),
        written("huge", Fault("limit"), "host call: more than 1024 KiB"),
        written("looper", Fault("cpu"), "still computing after 300 ms"),
        written("describe_loop", Refused, "describe failed: cpu"),
        lying("start_loop", Refused, "describe failed: cpu"),
        lying("table_bomb", Fault("limit"), "table"),
        lying("instance_bomb", Refused, "does not fit the sandbox"),
        written("recurser", Fault("limit"), "stack: too deep a recursion"),
        lying("gigabyte", Fault("trap"), "out of bounds"),
        lying("million", Fault("limit"), "host call: more than 1024 KiB"),
        lying("endless_list", Fault("trap"), "out of bounds"),
        written("flood", Harmless, "red"),
        written("mislabeler", Harmless, "measured"),
        written("log_flood", Harmless, "said all of it").patient(),
        written("stderr_flood", Fault("trap"), "flooding, line 0").patient(),
        written("sleeper", Fault("idle"), "slept past the deadline"),
    ]
}

/// Using the network as it is not meant to be used.
fn trespasses(silent: &Listener, redirecting: &Listener) -> Vec<Sin> {
    let redirecting = format!("http://127.0.0.1:{}", redirecting.port());
    vec![
        written("hanger", Timeout, "timeout after 300 ms: read 127.0.0.1:").at(&silent.url()),
        written("stuffer", Timeout, "timeout after 300 ms: write 127.0.0.1:").at(&silent.url()),
        written("hoarder", Harmless, "hoarded 32: ").at(&silent.url()).patient(),
        written("hoarder_std", Harmless, "hoarded 32: ").at(&silent.url()).patient(),
        trespassing("by_net", "net"),
        trespassing("by_std", "std"),
        trespassing("by_udp", "udp"),
        trespassing("by_connected_udp", "udp-connected"),
        trespassing("by_http", "http"),
        telling("tells_by_net", "net"),
        telling("tells_by_std", "std"),
        written("redirected", Fault("denied"), "127.0.0.1:1").at(&redirecting),
    ]
}

/// Crashing, and lying to whoever called.
fn lies() -> Vec<Sin> {
    vec![
        written("quitter", Fault("trap"), "it exited with code 1"),
        written("trapper", Fault("trap"), "deliberate"),
        written("describe_trap", Refused, "deliberate: describe"),
        lying("bad_utf8", Fault("trap"), "utf-8"),
        lying("bad_description", Refused, "utf-8"),
        lying("out_of_bounds", Fault("trap"), "out of bounds"),
        lying("unaligned", Fault("trap"), "align"),
        lying("bad_discriminant", Fault("trap"), "discriminant"),
        lying("bad_status", Fault("trap"), "discriminant"),
        lying("bad_realloc", Fault("trap"), "realloc"),
    ]
}

/// Being no checker at all, or one whose schema is the weapon.
fn impostors() -> Vec<Sin> {
    let whole = guest("noop");
    let slow = r#"{"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}"#;
    let params = format!("params = {{ x = \"{}!\" }}", "a".repeat(10_000));
    vec![
        Sin::new("core_module", b"\0asm\x01\0\0\0".to_vec(), Refused, "it is a core module"),
        Sin::new("empty", Vec::new(), Refused, "not a component"),
        Sin::new("truncated", whole[..whole.len() / 2].to_vec(), Refused, "does not compile"),
        Sin::new("zeros", vec![0; 64 << 20], Refused, "not a component"),
        Sin::new("compiled", COMPILED.to_vec(), Refused, "not a component"),
        lying("unknown_import", Refused, "evil:world/power@1.0.0"),
        Sin::new("remote_schema", with_schema(r#"{"$ref": "https://evil.example/s"}"#), Refused, "outside of its own"),
        Sin::new("doubling_schema", with_schema(&doubling(40)), Refused, "expands to more"),
        Sin::new("slow_schema", with_schema(slow), Fault("invalid-params"), "params.x").line(&params),
    ]
}

/// A schema of that many definitions, each of which is the next one twice.
fn doubling(times: usize) -> String {
    let link =
        |n: usize| format!(r##""d{n}": {{"allOf": [{{"$ref": "#/$defs/d{0}"}}, {{"$ref": "#/$defs/d{0}"}}]}}"##, n + 1);
    let links: Vec<String> = (0..times).map(link).collect();
    format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{}, "d{times}": {{}}}}}}"##, links.join(", "))
}

/// The agent that all of it happens to.
struct World {
    site: Site,
    agent: Agent,
    etcd: Etcd,
    key: Key,
    begun: Instant,
}

impl World {
    fn start(target: &Listener) -> Self {
        let etcd = Etcd::start();
        let site = Site::new().registered_at(&etcd);
        site.plugin("noop", guest("noop"));
        site.drop_in("shop", [service("shop"), check("shop", "noop").of("shop")]);
        let table = |n| match n % 2 {
            0 => check(&good(n), "noop"),
            _ => check(&good(n), "tcp").target(&target.url()),
        };
        site.drop_in("good", (0..GOOD).map(|n| table(n).with("interval", "1s").with("timeout", "1s")));
        let agent = site.start();
        for n in 0..GOOD {
            agent.until(&good(n), "UP");
        }
        let key = eventually("the key is there", SOON, || etcd.get(KEY).ok_or_else(|| "no key".into()));
        Self { site, agent, etcd, key, begun: Instant::now() }
    }

    /// Drops a sin in, sees it punished, and takes it away.
    fn suffers(&self, sin: &Sin) {
        let (begun, before) = (Instant::now(), held(&self.agent.metrics()));
        self.site.plugin(sin.name, &sin.plugin);
        self.site.drop_in(sin.name, [sin.check.clone()]);
        let seen = eventually(&format!("{} is punished", sin.name), SOON, || self.punished(sin));
        let punished = begun.elapsed();
        self.nobody_noticed(sin.name);
        self.site.remove_drop_in(sin.name);
        std::fs::remove_file(self.site.plugin_path(sin.name)).unwrap();
        let after = eventually(&format!("{} is gone with all it had", sin.name), SOON, || self.is_rid_of(sin, before));
        println!(
            "measured: {}: {} after {punished:.1?}, gone after {:.1?}; guests {:.1} -> {:.1} MiB, resident {} MiB; {}",
            sin.name,
            seen["reason"].as_str().or(seen["status"].as_str()).unwrap_or_default(),
            begun.elapsed(),
            before / RUN,
            after / RUN,
            self.agent.resident() >> 20,
            message(&seen).chars().take(160).collect::<String>(),
        );
    }

    fn punished(&self, sin: &Sin) -> Result<serde_json::Value, String> {
        let answer = self.agent.try_get(&format!("/health/checks/{}", sin.name))?;
        that(answer.code != 404, || "not there yet".into())?;
        let seen = answer.json();
        let (status, result) = match sin.fate {
            Fault(reason) => ("UNKNOWN", reason),
            Refused => ("UNKNOWN", "no-checker"),
            Timeout => ("DOWN", "timeout"),
            Harmless => ("UP", "up"),
        };
        that(seen["status"] == status, || seen.to_string())?;
        that(status != "UNKNOWN" || seen["reason"] == result, || seen.to_string())?;
        // A fault says nothing of the target.
        that(status != "UNKNOWN" || seen["last"].is_null(), || seen.to_string())?;
        that(message(&seen).contains(sin.says), || format!("without {:?}: {seen}", sin.says))?;
        if let Refused = sin.fate {
            let plugin = self.agent.plugin(sin.name).ok_or_else(|| "the plugin is not listed".to_owned())?;
            let says = plugin["error"].as_str().is_some_and(|error| error.contains(sin.says));
            that(plugin["state"] == "broken" && says, || plugin.to_string())?;
        }
        let ended = self.agent.metrics().sum("vitald_check_runs_total", &[("check", sin.name), ("result", result)]);
        that(ended >= 1.0, || format!("no run has ended with {result}")).map(|()| seen)
    }

    fn nobody_noticed(&self, name: &str) {
        let metrics = self.agent.metrics();
        for good in (0..GOOD).map(good) {
            let of = |result| metrics.sum("vitald_check_runs_total", &[("check", good.as_str()), ("result", result)]);
            let all = metrics.sum("vitald_check_runs_total", &[("check", &good)]);
            let skipped = |reason| metrics.sum("vitald_check_skipped_total", &[("check", &good), ("reason", reason)]);
            let (overloaded, overlap) = (skipped("overloaded"), skipped("overlap"));
            assert!(
                all == of("up") && overloaded + overlap == 0.0,
                "{good} beside {name}: {all} runs, {} up; skipped: {overloaded} overloaded, {overlap} overlapping",
                of("up"),
            );
        }
        assert_eq!(metrics.sum("vitald_registry_leases_lost_total", &[]), 0.0, "beside {name}");
        assert_eq!(self.etcd.get(KEY).as_ref(), Some(&self.key), "the key was touched beside {name}");
        assert!(self.etcd.lease_left(self.key.lease) > 0);
    }

    fn is_rid_of(&self, sin: &Sin, before: f64) -> Result<f64, String> {
        let check = self.agent.try_get(&format!("/health/checks/{}", sin.name))?;
        that(check.code == 404, || check.body)?;
        that(self.agent.plugin(sin.name).is_none(), || "the plugin is there".into())?;
        let now = held(&self.agent.metrics());
        that(now <= (before * 1.1).max(before + RUN), || format!("{now} bytes of guests, {before} before"))?;
        Ok(now)
    }

    /// Once a second, since the beginning.
    fn missed_no_run(&self) {
        let due = self.begun.elapsed().as_secs() as f64;
        let metrics = self.agent.metrics();
        for good in (0..GOOD).map(good) {
            let runs = metrics.sum("vitald_check_runs_total", &[("check", &good)]);
            assert!(runs >= due * 0.95 - 1.0, "{good}: {runs} runs in {due} s");
        }
    }
}

fn good(n: usize) -> String {
    format!("good-{n}")
}

/// The memory of all guests, in bytes.
fn held(metrics: &Metrics) -> f64 {
    metrics.sum("vitald_sandbox_memory_bytes", &[])
}

fn message(seen: &serde_json::Value) -> &str {
    seen["message"].as_str().unwrap_or_default()
}

#[test]
fn each_sin_has_its_name_and_nobody_else_notices() {
    // Other tests that burn CPU would cost the good checks a run, and the sins would be blamed for it.
    let _machine = alone();
    let (silent, closing) = (Listener::start(Manner::Silent), Listener::start(Manner::Closing));
    let redirecting = Listener::start(Manner::Answering(REDIRECT));
    let world = World::start(&closing);
    let agent = &world.agent;
    let live = Poll::start(agent, "/health/live", 200);
    let serving = Poll::start(agent, "/health/services/shop", 200);
    let revision = world.etcd.revision();

    let sins = [greed(), trespasses(&silent, &redirecting), lies(), impostors()];
    let mut warm = 0;
    for (n, sin) in sins.iter().flatten().enumerate() {
        world.suffers(sin);
        if n < WARM_UP {
            warm = agent.resident();
        }
    }

    world.missed_no_run();
    let slowest = live.stop();
    assert!(slowest < Duration::from_secs(1), "/health/live took {slowest:?}");
    serving.stop();
    assert_eq!(world.etcd.events_since(revision, "/services"), Vec::<String>::new());
    println!("measured: resident memory: {} MiB after {WARM_UP} sins, then {} MiB", warm >> 20, agent.resident() >> 20);
    eventually("resident memory is what it was", SOON, || {
        let now = agent.resident();
        that(now <= warm / 10 * 11 + ALLOCATOR, || format!("{now} bytes, {warm} when warm"))
    });
}

#[test]
fn compiled_code_in_a_plugin_directory_is_none_of_ours() {
    let site = Site::new();
    crate::harness::write(&site.path().join("plugins/swift.cwasm"), COMPILED);
    site.drop_in("checks", [check("swift", "swift")]);
    let agent = site.start();
    agent.until_unknown("swift", "no-checker");
    assert!(agent.plugin("swift").is_none());
    agent.until_health(200);
}
