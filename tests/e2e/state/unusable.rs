//! Files of the state that cannot be used: torn, foreign, of a later version, not to be read, not files at all.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::SOON;
use crate::harness::{Agent, Etcd, Site, check, eventually, guest, service, that};
use crate::registration::{KEY, settled};

/// What the agent of before left.
const FILES: [&str; 3] = ["verdicts.json", "registry.json", "plugins.json"];

type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 9] = [
    ("empty", |path| fs::write(path, "").unwrap()),
    ("one byte", |path| cut(path, |_| 1)),
    ("half", |path| cut(path, |length| length / 2)),
    ("all but one byte", |path| cut(path, |length| length - 1)),
    ("another byte in it", |path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() * 3 / 4;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("foreign", |path| chown(path, Some(12_345), None).unwrap()),
    ("of a later version", |path| {
        let text = fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once("\"version\":").unwrap();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        fs::write(path, format!("{before}\"version\":999{rest}")).unwrap();
    }),
    ("a link to itself", |path| {
        fs::remove_file(path).unwrap();
        symlink(path, path).unwrap();
    }),
    ("a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

fn cut(path: &Path, length: impl Fn(usize) -> usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..length(bytes.len())]).unwrap();
}

fn files(site: &Site) -> Vec<PathBuf> {
    FILES.iter().map(|name| site.path().join("state").join(name)).collect()
}

/// Each is set aside with a warning.
fn set_aside(agent: &Agent, before: usize, path: &Path, damage: &str) {
    let log = agent.log();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let warning = log[before..].lines().find(|line| line.contains(&name) && line.contains("is not used"));
    let warning = warning.unwrap_or_else(|| panic!("{damage}: nothing is said of {name}: {}", &log[before..]));
    let aside = path.with_file_name(format!("{name}.unusable"));
    assert!(warning.contains("WARN") && warning.contains(&aside.display().to_string()), "{damage}: {warning}");
    assert!(fs::symlink_metadata(&aside).is_ok(), "{damage}: {} is not there", aside.display());
}

#[test]
fn what_cannot_be_used_is_set_aside_and_the_agent_starts_fresh() {
    let etcd = Etcd::start();
    let site = Site::new().registered_at(&etcd);
    site.plugin("noop", guest("noop"));
    site.drop_in("shop", [service("shop"), check("app", "noop").of("shop")]);
    let mut agent = site.start();
    settled(&site, &etcd);
    for (damage, spoil) in DAMAGES {
        agent.signal(Signal::TERM);
        assert_eq!(agent.end(SOON), 0, "after the damage before: {damage}");
        let files = files(&site);
        for path in &files {
            assert!(path.is_file(), "{} was not written, or not again", path.display());
            spoil(path);
        }
        let before = agent.log().len();
        agent = site.start();
        agent.until("app", "UP");
        agent.until_health(200);
        eventually("it is registered", SOON, || that(etcd.get(KEY).is_some(), || "no key".into()));
        files.iter().for_each(|path| set_aside(&agent, before, path, damage));
        eventually("they are written again", SOON, || {
            let missing: Vec<_> = files.iter().filter(|path| !path.is_file()).collect();
            that(missing.is_empty(), || format!("{missing:?}"))
        });
    }
}

#[test]
fn a_last_good_copy_that_cannot_be_used_is_no_worse_than_none() {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    site.drop_in("app", [check("app", "noop")]);
    let copy = site.path().join("state/last-good.json");
    for (damage, spoil) in DAMAGES {
        let mut agent = site.start();
        agent.until("app", "UP");
        agent.signal(Signal::TERM);
        assert_eq!(agent.end(SOON), 0);
        assert!(copy.is_file(), "after the damage before {damage} it was not written again");
        spoil(&copy);
        site.drop_in_text("bad", "[[check]]\nname = ");
        let ended = crate::harness::vitald(&["run", "--config", site.main().to_str().unwrap()]);
        assert_eq!(ended.code, 78, "{damage}: {ended:?}");
        assert!(ended.stderr.contains("last good copy") && ended.stderr.contains("bad.toml:2"), "{damage}: {ended:?}");
        site.remove_drop_in("bad");
    }
}
