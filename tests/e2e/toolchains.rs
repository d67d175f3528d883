//! Checkers that other toolchains made, with their own sockets and their own HTTP: they work under the grants that bind
//! everyone, and only there.

use std::time::Duration;

use crate::harness::{
    Agent, Listener, Manner, Nginx, Postgres, Redis, Site, Table, check, component, eventually, that,
};

/// A component of 18 MB is compiled first, on a machine that others use too.
const COMPILED: Duration = Duration::from_secs(180);
/// An interpreter wakes up in each run.
const DEFAULTS: &str = "interval = \"1s\"\ntimeout = \"1s\"\nfall = 2\nrise = 2\nstale_after = \"60s\"";

/// A component, and the server that it asks.
struct Case {
    component: &'static str,
    /// Of the server, by address.
    target: String,
    port: u16,
    /// What `params.to` is, to go there from a check with another target.
    to: String,
}

impl Case {
    /// A check whose target is the server.
    fn at_home(&self, name: &str) -> Table {
        self.check(name).target(&self.target)
    }

    /// The same by a name of the hosts file.
    fn by_name(&self, name: &str) -> Table {
        self.check(name).target(&self.target.replace("127.0.0.1", "localhost"))
    }

    /// A check whose target is elsewhere, and that goes to the server all the same.
    fn astray(&self, name: &str, elsewhere: u16) -> Table {
        let target = self.target.replace(&format!(":{}", self.port), &format!(":{elsewhere}"));
        self.check(name).target(&target).line(&format!("params = {{ to = {:?} }}", self.to))
    }

    fn check(&self, name: &str) -> Table {
        check(name, self.component)
    }

    /// Runs it, beside other checks: it gets where its target is or `allow` leads, and nowhere else.
    fn run(&self, others: impl IntoIterator<Item = Table>) -> (Site, Agent) {
        let elsewhere = Listener::start(Manner::Closing);
        let site = Site::new().with_defaults(DEFAULTS);
        site.plugin(self.component, component(self.component));
        let allow = format!("allow = [\"tcp://127.0.0.1:{}\"]", self.port);
        let allowed = self.astray("allowed", elsewhere.port()).line(&allow);
        let astray = self.astray("astray", elsewhere.port());
        site.drop_in("all", [self.at_home("home"), self.by_name("named"), allowed, astray].into_iter().chain(others));
        let agent = site.start();
        for name in ["home", "named", "allowed"] {
            eventually(&format!("{name} is UP"), COMPILED, || agent.shows(name, "UP"));
            assert_eq!(denials(&agent, name), 0.0, "{name} was refused something");
        }
        eventually("astray is refused", COMPILED, || agent.unknown("astray", "denied"));
        self.is_told(&agent);
        self.measure(&agent);
        (site, agent)
    }

    /// Of the refusal: a number, and one line with what would allow it.
    fn is_told(&self, agent: &Agent) {
        assert!(denials(agent, "astray") >= 1.0, "the refusal was not counted");
        let line = format!("may not connect to 127.0.0.1:{}; to allow it, add", self.port);
        let told = agent.log().lines().filter(|l| l.contains("astray") && l.contains(&line)).count();
        assert_eq!(told, 1, "lines that say {line:?}");
    }

    fn measure(&self, agent: &Agent) {
        let metrics = agent.metrics();
        let of = |name| metrics.sum(name, &[("check", "home")]);
        println!(
            "measured: {}: a run takes {:.2} ms and {:.1} MiB",
            self.component,
            of("vitald_check_last_duration_seconds") * 1e3,
            of("vitald_check_memory_peak_bytes") / 1_048_576.0
        );
    }
}

fn denials(agent: &Agent, check: &str) -> f64 {
    agent.metrics().sum("vitald_egress_denied_total", &[("check", check)])
}

fn redis_case(redis: &Redis, component: &'static str, to: String) -> Case {
    Case { component, target: redis.url(), port: redis.port(), to }
}

#[test]
fn rust_with_the_crate_redis_over_std() {
    let redis = Redis::start();
    redis_case(&redis, "rust-redis", redis.url()).run([]);
}

#[test]
fn rust_with_tokio_postgres_over_tokio() {
    let postgres = Postgres::start();
    let to = format!("127.0.0.1:{}", postgres.port());
    let case = Case { component: "rust-tokio-postgres", target: postgres.url(), port: postgres.port(), to };
    let stranger = case.check("stranger").target(&postgres.url().replace(":pg-secret-1@", ":wrong@"));
    let (_site, agent) = case.run([stranger]);
    assert_eq!(agent.check("home")["message"], "select 1 is 1");
    assert!(agent.check("stranger")["message"].as_str().unwrap().contains("password authentication failed"));
}

#[test]
fn python_with_its_socket() {
    let redis = Redis::start();
    let to = format!("127.0.0.1:{}", redis.port());
    redis_case(&redis, "python", to).run([]);
}

#[test]
fn javascript_with_fetch() {
    let server = Nginx::http("/");
    let from = Nginx::http(&server.url());
    let case = Case { component: "javascript", target: server.url(), port: server.port(), to: server.url() };
    let hop = |name| case.check(name).target(&format!("{}/away", from.url()));
    let allow = format!("allow = [\"tcp://127.0.0.1:{}\"]", server.port());
    let (_site, agent) = case.run([hop("hop"), hop("hop-allowed").line(&allow)]);
    eventually("a hop that is allowed is UP", COMPILED, || agent.shows("hop-allowed", "UP"));
    eventually("a hop that is not is refused", COMPILED, || {
        let seen = agent.check("hop");
        that(seen["status"] != "UP" && denials(&agent, "hop") >= 1.0, || seen.to_string())
    });
    let ran = agent.metrics().sum("vitald_check_runs_total", &[("check", "hop"), ("result", "up")]);
    assert_eq!(ran, 0.0, "a hop without a grant got through");
}
