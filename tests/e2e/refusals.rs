//! What an agent does not take: files that others could have written, secrets that lie elsewhere, names that are taken.
//! Each is refused with the line that says what it is and what to do.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use crate::harness::{
    Agent, Ended, Listener, Manner, Site, check, eventually, guest, that, throughout, vitald, vitald_of, write,
};
use crate::reloads::{edit_main, is_good};

const SOON: Duration = Duration::from_secs(15);
const EXIT_CONFIG: i32 = 78;
const STRANGER: u32 = 12_345;

/// A host with one check by a plugin.
fn site() -> Site {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    site.drop_in("app", [check("app", "noop")]);
    site
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn belongs_to(path: &Path, uid: u32) {
    chown(path, Some(uid), None).expect("tests run as root, who can give files away");
}

fn config_check(site: &Site) -> Ended {
    vitald(&["config", "check", site.main().to_str().unwrap()])
}

/// One line has all of these.
fn has_line(text: &str, words: &[&str]) {
    let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line has {words:?}:\n{text}");
}

/// A file or directory of the configuration is made so: refused by a check, by a start and while the agent runs, which
/// then goes on with what it has; then made well again.
fn refused(site: &Site, path: &Path, command: &str, spoil: impl Fn(), mend: impl Fn()) {
    let place = path.display().to_string();
    let said = format!("{command} '{place}'");
    spoil();
    for ended in [config_check(site), vitald(&["run", "--config", site.main().to_str().unwrap()])] {
        assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
        has_line(&ended.stderr, &[&place, &said]);
    }
    mend();
    assert_eq!(config_check(site).code, 0);

    let agent = site.start();
    agent.until("app", "UP");
    is_good(&agent, true).unwrap();
    spoil();
    eventually("it is refused", SOON, || is_good(&agent, false));
    has_line(&agent.log(), &["ERROR", "configuration not taken over", &place, &said]);
    let ended = vitald_of(site, &["reload"]);
    // A main file that cannot be read does not even say which agent is meant.
    let code = if path == site.main() { 69 } else { 1 };
    assert_eq!(ended.code, code, "{ended:?}");
    has_line(&ended.stderr, &[&place, &said]);
    throughout("what runs runs on", Duration::from_millis(500), || agent.shows("app", "UP"));
    mend();
    eventually("mended", SOON, || is_good(&agent, true));
}

#[test]
fn a_main_file_that_others_can_write_is_refused() {
    let site = site();
    let path = site.main();
    refused(&site, &path, "chmod go-w", || mode(&path, 0o666), || mode(&path, 0o644));
}

#[test]
fn a_drop_in_that_others_can_write_is_refused() {
    let site = site();
    let path = site.drop_in_path("app");
    refused(&site, &path, "chmod go-w", || mode(&path, 0o662), || mode(&path, 0o644));
}

#[test]
fn a_conf_dir_that_others_can_write_is_refused() {
    let site = site();
    let path = site.path().join("conf.d");
    refused(&site, &path, "chmod go-w", || mode(&path, 0o777), || mode(&path, 0o755));
}

#[test]
fn a_strangers_drop_in_is_refused() {
    let site = site();
    let path = site.drop_in_path("app");
    refused(&site, &path, "chown 0", || belongs_to(&path, STRANGER), || belongs_to(&path, 0));
}

/// A plugin file, or the directory of it, is made so.
fn plugin_refused(name_of_dir: bool, words: &[&str], spoil: impl Fn(&Path), mend: impl Fn(&Path)) {
    let site = site();
    let path = if name_of_dir { site.path().join("plugins") } else { site.plugin_path("noop") };
    let place = path.display().to_string();
    let words: Vec<&str> = words.iter().copied().chain([place.as_str()]).collect();
    let is = |agent: &Agent, state: &str| {
        eventually(&format!("the plugin is {state}"), SOON, || {
            let seen = agent.plugin("noop").ok_or_else(|| "it is not listed".to_owned())?;
            that(seen["state"] == state, || seen.to_string()).map(|()| seen["error"].to_string())
        })
    };
    // What ran goes on: whoever could have written the file may have written another.
    let agent = site.start();
    agent.until("app", "UP");
    spoil(&path);
    has_line(&is(&agent, "kept"), &words);
    eventually("it is in the log", SOON, || that(agent.log().contains(words[0]), || agent.log()));
    has_line(&agent.log(), &words);
    let seen = agent.check("app");
    assert!(seen["status"] == "UP" && seen["notice"].is_string(), "{seen}");
    drop(agent);

    std::fs::remove_dir_all(site.path().join("state")).unwrap();
    let agent = site.start();
    has_line(&is(&agent, "broken"), &words);
    agent.until_unknown("app", "no-checker");
    mend(&path);
    is(&agent, "ready");
    agent.until("app", "UP");
}

#[test]
fn a_plugin_that_others_can_write_is_refused() {
    plugin_refused(false, &["chmod go-w"], |path| mode(path, 0o646), |path| mode(path, 0o644));
}

#[test]
fn a_plugin_dir_that_others_can_write_is_refused() {
    plugin_refused(true, &["chmod go-w"], |path| mode(path, 0o777), |path| mode(path, 0o755));
}

#[test]
fn a_strangers_plugin_is_refused() {
    plugin_refused(
        false,
        &["chown 0", &STRANGER.to_string()],
        |path| belongs_to(path, STRANGER),
        |path| belongs_to(path, 0),
    );
}

#[test]
fn a_secret_from_elsewhere_is_refused() {
    let site = site();
    site.plugin("picky", guest("picky"));
    let outside = site.path().join("outside");
    std::fs::write(&outside, "not-for-you").unwrap();
    let must = |name: &str, secret: &str| check(name, "picky").line(&format!("params = {{ must = {secret:?} }}"));
    let absolute = format!("${{file:{}}}", outside.display());
    site.drop_in(
        "secrets",
        [must("shadow", "${file:/etc/shadow}"), must("dots", "${file:../outside}"), must("absolute", &absolute)],
    );
    let agent = site.start();
    agent.until("app", "UP");
    for (name, secret) in [("shadow", "/etc/shadow"), ("dots", "../outside"), ("absolute", "/outside")] {
        let seen = agent.until_unknown(name, "invalid-params");
        let message = seen["message"].as_str().unwrap();
        assert!(message.contains("secrets.toml:") && message.contains(secret), "{seen}");
        assert!(message.contains("leads out of") || message.contains("absolute"), "{seen}");
    }
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
    let root = shadow.lines().next().unwrap();
    let said = agent.get("/api/v1/checks").body + &agent.get("/health").body + &agent.log();
    for secret in ["not-for-you", root] {
        assert!(!said.contains(secret), "{secret:?} is in {said}");
    }
}

#[test]
fn a_file_that_takes_a_bundled_checkers_name_is_refused_unless_it_may() {
    let listener = Listener::start(Manner::Closing);
    let site = site();
    site.drop_in("web", [check("web", "tcp").target(&listener.url())]);
    site.plugin("tcp", guest("counter"));
    let agent = site.start();
    agent.until("web", "UP");
    let by_bundled = || {
        let seen = agent.check("web");
        that(seen["message"] == "accepts connections", || seen.to_string())
    };
    by_bundled().unwrap();
    assert_eq!(agent.plugin("tcp").unwrap()["source"], "bundled");
    let path = site.plugin_path("tcp").display().to_string();
    // It could be half written: that is judged at the second look.
    eventually("it is said in the log", SOON, || that(agent.log().contains(&path), || "not yet".into()));
    has_line(&agent.log(), &[&path, "override = [\"tcp\"]", "[plugins]"]);
    let ended = vitald_of(&site, &["reload"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    has_line(&ended.stdout, &["tcp.wasm", "override = [\"tcp\"]"]);
    throughout("the bundled one judges", Duration::from_millis(500), by_bundled);

    let main = std::fs::read_to_string(site.main()).unwrap();
    write(&site.main(), format!("{main}\n[plugins]\noverride = [\"tcp\"]\n"));
    let by_file = || {
        let seen = agent.check("web");
        that(seen["message"].as_str().is_some_and(|text| text.starts_with("run ")), || seen.to_string())
    };
    eventually("the file takes its place", SOON, by_file);
    assert_eq!(agent.plugin("tcp").unwrap()["source"], path.as_str());
    site.plugin("tcp", "\0asm broken");
    throughout("the last good one runs on", Duration::from_secs(1), by_file);
    edit_main(&site, "override = [\"tcp\"]", "override = []");
    eventually("the bundled one is back", SOON, by_bundled);
    agent.shows("web", "UP").unwrap();
}
