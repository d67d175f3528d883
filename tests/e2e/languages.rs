//! The examples in other languages (sdk/examples), each against real servers: they judge as the SDK for Rust does, in the
//! same words.

use std::time::Duration;

use crate::harness::{
    Agent, Ca, Dns, Greeter, Listener, Manner, QUICK, Said, Site, Table, check, component, eventually, that,
};

/// A component of 18 MB is compiled first, on a machine that others use too.
const COMPILED: Duration = Duration::from_secs(180);
/// No UTF-8, an escape sequence, and more than fits into a message.
const HOSTILE: &[u8] = b"220 \xff\xfe\x1b[2J\x00";

/// The servers that one example is sent to.
struct World {
    dns: Dns,
    ca: Ca,
    greeter: Greeter,
    other: Greeter,
    hostile: Greeter,
    tls: Greeter,
    silent: Listener,
    closing: Listener,
    refusing: u16,
}

/// A check, and what it is to show.
struct Wanted {
    name: &'static str,
    check: Table,
    /// A status, or the reason of UNKNOWN.
    shows: &'static str,
    message: String,
}

impl World {
    fn start() -> Self {
        let (ca, dns) = (Ca::new(), Dns::start(60));
        dns.says("gone.test", [Said::NoSuchName]);
        dns.says("lost.test", [Said::ServerFailure]);
        // A name that leads inwards is not followed.
        dns.says("inwards.test", [Said::address("127.0.0.1")]);
        let mut refusing = Listener::start(Manner::Closing);
        refusing.close();
        Self {
            greeter: Greeter::start("220 mail ready\r\n250 more\r\n"),
            other: Greeter::start("SSH-2.0-x\n"),
            hostile: Greeter::start([HOSTILE, "é".repeat(3000).as_bytes()].concat()),
            tls: Greeter::over_tls("220 secure\r\n", &ca.server(&["127.0.0.1"])),
            silent: Listener::start(Manner::Silent),
            closing: Listener::start(Manner::Closing),
            refusing: refusing.port(),
            ca,
            dns,
        }
    }

    fn judged(&self, component: &str) -> Vec<Wanted> {
        let to = |name, port: u16| check(name, component).target(&format!("tcp://127.0.0.1:{port}"));
        let is = |name, check, shows, message: &str| Wanted { name, check, shows, message: message.to_owned() };
        let other = self.other.port();
        vec![
            is("up", to("up", self.greeter.port()), "UP", "220 mail ready"),
            is("other", to("other", other), "DOWN", "unexpected greeting: SSH-2.0-x"),
            is("told", to("told", other).line("params = { starts_with = \"SSH-\" }"), "UP", "SSH-2.0-x"),
            is("hostile", to("hostile", self.hostile.port()), "UP", "220 "),
            is("typo", to("typo", other).line("params = { start_with = \"SSH-\" }"), "invalid-params", "start_with"),
            is("type", to("type", other).line("params = { starts_with = 220 }"), "invalid-params", "starts_with"),
        ]
    }

    fn failing(&self, component: &str) -> Vec<Wanted> {
        let to = |name: &'static str, host: &str, port: u16, shows, message: &str| {
            let message = message.replace("PEER", &format!("{host}:{port}"));
            Wanted { name, check: check(name, component).target(&format!("tcp://{host}:{port}")), shows, message }
        };
        let home = "127.0.0.1";
        vec![
            to("refused", home, self.refusing, "DOWN", "connect PEER: refused"),
            to("closed", home, self.closing.port(), "DOWN", "read PEER: connection closed"),
            to("silent", home, self.silent.port(), "DOWN", "timeout after 1000 ms: read PEER"),
            to("gone", "gone.test", 9, "DOWN", "connect PEER: name not found"),
            to("lost", "lost.test", 9, "resolver", "connect PEER: no resolver answered"),
            to("inwards", "inwards.test", 9, "denied", "connect PEER: denied"),
        ]
    }

    fn secured(&self, component: &str) -> Vec<Wanted> {
        let target = format!("smtps://127.0.0.1:{}", self.tls.port());
        let trusting = format!("tls = {{ ca_file = {:?} }}", self.ca.file());
        let secure = check("secure", component).target(&target).line(&trusting);
        let strange = check("strange", component).target(&target);
        let failed = format!("TLS with 127.0.0.1:{}: ", self.tls.port());
        vec![
            Wanted { name: "secure", check: secure, shows: "UP", message: "220 secure".to_owned() },
            Wanted { name: "strange", check: strange, shows: "DOWN", message: failed },
        ]
    }
}

impl Wanted {
    fn is_shown(&self, agent: &Agent) -> Result<(), String> {
        let seen = agent.check(self.name);
        let shown = ["status", "reason"].iter().any(|key| seen[key] == self.shows);
        let message = seen["message"].as_str().unwrap_or_default();
        that(shown && message.contains(&self.message), || seen.to_string())
    }
}

fn judges(name: &'static str) {
    let world = World::start();
    let all = [world.judged(name), world.failing(name), world.secured(name)];
    let wanted: Vec<Wanted> = all.into_iter().flatten().collect();
    let site = Site::new().with_defaults(QUICK).with("dns", &world.dns.table());
    site.plugin(name, component(name));
    site.drop_in("all", wanted.iter().map(|wanted| wanted.check.clone()));
    let agent = site.start();
    for wanted in &wanted {
        let what = format!("{name}: {} shows {} and {:?}", wanted.name, wanted.shows, wanted.message);
        eventually(&what, COMPILED, || wanted.is_shown(&agent));
    }
    let connect = agent.metrics().get("vitald_value_connect_seconds", &[("check", "up")]);
    assert!(connect.is_some_and(|took| took > 0.0 && took < 1.0), "connecting took {connect:?} s");
    let handshake = agent.metrics().get("vitald_check_phase_seconds", &[("check", "secure"), ("phase", "tls")]);
    assert!(handshake.is_some_and(|took| took > 0.0), "the handshake took {handshake:?} s");
    measure(&agent, name);
}

/// What a run costs, over those that got their greeting.
fn measure(agent: &Agent, name: &str) {
    let runs = || agent.metrics().sum("vitald_check_runs_total", &[("check", "up"), ("result", "up")]);
    eventually("ten runs", COMPILED, || that(runs() >= 10.0, || runs().to_string()));
    let metrics = agent.metrics();
    let of = |name| metrics.sum(name, &[("check", "up")]);
    println!(
        "measured: {name}: {} KiB; a run takes {:.2} ms, {:.2} ms of CPU and {:.1} MiB",
        component(name).len() >> 10,
        of("vitald_check_last_duration_seconds") * 1e3,
        of("vitald_check_cpu_seconds_total") * 1e3 / of("vitald_check_runs_total"),
        of("vitald_check_memory_peak_bytes") / 1_048_576.0
    );
}

#[test]
fn python_judges_as_rust_does() {
    judges("python-banner");
}

#[test]
fn javascript_judges_as_rust_does() {
    judges("javascript-banner");
}

#[test]
fn c_judges_as_rust_does() {
    judges("c-banner");
}
