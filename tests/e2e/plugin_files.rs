//! Every way in which a file comes to a plugin directory, and what the agent makes of it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Agent, Poll, Site, check, eventually, guest, make_dir, stamped, that, throughout, timed, write};

pub const SOON: Duration = Duration::from_secs(15);
/// For what is to take 300 ms, or a second at most.
pub const TAKEN: Duration = Duration::from_secs(10);
/// What `noop` and `version_two` say.
pub const ONE: &str = "ok";
pub const TWO: &str = "ok from version two";

/// Starts an agent whose check `app` runs with the plugin `app`, and waits for version one's verdict.
pub fn running(site: &Site) -> Agent {
    site.plugin("app", guest("noop"));
    site.drop_in("app", [check("app", "app")]);
    let agent = site.start();
    eventually("version one judges", SOON, || says(&agent, ONE));
    agent
}

/// Does the check `app` say that?
pub fn says(agent: &Agent, message: &str) -> Result<(), String> {
    let seen = agent.check("app");
    that(seen["status"] == "UP" && seen["message"] == message, || seen.to_string())
}

pub fn plugin_is(agent: &Agent, name: &str, state: &str) -> Value {
    eventually(&format!("the plugin {name} is {state}"), SOON, || {
        let seen = agent.plugin(name).ok_or_else(|| "it is not listed".to_owned())?;
        that(seen["state"] == state, || seen.to_string()).map(|()| seen)
    })
}

/// How many versions of the plugin `app` came to that.
pub fn reloads(agent: &Agent, result: &str) -> f64 {
    agent.metrics().sum("vitald_plugin_reloads_total", &[("plugin", "app"), ("result", result)])
}

/// What is said beside the verdict of the check `app`, where anything is.
pub fn notice(agent: &Agent) -> Option<String> {
    let own = agent.check("app")["notice"].as_str().map(str::to_owned);
    let among_all = agent.get("/health").json()["details"]["app"]["notice"].as_str().map(str::to_owned);
    own.filter(|own| among_all.as_ref() == Some(own))
}

pub fn warnings(agent: &Agent) -> Vec<String> {
    let log = agent.log();
    log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).map(str::to_owned).collect()
}

/// Waits until the agent has looked at everything again: it has, once it knows a plugin that was put there last.
pub fn look(site: &Site, agent: &Agent) {
    let name = format!("looked-{}", agent.get("/api/v1/plugins").json()["plugins"].as_array().unwrap().len());
    site.plugin(&name, guest("down"));
    plugin_is(agent, &name, "ready");
}

/// Writes a file in place, bit by bit, and looks meanwhile.
fn grow(path: &Path, bytes: &[u8], mut look: impl FnMut() -> Result<(), String>) {
    const STEP: Duration = Duration::from_millis(50);
    let mut file = File::create(path).unwrap();
    for part in bytes.chunks(bytes.len() / 25 + 1) {
        file.write_all(part).unwrap();
        throughout("nothing is made of half a file", STEP, &mut look);
    }
}

/// How the first file comes into the second's place.
type Way = (&'static str, fn(&Path, &Path));

#[test]
fn however_a_file_is_put_into_place_it_is_taken() {
    let site = Site::new();
    let agent = running(&site);
    let healthy = Poll::start(&agent, "/health", 200);
    let (path, aside) = (site.plugin_path("app"), site.path().join("aside.wasm"));
    let ways: [Way; 6] = [
        ("renamed over it", |aside, path| write(path, fs::read(aside).unwrap())),
        ("moved here from elsewhere", |aside, path| fs::rename(aside, path).unwrap()),
        ("copied over it", |aside, path| {
            fs::copy(aside, path).unwrap();
        }),
        ("written anew, the old one kept beside it, as editors do", |aside, path| {
            fs::rename(path, path.with_extension("wasm~")).unwrap();
            fs::copy(aside, path).unwrap();
        }),
        ("removed and linked", |aside, path| {
            fs::remove_file(path).unwrap();
            fs::hard_link(aside, path).unwrap();
        }),
        ("led elsewhere by a symlink", |aside, path| crate::harness::link(path, aside)),
    ];
    for (n, (how, put)) in ways.into_iter().enumerate() {
        let (name, message) = if n % 2 == 0 { ("version_two", TWO) } else { ("noop", ONE) };
        write(&aside, guest(name));
        put(&aside, &path);
        timed(how, TAKEN, || says(&agent, message));
    }
    // And what happens behind the symlink is seen.
    write(&aside, guest("version_two"));
    timed("replaced where a symlink leads to", TAKEN, || says(&agent, TWO));
    healthy.stop();
    assert_eq!(reloads(&agent, "failure"), 0.0);
    assert_eq!(warnings(&agent), Vec::<String>::new());
}

#[test]
fn a_file_that_grows_is_not_judged_before_it_is_whole() {
    let site = Site::new();
    let agent = running(&site);
    let nothing = warnings(&agent);
    grow(&site.plugin_path("app"), &guest("version_two"), || {
        says(&agent, ONE)?;
        let seen = agent.plugin("app").ok_or("it is not listed")?;
        that(seen["state"] == "ready" && seen["error"].is_null(), || seen.to_string())?;
        that(warnings(&agent) == nothing, || warnings(&agent).join("\n"))
    });
    timed("written to its end until it judges", TAKEN, || says(&agent, TWO));

    site.drop_in("late", [check("late", "late")]);
    let before = agent.until_unknown("late", "no-checker");
    eventually("that is said", SOON, || that(warnings(&agent).len() > nothing.len(), String::new));
    let nothing = warnings(&agent);
    grow(&site.plugin_path("late"), &guest("noop"), || {
        let seen = agent.check("late");
        that(seen["message"] == before["message"], || seen.to_string())?;
        let listed = agent.plugin("late");
        that(listed.as_ref().is_none_or(|seen| seen["state"] != "broken"), || format!("{listed:?}"))?;
        that(warnings(&agent) == nothing, || warnings(&agent).join("\n"))
    });
    timed("the first version, written to its end until it judges", TAKEN, || agent.shows("late", "UP"));
    let metrics = agent.metrics();
    assert_eq!(metrics.sum("vitald_plugin_reloads_total", &[("result", "failure")]), 0.0);
    assert_eq!(warnings(&agent), nothing);
}

#[test]
fn a_broken_file_keeps_the_last_good_one_and_everybody_is_told() {
    let site = Site::new();
    let agent = running(&site);
    let (good, healthy) = (plugin_is(&agent, "app", "ready"), Poll::start(&agent, "/health", 200));
    assert_eq!(notice(&agent), None);

    let whole = guest("version_two");
    site.plugin("app", &whole[..whole.len() / 2]);
    let kept = plugin_is(&agent, "app", "kept");
    assert_eq!((&kept["digest"], &kept["version"]), (&good["digest"], &good["version"]));
    let reason = kept["error"].as_str().unwrap();
    assert!(!reason.is_empty());
    let said = eventually("it is said beside the verdict", SOON, || notice(&agent).ok_or("nothing is said".into()));
    println!("notice: {said}");
    assert!(warnings(&agent).iter().any(|line| line.contains("app") && line.contains(reason)), "{}", agent.log());
    assert_eq!(reloads(&agent, "failure"), 1.0);
    throughout("the last good one judges", Duration::from_secs(1), || says(&agent, ONE));

    // Looked at again, it is not counted and said again.
    look(&site, &agent);
    assert_eq!(reloads(&agent, "failure"), 1.0);
    assert_eq!(warnings(&agent).len(), 1, "{}", agent.log());

    site.plugin("app", &whole[..whole.len() / 3]);
    eventually("another one is another failure", SOON, || {
        let count = reloads(&agent, "failure");
        that(count == 2.0, || count.to_string())
    });
    says(&agent, ONE).unwrap();

    // What runs is put back: nothing is to be loaded, and nothing left to be said.
    let loaded = reloads(&agent, "success");
    site.plugin("app", guest("noop"));
    let seen = plugin_is(&agent, "app", "ready");
    assert_eq!((&seen["digest"], &seen["error"]), (&good["digest"], &Value::Null));
    eventually("nothing is said any more", SOON, || that(agent.check("app")["notice"].is_null(), String::new));
    assert_eq!(reloads(&agent, "success"), loaded);
    healthy.stop();
}

#[test]
fn what_has_the_same_content_is_not_loaded_again() {
    let site = Site::new();
    let agent = running(&site);
    let (path, before, loaded) = (site.plugin_path("app"), agent.plugin("app"), reloads(&agent, "success"));
    let touch = |at: u64| {
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
    };
    touch(4_000_000_000);
    look(&site, &agent);
    touch(0);
    look(&site, &agent);
    site.plugin("app", guest("noop"));
    look(&site, &agent);
    fs::write(&path, guest("noop")).unwrap();
    look(&site, &agent);
    assert_eq!((reloads(&agent, "success"), reloads(&agent, "failure")), (loaded, 0.0));
    assert_eq!(agent.plugin("app"), before);

    // Other content with the time stamp and the length of before is another version.
    let (first, second) = (stamped(&guest("noop"), 1), stamped(&guest("noop"), 2));
    let digest = || agent.plugin("app").unwrap()["digest"].clone();
    let mut digests = vec![digest()];
    for bytes in [first, second] {
        fs::write(&path, bytes).unwrap();
        touch(1_000_000_000);
        let known = digests.clone();
        eventually("it is loaded", SOON, || that(!known.contains(&digest()), || digest().to_string()));
        digests.push(digest());
    }
    says(&agent, ONE).unwrap();
}

#[test]
fn of_two_directories_the_first_wins() {
    let site = Site::new();
    edit_main(&site, "plugin_dirs = [\"plugins\"]", "plugin_dirs = [\"plugins\", \"more\"]");
    let more = site.path().join("more");
    make_dir(&more);
    write(&more.join("app.wasm"), guest("version_two"));
    write(&more.join("other.wasm"), guest("noop"));
    site.drop_in("other", [check("other", "other")]);
    let agent = running(&site);
    agent.until("other", "UP");
    let source = |agent: &Agent| agent.plugin("app").unwrap()["source"].as_str().unwrap().to_owned();
    assert!(source(&agent).ends_with("plugins/app.wasm"));

    // A change of what is shadowed is none.
    write(&more.join("app.wasm"), guest("down"));
    look(&site, &agent);
    says(&agent, ONE).unwrap();
    write(&more.join("app.wasm"), guest("version_two"));

    fs::remove_file(site.plugin_path("app")).unwrap();
    timed("the first is removed until the second judges", TAKEN, || says(&agent, TWO));
    assert!(source(&agent).ends_with("more/app.wasm"));
    site.plugin("app", guest("noop"));
    timed("the first is back until it judges", TAKEN, || says(&agent, ONE));
    assert!(source(&agent).ends_with("plugins/app.wasm"));
    assert_eq!(reloads(&agent, "failure"), 0.0);
}

/// Edits the main file, as an operator does.
pub fn edit_main(site: &Site, from: &str, to: &str) {
    let text = fs::read_to_string(site.main()).unwrap();
    assert!(text.contains(from), "there is no {from:?} in\n{text}");
    write(&site.main(), text.replace(from, to));
}
