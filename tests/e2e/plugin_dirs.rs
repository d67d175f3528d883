//! What may become of the directories themselves: swapped by the kubelet, replaced, removed, not there yet, on file
//! systems that notify nothing, and on hosts where nothing can be watched any more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Agent, ConfigMap, Hanging, Poll, Site, check, eventually, guest, link, make_dir, program, that, throughout, timed,
    write,
};
use crate::plugin_files::{ONE, SOON, TAKEN, TWO, edit_main, notice, plugin_is, reloads, running, says, warnings};

/// Every 5 s it looks where nothing is notified.
const POLLED: Duration = Duration::from_secs(60);

fn reload_successful(agent: &Agent, value: f64) -> Result<(), String> {
    let seen = agent.metrics().get("vitald_config_last_reload_successful", &[]);
    that(seen == Some(value), || format!("vitald_config_last_reload_successful is {seen:?}"))
}

/// Has a check this interval?
fn interval(agent: &Agent, check: &str, milliseconds: u32) -> Result<(), String> {
    let seen = agent.get(&format!("/api/v1/checks/{check}")).json();
    that(seen["interval_ms"].as_f64() == Some(f64::from(milliseconds)), || seen.to_string())
}

#[test]
fn a_config_map_of_plugins_is_swapped_as_the_kubelet_does_it() {
    let site = Site::new();
    let mut map = ConfigMap::at(&site.path().join("plugins"));
    let (one, two) = (guest("noop"), guest("version_two"));
    map.holds(&[("app.wasm", &one), ("steady.wasm", &one)]);
    site.drop_in("checks", [check("app", "app"), check("steady", "steady")]);
    let agent = site.start();
    eventually("version one judges", SOON, || says(&agent, ONE));
    agent.until("steady", "UP");
    let (healthy, steady) = (Poll::start(&agent, "/health", 200), agent.plugin("steady"));

    map.holds(&[("app.wasm", &two), ("steady.wasm", &one)]);
    timed("swapped until the new one judges", TAKEN, || says(&agent, TWO));
    map.holds(&[("app.wasm", &two[..two.len() / 2]), ("steady.wasm", &one)]);
    plugin_is(&agent, "app", "kept");
    eventually("it is said beside the verdict", SOON, || that(notice(&agent).is_some(), String::new));
    throughout("the last good one judges", Duration::from_secs(1), || says(&agent, TWO));
    map.holds(&[("app.wasm", &one), ("steady.wasm", &one)]);
    timed("swapped until the mended one judges", TAKEN, || says(&agent, ONE));
    plugin_is(&agent, "app", "ready");
    assert_eq!(agent.plugin("steady"), steady, "nothing happened to it");
    assert_eq!(reloads(&agent, "failure"), 1.0);
    healthy.stop();

    map.holds(&[("app.wasm", &one)]);
    let gone = agent.until_unknown("steady", "no-checker");
    assert_eq!(gone["last"], "UP", "{gone}");
    says(&agent, ONE).unwrap();
}

#[test]
fn a_config_map_of_drop_ins_is_swapped_as_the_kubelet_does_it() {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    let tables = |interval: &str| check("app", "noop").with("interval", interval).to_string();
    let mut map = ConfigMap::at(&site.path().join("conf.d"));
    map.holds(&[("app.toml", tables("500ms")), ("more.toml", check("more", "noop").to_string())]);
    let agent = site.start();
    agent.until("more", "UP");
    agent.until("app", "UP");
    let healthy = Poll::start(&agent, "/health", 200);
    map.holds(&[("app.toml", tables("600ms")), ("more.toml", check("more", "noop").to_string())]);
    timed("swapped until it is taken over", TAKEN, || interval(&agent, "app", 600));
    map.holds(&[("app.toml", tables("soon")), ("more.toml", check("more", "noop").to_string())]);
    eventually("it is refused", SOON, || reload_successful(&agent, 0.0));
    map.holds(&[("app.toml", tables("700ms"))]);
    eventually("mended", SOON, || interval(&agent, "app", 700));
    eventually("what was left out is gone", SOON, || agent.answers("/health/checks/more", 404));
    agent.shows("app", "UP").unwrap();
    healthy.stop();
}

#[test]
fn a_config_map_of_the_main_file_is_swapped_as_the_kubelet_does_it() {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    let text = fs::read_to_string(site.main()).unwrap();
    let with = |interval: &str| format!("{text}\n{}", check("app", "noop").with("interval", interval));
    fs::remove_file(site.main()).unwrap();
    let mut map = ConfigMap::at(site.path());
    map.holds(&[("vitald.toml", with("500ms"))]);
    let agent = site.start();
    agent.until("app", "UP");
    interval(&agent, "app", 500).unwrap();
    let healthy = Poll::start(&agent, "/health", 200);
    map.holds(&[("vitald.toml", with("600ms"))]);
    timed("swapped until it is taken over", TAKEN, || interval(&agent, "app", 600));
    map.holds(&[("vitald.toml", with("soon"))]);
    eventually("it is refused", SOON, || reload_successful(&agent, 0.0));
    interval(&agent, "app", 600).unwrap();
    map.holds(&[("vitald.toml", with("700ms"))]);
    eventually("mended", SOON, || interval(&agent, "app", 700));
    reload_successful(&agent, 1.0).unwrap();
    healthy.stop();
}

#[test]
fn directories_are_replaced_removed_and_made_again() {
    let site = Site::new();
    let agent = running(&site);
    let replaced = |name: &str, file: &str, bytes: &[u8]| {
        let (dir, next, old) = (site.path().join(name), site.path().join("next"), site.path().join("old"));
        make_dir(&next);
        write(&next.join(file), bytes);
        fs::rename(&dir, &old).unwrap();
        fs::rename(&next, &dir).unwrap();
        fs::remove_dir_all(old).unwrap();
    };
    replaced("plugins", "app.wasm", &guest("version_two"));
    timed("replaced until what is in the new one judges", TAKEN, || says(&agent, TWO));
    replaced("conf.d", "app.toml", check("app", "app").with("interval", "450ms").to_string().as_bytes());
    timed("replaced until what is in the new one is taken over", TAKEN, || interval(&agent, "app", 450));
    // What happens in the new ones is seen.
    site.plugin("app", guest("noop"));
    timed("put into the new one until it judges", TAKEN, || says(&agent, ONE));
    site.drop_in("app", [check("app", "app").with("interval", "550ms")]);
    timed("put into the new one until it is taken over", TAKEN, || interval(&agent, "app", 550));

    let plugins = site.path().join("plugins");
    for (name, message) in [("version_two", TWO), ("noop", ONE)] {
        fs::remove_dir_all(&plugins).unwrap();
        agent.until_unknown("app", "no-checker");
        make_dir(&plugins);
        site.plugin("app", guest(name));
        timed("made again until what is in it judges", TAKEN, || says(&agent, message));
    }
}

#[test]
fn directories_that_are_missing_at_the_start_are_seen_when_they_come() {
    let site = Site::new();
    edit_main(&site, "[\"plugins\"]", "[\"later/all/plugins\"]");
    edit_main(&site, "[\"conf.d\"]", "[\"later/all/conf.d\"]");
    let agent = site.start();
    agent.until_health(200);
    assert_eq!(warnings(&agent).iter().filter(|line| line.contains("ERROR")).count(), 0, "{}", agent.log());
    let later = site.path().join("later");
    make_dir(&later);
    make_dir(&later.join("all"));
    let (plugins, drop_ins) = (later.join("all/plugins"), later.join("all/conf.d"));
    make_dir(&drop_ins);
    write(&drop_ins.join("app.toml"), check("app", "app").to_string());
    timed("made until the drop-in is taken over", TAKEN, || agent.unknown("app", "no-checker"));
    make_dir(&plugins);
    write(&plugins.join("app.wasm"), guest("noop"));
    timed("made until the plugin judges", TAKEN, || says(&agent, ONE));
    write(&plugins.join("app.wasm"), guest("version_two"));
    timed("replaced until the new one judges", TAKEN, || says(&agent, TWO));
}

/// Two releases below a directory, with version one and version two of the plugin.
fn releases(dir: &Path) {
    for (release, name) in [("1", "noop"), ("2", "version_two")] {
        let plugins = dir.join("releases").join(release).join("plugins");
        make_dir(&plugins);
        write(&plugins.join("app.wasm"), guest(name));
    }
}

/// Swaps releases at a symlink, and puts a file into the one that it leads to.
fn swaps(site: &Site, agent: &Agent, symlink: &Path, to: impl Fn(&str) -> std::path::PathBuf) {
    let healthy = Poll::start(agent, "/health", 200);
    link(symlink, &to("2"));
    timed("a symlink swapped until the new one judges", TAKEN, || says(agent, TWO));
    link(symlink, &to("1"));
    timed("a symlink swapped back until the old one judges", TAKEN, || says(agent, ONE));
    let file = site.path().join("releases/1/plugins/app.wasm");
    write(&file, guest("version_two"));
    timed("put where a symlink leads to until it judges", TAKEN, || says(agent, TWO));
    healthy.stop();
}

#[test]
fn a_directory_that_is_a_symlink_is_swapped() {
    let site = Site::new();
    releases(site.path());
    let plugins = site.path().join("plugins");
    fs::remove_dir(&plugins).unwrap();
    let to = |release: &str| Path::new("releases").join(release).join("plugins");
    link(&plugins, &to("1"));
    site.drop_in("app", [check("app", "app")]);
    let agent = site.start();
    eventually("version one judges", SOON, || says(&agent, ONE));
    swaps(&site, &agent, &plugins, to);
}

#[test]
fn a_directory_below_a_symlink_is_swapped() {
    let site = Site::new();
    releases(site.path());
    let current = site.path().join("current");
    let to = |release: &str| Path::new("releases").join(release);
    link(&current, &to("1"));
    edit_main(&site, "[\"plugins\"]", "[\"current/plugins\"]");
    site.drop_in("app", [check("app", "app")]);
    let agent = site.start();
    eventually("version one judges", SOON, || says(&agent, ONE));
    swaps(&site, &agent, &current, to);
}

#[test]
fn a_file_system_that_notifies_nothing_is_polled() {
    let site = Site::new();
    edit_main(&site, "[\"plugins\"]", "[\"mounted/plugins\"]");
    edit_main(&site, "[\"conf.d\"]", "[\"mounted/conf.d\"]");
    let source = site.path().join("source");
    for name in ["plugins", "conf.d"] {
        make_dir(&source.join(name));
    }
    write(&source.join("plugins/app.wasm"), guest("noop"));
    write(&source.join("conf.d/app.toml"), check("app", "app").to_string());
    let (agent, mount) = Hanging::beside(&site);
    eventually("version one judges", SOON, || says(&agent, ONE));
    let said = |line: &&str| line.contains(mount.point()) && line.contains("5 s");
    let log = agent.log();
    println!("it says: {:?}", log.lines().find(said));
    assert!(log.lines().any(|line| said(&line)), "{log}");

    // On the other side of the mount.
    write(&source.join("plugins/app.wasm"), guest("version_two"));
    timed("changed elsewhere until it judges (every 5 s)", POLLED, || says(&agent, TWO));
    write(&source.join("conf.d/app.toml"), check("app", "app").with("interval", "450ms").to_string());
    timed("changed elsewhere until it is taken over (every 5 s)", POLLED, || interval(&agent, "app", 450));
    assert_eq!(reloads(&agent, "failure"), 0.0);
}

/// An agent on a host where nothing more can be watched.
fn without(limit: &str, site: &Site) -> Agent {
    let wrapper = site.path().join("at-the-limit");
    let script = format!(
        "#!/bin/sh\nexec unshare --user --map-root-user sh -ec 'echo 0 >/proc/sys/user/{limit}; exec \"$@\"' sh {} \"$@\"\n",
        program().display()
    );
    write(&wrapper, script);
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    Agent::start_program(site, &wrapper, &[])
}

/// Raises a limit where an agent lives.
fn raise(limit: &str, agent: &Agent) {
    let namespace = format!("--user=/proc/{}/ns/user", agent.pid());
    let command = format!("echo 1000 >/proc/sys/user/{limit}");
    let raised =
        Command::new("nsenter").arg(namespace).args(["--preserve-credentials", "sh", "-ec", &command]).status();
    assert!(raised.unwrap().success());
}

/// How many directories an agent watches.
fn watched(agent: &Agent) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fdinfo", agent.pid())).unwrap().flatten();
    let infos = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    infos.map(|info| info.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}

fn at_the_limit(limit: &str, sysctl: &str) {
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.drop_in("app", [check("app", "app")]);
    let agent = without(limit, &site);
    eventually("version one judges", SOON, || says(&agent, ONE));
    let warned = warnings(&agent);
    println!("it says: {warned:?}");
    assert!(warned.iter().any(|line| line.contains(sysctl)), "{}", agent.log());
    assert_eq!(watched(&agent), 0);

    site.plugin("app", guest("version_two"));
    timed("changed until it judges (every 5 s)", POLLED, || says(&agent, TWO));
    site.drop_in("app", [check("app", "app").with("interval", "450ms")]);
    timed("changed until it is taken over (every 5 s)", POLLED, || interval(&agent, "app", 450));
    assert_eq!(warnings(&agent), warned, "said once");

    raise(limit, &agent);
    timed("there is room until it watches again", POLLED, || {
        that(watched(&agent) >= 2, || "it watches nothing".into())
    });
    site.plugin("app", guest("noop"));
    timed("changed until it judges", TAKEN, || says(&agent, ONE));
}

#[test]
fn without_room_for_another_watcher_it_polls_and_says_what_to_do() {
    at_the_limit("max_inotify_instances", "fs.inotify.max_user_instances");
}

#[test]
fn without_room_for_another_watch_it_polls_and_says_what_to_do() {
    at_the_limit("max_inotify_watches", "fs.inotify.max_user_watches");
}
