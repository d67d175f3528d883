//! The main file changes while the agent runs: what can be taken over is, what cannot is named, and what is wrong
//! changes nothing.

use std::time::Duration;

use rustix::process::Signal;

use super::{SOON, Shop, counter, defined, edit_main, is_good};
use crate::control::socket;
use crate::harness::{
    Ended, Etcd, Site, Watcher, check, eventually, guest, service, that, throughout, timed, vitald, vitald_of, write,
};
use crate::registration::{KEY, settled};

const EXIT_MISTAKES: i32 = 1;

pub fn reload(site: &Site) -> Ended {
    vitald_of(site, &["reload"])
}

/// Adds tables to the main file.
fn add_to_main(site: &Site, text: &str) {
    let main = std::fs::read_to_string(site.main()).unwrap();
    write(&site.main(), format!("{main}\n{text}"));
}

#[test]
fn a_check_in_the_main_file_is_taken_over_without_a_restart() {
    let shop = Shop::open([check("app", "noop").of("shop")]);
    let (site, agent) = (&shop.site, &shop.agent);
    add_to_main(site, &check("more", "noop").of("shop").to_string());
    timed("a check added to the main file until it is UP", SOON, || agent.shows("more", "UP"));
    assert!(agent.log().contains("1 check added"), "{}", agent.log());

    add_to_main(site, &check("hup", "noop").to_string());
    agent.signal(Signal::HUP);
    timed("the same, with SIGHUP", SOON, || agent.shows("hup", "UP"));

    add_to_main(site, &check("asked", "noop").to_string());
    let ended = reload(site);
    assert_eq!(ended.code, 0, "{ended:?}");
    agent.answers("/api/v1/checks/asked", 200).expect("what it took over is there once it says so");
    shop.nobody_noticed();
}

#[test]
fn a_reload_prints_what_it_changed() {
    let site = Site::new();
    site.plugin("counter", guest("counter"));
    site.drop_in("steady", [counter("steady")]);
    let agent = site.start();
    agent.until("steady", "UP");
    // The watch may be faster: then there is nothing left to be said, and it is tried again.
    let ended = eventually("a reload is faster than the watch", SOON, || {
        site.drop_in("moving", [counter("goes"), counter("changes")]);
        assert_eq!(reload(&site).code, 0);
        site.drop_in("moving", [counter("comes"), counter("changes").with("interval", "500ms")]);
        let ended = reload(&site);
        that(ended.stdout.contains("comes"), || format!("{ended:?}")).map(|()| ended)
    });
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let line = |word: &str, name: &str| {
        let found = ended.stdout.lines().any(|line| line.contains(word) && line.contains(name));
        assert!(found, "no line has {word:?} and {name:?}: {ended:?}");
    };
    line("added", "comes");
    line("changed", "changes");
    line("removed", "goes");
    assert!(!ended.stdout.contains("steady"), "{ended:?}");

    let again = reload(&site);
    assert_eq!(again.code, 0, "{again:?}");
    for name in ["comes", "changes", "goes", "steady"] {
        assert!(!again.stdout.contains(name), "nothing has changed since: {again:?}");
    }
}

#[test]
fn what_only_a_start_takes_over_is_named_and_breaks_nothing() {
    let mut shop = Shop::open([check("app", "noop").of("shop")]);
    let (site, agent, url) = (&shop.site, &shop.agent, shop.agent.url().to_owned());
    let other = Site::new();
    edit_main(site, &format!("127.0.0.1:{}", site.port()), &format!("127.0.0.1:{}", other.port()));
    edit_main(site, "endpoints = [", "endpoints = [\"http://127.0.0.1:1\", ");
    edit_main(site, "state_dir = \"state\"", "state_dir = \"elsewhere\"");
    let keys = ["agent.listen", "registry.endpoints", "agent.state_dir"];
    let warned = |key: &str| agent.log().lines().filter(|line| line.contains("WARN") && line.contains(key)).count();
    eventually("each is named", SOON, || keys.iter().try_for_each(|key| that(warned(key) > 0, || (*key).to_owned())));

    let socket = socket(site).display().to_string();
    let ended = vitald(&["reload", "--socket", &socket]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let status = vitald(&["status", "--socket", &socket]);
    for key in keys {
        let place = format!("{}:", site.main().display());
        for text in [ended.stdout.clone() + &ended.stderr, status.stdout.clone()] {
            let line = text.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("no {key}: {text}"));
            assert!(line.contains("next start") && line.contains(&place), "{line}");
        }
        assert_eq!(warned(key), 1, "{key}: one line per change");
    }
    // What is live is taken over all the same.
    edit_main(site, "interval = \"400ms\"", "interval = \"450ms\"");
    defined(agent, "app", "interval_ms", 450.0);
    throughout("it goes on", Duration::from_secs(1), || agent.answers("/health", 200));
    assert!(!site.path().join("elsewhere").exists(), "the state stays where it is");
    edit_main(site, "state_dir = \"elsewhere\"", "state_dir = \"state\"");
    let status = || vitald_of(site, &["status"]).stdout;
    eventually("what was undone is not named", SOON, || {
        let status = status();
        that(!status.contains("agent.state_dir") && status.contains("agent.listen"), || status)
    });

    shop.agent.signal(Signal::USR2);
    assert_eq!(shop.agent.end(SOON), 0);
    shop.agent = shop.site.start();
    assert_eq!(shop.agent.url(), url.replace(&shop.site.port().to_string(), &other.port().to_string()));
    let status = vitald_of(&shop.site, &["status"]).stdout;
    assert!(!status.contains("next start"), "{status}");
    shop.nobody_noticed();
}

#[test]
fn a_mistake_in_the_main_file_changes_nothing_until_it_is_mended() {
    let shop = Shop::open([check("app", "noop").of("shop")]);
    let (site, agent) = (&shop.site, &shop.agent);
    is_good(agent, true).unwrap();
    add_to_main(site, "[sandbox]\nconcurency = 5");
    eventually("it is refused", SOON, || is_good(agent, false));
    site.drop_in("more", [check("more", "noop")]);
    let ended = reload(site);
    assert_eq!(ended.code, EXIT_MISTAKES, "{ended:?}");
    for word in ["sandbox.concurency", "did you mean", &site.main().display().to_string()] {
        assert!(ended.stderr.contains(word), "{word:?} is not in {ended:?}");
    }
    agent.answers("/health/checks/more", 404).unwrap();
    let refusals = agent.log().matches("configuration not taken over").count();
    assert_eq!(refusals, 1, "the same mistake was reported {refusals} times");
    // A file that is not there is a mistake too.
    let aside = site.path().join("aside");
    std::fs::rename(site.main(), &aside).unwrap();
    eventually("that it is missing is said", SOON, || {
        let log = agent.log();
        let said = log.lines().rfind(|line| line.contains("configuration not taken over"));
        that(said.is_some_and(|line| line.contains("No such file")), || log.clone())
    });
    throughout("it goes on", Duration::from_millis(500), || agent.shows("app", "UP"));
    std::fs::rename(&aside, site.main()).unwrap();

    edit_main(site, "concurency", "concurrency");
    eventually("mended", SOON, || is_good(agent, true));
    agent.until("more", "UP");
    shop.nobody_noticed();
}

#[test]
fn an_agent_on_its_last_good_copy_takes_the_mended_file_without_a_restart() {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    site.drop_in("app", [check("app", "noop")]);
    let mut agent = site.start();
    agent.until("app", "UP");
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    add_to_main(&site, "[sandbox]\nconcurency = 5");
    let agent = site.start();
    agent.until("app", "UP");
    let config = || agent.get("/health").json()["config"].clone();
    assert_eq!(config(), "last-good");
    let ended = reload(&site);
    assert_eq!(ended.code, EXIT_MISTAKES, "{ended:?}");
    assert_eq!(config(), "last-good");

    edit_main(&site, "concurency", "concurrency");
    eventually("it runs on the file", SOON, || that(config() == "file", || config().to_string()));
    is_good(&agent, true).unwrap();
    // That one is of those that only a start takes over.
    let status = vitald_of(&site, &["status"]);
    assert!(status.stdout.contains("sandbox.concurrency"), "{status:?}");
    agent.shows("app", "UP").unwrap();
}

#[test]
fn a_broken_drop_in_and_a_crash_cost_no_other_team_its_keys() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd);
    site.plugin("noop", guest("noop"));
    let team = |name: &str| [service(name), check(&format!("{name}-app"), "noop").of(name)];
    for name in ["shop", "stall", "bank"] {
        site.drop_in(name, team(name));
    }
    let mut agent = site.start();
    settled(&site, &etcd);
    let keys = || etcd.below("/services/").len();
    eventually("all are there", SOON, || that(keys() == 3, || keys().to_string()));
    let watcher = Watcher::start(&etcd, "/services");
    site.drop_in_text("stall", "[[service]]\nname = \"stall\"\naddress = ");
    agent.kill();

    let agent = site.start();
    for name in ["shop-app", "stall-app", "bank-app"] {
        agent.until(name, "UP");
    }
    assert_eq!(agent.get("/health").json()["config"], "last-good");
    assert!(agent.log().contains("stall.toml:3"), "the log does not name the place");
    throughout("all keys are there, for longer than the TTL", Duration::from_secs(6), || watcher.saw_nothing());
    site.drop_in("stall", team("stall"));
    eventually("mended", SOON, || that(agent.get("/health").json()["config"] == "file", || "not yet".into()));
    let notes = watcher.all_notes(&etcd);
    assert!(notes.is_empty() && etcd.get(KEY).is_some(), "{notes:?}");
}
