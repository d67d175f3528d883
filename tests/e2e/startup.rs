//! How long a start takes until the agent answers, with all bundled checkers in use: with their code compiled before,
//! and without.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Agent, Listener, Manner, Redis, Site, alone, check, eventually, that, timed};

const SOON: Duration = Duration::from_secs(20);
/// Ten times the target (DESIGN 10: start to first answer, code cached).
const FIRST: Duration = Duration::from_secs(1);
/// Ten times what compiling all of it takes here.
const COMPILED: Duration = Duration::from_secs(60);

/// A host with a check of each bundled checker.
struct Host {
    site: Site,
    _redis: Redis,
    _listener: Listener,
}

/// Times from the start on.
#[derive(Default)]
struct Series {
    what: &'static str,
    first: Vec<Duration>,
    well: Vec<Duration>,
}

impl Host {
    fn new() -> Self {
        let (redis, listener) = (Redis::start(), Listener::start(Manner::Closing));
        let site = Site::new().with_defaults("interval = \"1s\"\ntimeout = \"900ms\"\nstale_after = \"300s\"");
        let own = format!("http://127.0.0.1:{}/health/live", site.port());
        site.drop_in(
            "checks",
            [
                check("tcp", "tcp").target(&listener.url()),
                check("redis", "redis").target(&redis.url()),
                check("http", "http").target(&own),
                // How well this machine is does not matter.
                check("host", "host").line("allow = [\"host\"]").with("severity", "info"),
            ],
        );
        Self { site, _redis: redis, _listener: listener }
    }

    /// One start: until the first answer, which is that, and on until all is well.
    fn start(&self, series: &mut Series, code: u16) {
        let (agent, first) = Agent::start_timed(&self.site, "/health", |answer| {
            assert_eq!(answer.code, code, "the first answer, {}: {}", series.what, answer.body);
            true
        });
        series.first.push(first);
        stop(agent);
    }

    fn start_until_well(&self, series: &mut Series) {
        let (agent, well) = Agent::start_timed(&self.site, "/health", |answer| answer.code == 200);
        series.well.push(well);
        for name in ["tcp", "redis", "http", "host"] {
            // Remembered verdicts are there at once, and the code perhaps not yet.
            eventually("it is compiled", COMPILED, || {
                let plugin = agent.plugin(name).ok_or("it is not listed")?;
                that(plugin["state"] == "ready", || plugin.to_string())
            });
            if name != "host" {
                agent.until(name, "UP");
            }
        }
        stop(agent);
    }

    /// Forgets what a start can do without.
    fn forget(&self, what: &str) {
        let path = self.site.path().join(what);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
    }
}

impl Series {
    fn of(what: &'static str) -> Self {
        Self { what, ..Self::default() }
    }

    fn report(&mut self) {
        for (until, times) in [("the first /health answer", &mut self.first), ("the first 200", &mut self.well)] {
            if times.is_empty() {
                continue;
            }
            times.sort();
            let (min, median, max) = (times[0], times[times.len() / 2], times[times.len() - 1]);
            println!(
                "measured: {}: start to {until}: min {min:.1?}, median {median:.1?}, max {max:.1?} of {}",
                self.what,
                times.len()
            );
        }
    }
}

fn stop(mut agent: Agent) {
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
}

fn measure(starts: usize) {
    let _machine = alone();
    let host = Host::new();
    let mut cold = Series::of("nothing compiled, nothing remembered");
    let mut warm = Series::of("all compiled, nothing remembered");
    let mut restored = Series::of("all compiled, all remembered");
    let mut recompiled = Series::of("nothing compiled, all remembered");
    for _ in 0..starts {
        host.forget("state");
        host.start(&mut cold, 503);
        host.forget("state");
        host.start_until_well(&mut cold);
        host.start(&mut restored, 200);
        host.start_until_well(&mut restored);
        host.forget("state/compiled");
        host.start(&mut recompiled, 200);
        host.start_until_well(&mut recompiled);
        // Of the state only the code is left.
        fs::rename(host.site.path().join("state/compiled"), host.site.path().join("compiled")).unwrap();
        host.forget("state");
        fs::create_dir(host.site.path().join("state")).unwrap();
        fs::set_permissions(host.site.path().join("state"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(host.site.path().join("compiled"), host.site.path().join("state/compiled")).unwrap();
        host.start(&mut warm, 503);
        host.start_until_well(&mut warm);
    }
    for series in [&mut cold, &mut warm, &mut restored, &mut recompiled] {
        series.report();
        let median = series.first[series.first.len() / 2];
        assert!(median < FIRST, "{}: {median:?}", series.what);
    }
}

#[test]
fn the_first_answer_comes_at_once() {
    measure(2);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn long_ten_starts_of_each_kind() {
    measure(10);
}

#[test]
fn a_start_says_what_it_compiles_and_when_it_has() {
    let host = Host::new();
    let agent = host.site.start();
    timed("start until all bundled checkers are compiled and judge", COMPILED, || agent.answers("/health", 200));
    let log = agent.log();
    for wanted in ["compiling 4 plugins", "1 of 4", "4 of 4", "all plugins are ready after"] {
        assert!(log.contains(wanted), "nobody says {wanted:?}:\n{log}");
    }
    stop(agent);
    let agent = host.site.start();
    agent.until_health(200);
    let log = agent.log();
    assert_eq!(log.matches("compiling 4 plugins").count(), 1, "the second start has nothing to compile:\n{log}");
}
