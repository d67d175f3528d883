//! What an agent remembers over its end: used while it still says something, and never more than it says.

mod disks;
mod kills;
mod unusable;

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Agent, Etcd, Listener, Manner, Poll, Redis, Site, Watcher, check, eventually, guest, service, that, throughout,
};
use crate::registration::{KEY, settled};

pub const SOON: Duration = Duration::from_secs(15);
const STALE_AFTER: Duration = Duration::from_secs(3);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A run takes as long as it may where its target says nothing.
const DEFAULTS: &str = "interval = \"1200ms\"\ntimeout = \"1s\"\nfall = 2\nrise = 1\nstale_after = \"3s\"";

/// A registered shop whose agent and then whose target were stopped.
struct Stopped {
    etcd: Etcd,
    site: Site,
    redis: Redis,
    /// Where the target was: it accepts, and says nothing.
    silent: Listener,
    watcher: Watcher,
}

impl Stopped {
    fn after(start: impl Fn(&Site) -> Agent) -> Self {
        let (etcd, mut redis) = (Etcd::start(), Redis::start());
        let site = Site::new().registered_at(&etcd).with_defaults(DEFAULTS);
        site.plugin("counter", guest("counter"));
        let own = check("own", "counter").target("tcp://127.0.0.1:1").with("stale_after", "3s");
        site.drop_in("shop", [service("shop"), check("cache", "redis").of("shop").target(&redis.url()), own]);
        let mut agent = start(&site);
        settled(&site, &etcd);
        agent.until("own", "UP");
        agent.signal(Signal::TERM);
        assert_eq!(agent.end(SOON), 0);
        assert!(etcd.get(KEY).is_none(), "an agent that ends takes its key along");
        redis.kill();
        let silent = Listener::on(redis.port(), Manner::Silent);
        let watcher = Watcher::start(&etcd, "/services");
        Self { etcd, site, redis, silent, watcher }
    }

    /// It knows nothing until its first run has ended, and says so.
    fn begins_anew(mut self, agent: &Agent) {
        let ill = Poll::start(agent, "/health", 503);
        let seen = eventually("the checks are known", SOON, || {
            let seen = agent.get("/health").json();
            that(seen["details"]["cache"].is_object(), || seen.to_string()).map(|()| seen)
        });
        let all = (&seen["status"], &seen["worst"], &seen["details"]["cache"]["status"]);
        assert_eq!(all, (&"DOWN".into(), &"PENDING".into(), &"PENDING".into()), "{seen}");
        assert!(agent.log().matches("is not used").count() == 0, "what is too old is not damaged: {}", agent.log());
        agent.until("cache", "DOWN");
        throughout("it is not registered", Duration::from_millis(500), || self.watcher.saw_nothing());
        ill.stop();
        assert!(self.watcher.all_notes(&self.etcd).is_empty(), "{:?}", self.watcher.notes());

        self.silent.close();
        self.redis.restart();
        agent.until("cache", "UP");
        eventually("it is registered", SOON, || that(self.etcd.get(KEY).is_some(), || "no key".into()));
        agent.until_health(200);
    }
}

#[test]
fn what_is_young_holds_at_once() {
    let stopped = Stopped::after(Site::start);
    let agent = stopped.site.start();
    // Nobody who could be asked would say so now.
    agent.until_health(200);
    eventually("it is registered by what is remembered", SOON, || {
        that(stopped.etcd.get(KEY).is_some(), || "no key".into())
    });
    agent.until("cache", "DOWN");
    eventually("it is gone once that is confirmed", SOON, || that(stopped.etcd.get(KEY).is_none(), || "a key".into()));
    let verbs: Vec<String> = stopped.watcher.all_notes(&stopped.etcd).iter().map(|n| n.verb().to_owned()).collect();
    assert_eq!(verbs, ["PUT", "DELETE"]);
}

#[test]
fn what_is_older_than_stale_after_is_forgotten() {
    let stopped = Stopped::after(Site::start);
    throughout("nobody registers it", STALE_AFTER, || stopped.watcher.saw_nothing());
    let agent = stopped.site.start();
    stopped.begins_anew(&agent);
}

#[test]
fn what_is_of_another_boot_is_forgotten() {
    let stopped = Stopped::after(Site::start);
    let agent = Agent::after_another_boot(&stopped.site);
    stopped.begins_anew(&agent);
}

#[test]
fn what_a_clock_a_year_ahead_calls_old_is_forgotten() {
    let stopped = Stopped::after(Site::start);
    let agent = Agent::with_boot_clock_ahead(&stopped.site, YEAR);
    stopped.begins_anew(&agent);
}

#[test]
fn what_has_not_happened_yet_is_forgotten() {
    let stopped = Stopped::after(|site| Agent::with_boot_clock_ahead(site, YEAR));
    let agent = stopped.site.start();
    stopped.begins_anew(&agent);
}
