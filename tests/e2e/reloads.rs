//! The configuration changes while the agent runs, and only what changed is another than before: no key goes, no answer
//! is 503, and no check that was not touched runs once more.

mod main_file;
mod shown;
mod torn;
mod vanished;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{
    Agent, Etcd, Listener, Manner, Poll, Redis, Site, Table, Watcher, check, eventually, guest, service, that,
    throughout, timed, vitald_of, write,
};
use crate::registration::{KEY, settled};

const SOON: Duration = Duration::from_secs(30);
/// Nobody connects there: the guest that counts only has a target.
const NOWHERE: &str = "tcp://127.0.0.1:1";

/// Edits the main file.
pub fn edit_main(site: &Site, from: &str, to: &str) {
    let text = fs::read_to_string(site.main()).unwrap();
    assert!(text.contains(from), "there is no {from:?} in {text}");
    write(&site.main(), text.replace(from, to));
}

/// Is what is on disk good, as far as the agent looked?
pub fn is_good(agent: &Agent, good: bool) -> Result<(), String> {
    let seen = agent.metrics().get("vitald_config_last_reload_successful", &[]);
    that(seen == Some(f64::from(u8::from(good))), || format!("vitald_config_last_reload_successful is {seen:?}"))
}

/// A check that says how many runs it remembers.
pub fn counter(name: &str) -> Table {
    check(name, "counter").target(NOWHERE)
}

/// The run that it said last.
pub fn count(agent: &Agent, check: &str) -> Result<u32, String> {
    let seen = agent.check(check);
    let number = seen["message"].as_str().and_then(|text| text.strip_prefix("run ")?.split(' ').next()?.parse().ok());
    number.ok_or_else(|| seen.to_string())
}

/// What `/api/v1/checks` has of a check.
pub fn defined(agent: &Agent, check: &str, key: &str, value: impl Into<serde_json::Value>) {
    let (path, value) = (format!("/api/v1/checks/{check}"), value.into());
    eventually(&format!("{check} has {key} {value}"), SOON, || {
        let seen = agent.get(&path).json();
        that(seen[key] == value, || seen.to_string())
    });
}

/// A registered shop, and everybody who would notice.
struct Shop {
    etcd: Etcd,
    site: Site,
    agent: Agent,
    watcher: Watcher,
    polls: Vec<Poll>,
}

impl Shop {
    fn open(tables: impl IntoIterator<Item = Table>) -> Self {
        Self::open_with("", tables)
    }

    /// With lines of `[registry]`.
    fn open_with(registry: &str, tables: impl IntoIterator<Item = Table>) -> Self {
        let etcd = Etcd::start();
        let site = Site::new().registered_at(&etcd).with("registry", registry);
        for name in ["counter", "noop", "down", "trapper"] {
            site.plugin(name, guest(name));
        }
        site.drop_in("shop", std::iter::once(service("shop")).chain(tables));
        let agent = site.start();
        settled(&site, &etcd);
        agent.until_health(200);
        let watcher = Watcher::start(&etcd, "/services");
        let polls = ["/health", "/health/services/shop"].map(|path| Poll::across_restarts(&agent, path, 200));
        Self { etcd, site, agent, watcher, polls: polls.into() }
    }

    fn nobody_noticed(self) {
        for poll in self.polls {
            poll.stop();
        }
        let notes = self.watcher.all_notes(&self.etcd);
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn changed_definitions_are_seen_by_nobody_outside() {
    let (first, second) = (Listener::start(Manner::Closing), Listener::start(Manner::Closing));
    let redis = Redis::with_password("the-first-one");
    let web = |listener: &Listener| check("web", "tcp").of("shop").target(&listener.url());
    let cache = || {
        let target = format!("redis://:${{file:redis}}@127.0.0.1:{}", redis.port());
        check("cache", "redis").of("shop").target(&target)
    };
    let own = |note: &str| counter("own").of("shop").line(&format!("params = {{ note = {note:?} }}"));
    let shop = Shop::open([web(&first), own("a")]);
    let (site, agent) = (&shop.site, &shop.agent);
    site.secret("redis", "the-first-one");

    let rest = |web: Table, own: Table| site.drop_in("shop", [service("shop"), web, cache(), own]);
    rest(web(&first).with("timeout", "250ms"), own("a"));
    defined(agent, "web", "timeout_ms", 250.0);
    agent.until("cache", "UP");
    rest(web(&first).with("interval", "500ms"), own("a"));
    defined(agent, "web", "interval_ms", 500.0);

    let before = count(agent, "own").unwrap();
    rest(web(&first), own("b"));
    let said = || {
        let seen = agent.check("own");
        that(seen["message"].as_str().is_some_and(|text| text.ends_with(" b")), || seen.to_string())
    };
    timed("changed params until they are run with", SOON, said);
    assert!(count(agent, "own").unwrap() > before, "the state of a check does not go with its params");

    rest(web(&second), own("b"));
    defined(agent, "web", "target", second.url());
    redis.allow_password("the-first-one", "the-second-one");
    site.secret("redis", "the-second-one");
    let judged = || agent.metrics().sum("vitald_check_runs_total", &[("check", "cache"), ("result", "up")]);
    let runs = judged();
    eventually("it logs in by the new password", SOON, || that(judged() >= runs + 2.0, || judged().to_string()));
    redis.forbid_password("the-second-one", "the-first-one");
    edit_main(site, "interval = \"400ms\"", "interval = \"600ms\"");
    defined(agent, "web", "interval_ms", 600.0);
    defined(agent, "own", "interval_ms", 600.0);
    throughout("all are well", Duration::from_secs(2), || {
        ["web", "cache", "own"].iter().try_for_each(|name| agent.shows(name, "UP"))
    });
    shop.nobody_noticed();
}

#[test]
fn checks_come_and_go_and_only_one_that_fails_is_noticed_once_it_is_sure() {
    const FALL: u32 = 4;
    let shop = Shop::open([check("app", "noop").of("shop"), check("old", "noop").of("shop")]);
    let (site, agent) = (&shop.site, &shop.agent);
    let app = || check("app", "noop").of("shop");

    site.drop_in("good", [check("good", "noop").of("shop")]);
    agent.until("good", "UP");
    site.drop_in("missing", [check("missing", "no-such").of("shop")]);
    agent.until_unknown("missing", "no-checker");
    site.drop_in("trapping", [check("trapping", "trapper").of("shop")]);
    agent.until_unknown("trapping", "trap");
    site.drop_in("shop", [service("shop"), app()]);
    eventually("the old one is gone", SOON, || agent.answers("/health/checks/old", 404));
    site.plugin("noop", guest("version_two"));
    eventually("another version judges", SOON, || {
        let seen = agent.check("app");
        that(seen["message"] == "ok from version two", || seen.to_string())
    });
    throughout("it stays so", Duration::from_secs(1), || {
        agent.shows("app", "UP")?;
        agent.unknown("trapping", "trap")
    });
    assert_eq!(shop.watcher.all_notes(&shop.etcd).len(), 0, "{:?}", shop.watcher.notes());

    // Whoever judges with others must be as sure as they are.
    let Shop { etcd, site, agent, watcher, polls } = shop;
    let begun = Instant::now();
    let bad = check("bad", "down").of("shop").line(&format!("fall = {FALL}")).with("retry_interval", "300ms");
    site.drop_in("bad", [bad]);
    eventually("the key is gone", SOON, || that(etcd.get(KEY).is_none(), || "it is there".into()));
    let took = begun.elapsed();
    let runs = agent.metrics().sum("vitald_check_runs_total", &[("check", "bad"), ("result", "down")]);
    println!("measured: a failing check added until the key is gone, fall = {FALL}: {took:.1?}, {runs} runs");
    assert!(runs >= f64::from(FALL) && took >= Duration::from_millis(280) * (FALL - 1), "{runs} runs, {took:?}");
    assert_eq!(watcher.all_notes(&etcd).len(), 1, "{:?}", watcher.notes());
    agent.answers("/health", 503).unwrap();
    drop(polls);

    site.remove_drop_in("bad");
    eventually("the key is back", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
    agent.until_health(200);
}

/// What is counted of a check; each number is known to be of a moment between the two.
struct Account {
    begun: Instant,
    ended: Instant,
    due: f64,
    runs: f64,
    count: u32,
    since: String,
}

fn account(agent: &Agent, check: &str) -> Account {
    let begun = Instant::now();
    let metrics = agent.metrics();
    let of = |name| metrics.sum(name, &[("check", check)]);
    let (due, runs) = (of("vitald_schedule_due_total"), of("vitald_check_runs_total"));
    let count = eventually("it counts", SOON, || count(agent, check));
    let since = agent.check(check)["since"].to_string();
    Account { begun, ended: Instant::now(), due, runs, count, since }
}

impl Account {
    /// No run but those that were due anyway, all of them counted, and the state handed on from each to the next.
    fn goes_on_to(&self, after: &Self, interval: Duration) {
        let most = (after.ended - self.begun).as_secs_f64() / interval.as_secs_f64() + 1.0;
        let (due, runs) = (after.due - self.due, after.runs - self.runs);
        println!("measured: {due} due, {runs} runs in {:.1?} at {interval:?}", after.ended - self.begun);
        assert!(due <= most, "{due} due, at most {most:.1} had to be: it ran once more than it should");
        assert!(due >= 1.0 && runs >= 1.0, "{due} due and {runs} runs: it stood still, or was counted anew");
        let counted = f64::from(after.count) - f64::from(self.count);
        assert!((runs - 1.0..=runs + 1.0).contains(&counted), "{counted} counted in {runs} runs: the state is lost");
        assert_eq!(after.since, self.since, "the verdict is another");
    }
}

const SLOW: Duration = Duration::from_secs(1);

#[test]
fn checks_that_are_not_touched_notice_nothing_when_their_lines_move() {
    let site = Site::new();
    site.plugin("counter", guest("counter"));
    let steady = || counter("steady").with("interval", "1s");
    site.drop_in("all", [steady()]);
    let agent = site.start();
    agent.until("steady", "UP");
    let before = account(&agent, "steady");
    for edit in 1..=8 {
        let comments = "# a line above\n".repeat(edit * 10);
        let others: String = (0..edit).map(|n| counter(&format!("other-{n}")).to_string()).collect();
        let above = comments + &others;
        site.drop_in_text("all", &format!("{above}{}", steady()));
        let line = above.lines().count() + 1;
        let place = format!("{}:{line}", site.drop_in_path("all").display());
        eventually("its place is another", SOON, || {
            let seen = agent.get("/api/v1/checks/steady").json();
            let at = seen["defined_at"].as_str().unwrap_or_default();
            that(at.starts_with(&place), || format!("{at}, not {place}"))
        });
    }
    eventually("it has run since", SOON, || that(count(&agent, "steady")? > before.count, || "not yet".into()));
    before.goes_on_to(&account(&agent, "steady"), SLOW);
    let changes = agent.metrics().sum("vitald_check_status_changes_total", &[]);
    assert_eq!(changes, 0.0);
}

#[test]
fn a_changed_secret_is_no_change_of_definition() {
    let site = Site::new();
    site.plugin("counter", guest("counter"));
    // So short that it is not masked.
    site.secret("note", "0th");
    site.drop_in(
        "all",
        [counter("told")
            .with("interval", "1s")
            .line("params = { note = \"${file:note}\" }")
            .with("retry_interval", "1s")],
    );
    let agent = site.start();
    let says = |note: &str| {
        let seen = agent.check("told");
        that(seen["message"].as_str().is_some_and(|text| text.ends_with(note)), || seen.to_string())
    };
    eventually("it is told the secret", SOON, || says(" 0th"));
    let before = account(&agent, "told");
    for edit in 1..=4 {
        site.secret("note", &format!("{edit}th"));
        eventually("it is told the new one when it runs anyway", SOON, || says(&format!(" {edit}th")));
    }
    before.goes_on_to(&account(&agent, "told"), SLOW);
    let ended = vitald_of(&site, &["reload"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stdout.contains("told"), "{ended:?}");
}

#[test]
fn a_changed_target_drops_the_state_and_nothing_else() {
    let shop = Shop::open([counter("own").of("shop"), check("app", "noop").of("shop")]);
    let agent = &shop.agent;
    eventually("five runs", SOON, || that(count(agent, "own")? >= 5, || "not yet".into()));
    let since = agent.check("own")["since"].clone();
    let moved = check("own", "counter").of("shop").target("tcp://127.0.0.1:2");
    shop.site.drop_in("shop", [service("shop"), moved, check("app", "noop").of("shop")]);
    eventually("it counts anew", SOON, || that(count(agent, "own")? < 5, || "it goes on".into()));
    assert_eq!(agent.check("own")["since"], since);
    shop.nobody_noticed();
}

fn restart(registry: &str, signal: Signal) {
    let mut shop = Shop::open_with(registry, [counter("own").of("shop")]);
    eventually("five runs", SOON, || that(count(&shop.agent, "own")? >= 5, || "not yet".into()));
    for _ in 0..2 {
        let before = count(&shop.agent, "own").unwrap();
        shop.agent.signal(signal);
        assert_eq!(shop.agent.end(SOON), 0);
        shop.agent = shop.site.start();
        eventually("it has run since", SOON, || {
            let now = count(&shop.agent, "own")?;
            assert!(now >= before, "it counts anew: run {now} after run {before}");
            that(now > before, || format!("run {now}"))
        });
    }
    shop.nobody_noticed();
}

#[test]
fn a_restart_that_keeps_the_keys_is_seen_by_nobody() {
    restart("on_stop = \"keep\"", Signal::TERM);
}

#[test]
fn a_handover_is_seen_by_nobody() {
    restart("", Signal::USR2);
}
