//! The disk of the state takes nothing: full from the start, full after a while, or read-only.

use std::time::Duration;

use rustix::process::Signal;

use super::SOON;
use crate::harness::{
    Agent, Etcd, Site, SmallDisk, check, eventually, guest, service, that, throughout, vitald, vitald_of,
};
use crate::registration::KEY;

/// Room for compiled code too.
const KIB: usize = 4096;

/// A registered shop, and a check beside it that falls when its plugin is another.
fn shop(etcd: &Etcd) -> (Site, SmallDisk) {
    let site = Site::new().registered_at(etcd);
    site.plugin("app", guest("noop"));
    site.drop_in("shop", [service("shop").line("checks = \"none\""), check("app", "app").with("severity", "info")]);
    let disk = SmallDisk::at(&site.path().join("state"), KIB);
    (site, disk)
}

fn is_written(agent: &Agent, written: bool) -> Result<(), String> {
    let seen = agent.metrics().get("vitald_state_last_write_successful", &[]);
    that(seen == Some(f64::from(u8::from(written))), || format!("vitald_state_last_write_successful is {seen:?}"))
}

/// Does all that an agent is for, plugins and edits included.
fn works(site: &Site, agent: &Agent, etcd: &Etcd) {
    agent.until("app", "UP");
    agent.until_health(200);
    eventually("it is registered", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
    site.plugin("app", guest("version_two"));
    eventually("another version judges", SOON, || {
        let seen = agent.check("app");
        that(seen["message"] == "ok from version two", || seen.to_string())
    });
    site.drop_in("more", [check("more", "app")]);
    let ended = vitald_of(site, &["reload"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    agent.until("more", "UP");
    site.remove_drop_in("more");
    eventually("it is gone again", SOON, || agent.answers("/health/checks/more", 404));
    agent.answers("/health", 200).unwrap();
}

/// A change of status: worth being written at once.
fn falls(site: &Site, agent: &Agent) {
    site.plugin("app", guest("down"));
    agent.until("app", "DOWN");
}

fn rises(site: &Site, agent: &Agent) {
    site.plugin("app", guest("noop"));
    agent.until("app", "UP");
}

fn ends(agent: &mut Agent) {
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
}

fn warnings(agent: &Agent, words: &str) -> usize {
    agent.log().lines().filter(|line| line.contains("WARN") && line.contains(words)).count()
}

#[test]
fn a_disk_that_is_full_from_the_start_is_a_warning() {
    let etcd = Etcd::start();
    let (site, disk) = shop(&etcd);
    disk.fill();
    let mut agent = site.start();
    works(&site, &agent, &etcd);
    eventually("the metric says so", SOON, || is_written(&agent, false));
    falls(&site, &agent);
    rises(&site, &agent);
    assert_eq!(warnings(&agent, "memory of verdicts is not written"), 1, "{}", agent.log());

    disk.free();
    falls(&site, &agent);
    eventually("it is written again", SOON, || is_written(&agent, true));
    assert!(agent.log().contains("memory of verdicts is written again"), "{}", agent.log());
    rises(&site, &agent);
    ends(&mut agent);
    let agent = site.start();
    agent.answers("/health", 200).expect("what was written is remembered");
}

#[test]
fn a_disk_that_fills_up_is_a_warning() {
    let etcd = Etcd::start();
    let (site, disk) = shop(&etcd);
    let mut agent = site.start();
    works(&site, &agent, &etcd);
    falls(&site, &agent);
    eventually("it is written", SOON, || is_written(&agent, true));
    disk.fill();
    let verdicts = std::fs::read(site.path().join("state/verdicts.json")).unwrap();
    rises(&site, &agent);
    eventually("the metric says so", SOON, || is_written(&agent, false));
    let now = std::fs::read(site.path().join("state/verdicts.json")).unwrap();
    assert!(now == verdicts, "what was whole must stay whole");
    works(&site, &agent, &etcd);
    let owner = etcd.get(KEY).unwrap().value["owner"].clone();
    // Its end cannot be written down either.
    ends(&mut agent);
    let agent = site.start();
    works(&site, &agent, &etcd);
    assert_eq!(etcd.get(KEY).unwrap().value["owner"], owner, "who we are was written while there was room");
    disk.free();
    falls(&site, &agent);
    eventually("it is written again", SOON, || is_written(&agent, true));
}

#[test]
fn a_disk_that_is_read_only_is_a_warning() {
    let etcd = Etcd::start();
    let (site, disk) = shop(&etcd);
    disk.writable(false);
    let mut agent = site.start();
    works(&site, &agent, &etcd);
    eventually("the metric says so", SOON, || is_written(&agent, false));
    assert_eq!(warnings(&agent, "memory of verdicts is not written"), 1, "{}", agent.log());
    // Nobody can write a lock there, and still only one agent has it.
    let second = vitald(&["run", "--config", site.main().to_str().unwrap()]);
    assert_eq!(second.code, 78, "{second:?}");
    assert!(second.stderr.contains("in use by another agent"), "{second:?}");
    throughout("it goes on", Duration::from_millis(500), || agent.answers("/health", 200));

    disk.writable(true);
    falls(&site, &agent);
    eventually("it is written", SOON, || is_written(&agent, true));
    rises(&site, &agent);
    ends(&mut agent);
    let agent = site.start();
    agent.answers("/health", 200).expect("what was written is remembered");
}
