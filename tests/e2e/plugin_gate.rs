//! Which new versions of a plugin are let in: `[plugins] reload`, `pin` and `override`, and what an operator approves.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::control::{done, ends_with};
use crate::harness::{
    Agent, Listener, Manner, Poll, Site, bundled, check, eventually, guest, stamped, that, throughout, timed,
    with_schema,
};
use crate::plugin_files::{ONE, SOON, TAKEN, TWO, edit_main, notice, plugin_is, reloads, running, says, warnings};

/// What `noop_map` and `noop_net` say.
const WITH_A_MAP: &str = "ok with a map";
const WITH_THE_NETWORK: &str = "ok with the network";

pub fn gated(lines: &str) -> Site {
    Site::new().with("plugins", lines)
}

/// SHA-256, in hex, as `sha256sum` prints it for whoever writes a pin.
pub fn digest_of(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn is_digest(seen: &Value, digest: &str) -> bool {
    seen.as_str().is_some_and(|seen| seen.trim_start_matches("sha256:") == digest)
}

/// The row of a plugin in `vitald plugin list`: name, version, state, digest, powers, checks.
fn row(site: &Site, name: &str) -> String {
    let listed = done(site, &["plugin", "list"]).stdout;
    let heads: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["NAME", "VERSION", "STATE", "DIGEST", "POWERS", "CHECKS"], "{listed}");
    let own = |line: &&str| line.split_whitespace().next() == Some(name);
    listed.lines().find(own).unwrap_or_else(|| panic!("{name} is not in\n{listed}")).to_owned()
}

pub fn stopped(agent: &mut Agent) {
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
}

/// Waits until a version of `app` waits for approval, and looks at everything that says so.
fn parked(site: &Site, agent: &Agent, judges: &str) -> Value {
    let seen = plugin_is(agent, "app", "pending");
    assert!(is_digest(&seen["pending"]["digest"], &digest_of(&site.plugin_path("app"))), "{seen}");
    assert_ne!(seen["digest"], seen["pending"]["digest"]);
    eventually("it is said beside the verdict", SOON, || that(notice(agent).is_some(), String::new));
    println!("notice: {}", notice(agent).unwrap());
    assert!(warnings(agent).iter().any(|line| line.contains("vitald plugin approve app")), "{}", agent.log());
    assert!(row(site, "app").contains("pending"), "{}", row(site, "app"));
    throughout("the one before it judges", Duration::from_secs(1), || says(agent, judges));
    seen
}

pub fn approved(site: &Site, agent: &Agent, judges: &str) {
    let ended = done(site, &["plugin", "approve", "app"]);
    assert!(ended.stdout.contains("app"), "{ended:?}");
    timed("approved until it judges", TAKEN, || says(agent, judges));
    let seen = plugin_is(agent, "app", "ready");
    assert!(is_digest(&seen["digest"], &digest_of(&site.plugin_path("app"))), "{seen}");
    assert_eq!(seen["pending"], Value::Null);
    eventually("nothing is said any more", SOON, || that(agent.check("app")["notice"].is_null(), String::new));
}

#[test]
fn a_version_that_wants_more_waits_for_an_operator() {
    let site = gated("reload = \"same-powers\"");
    let mut agent = running(&site);
    let healthy = Poll::start(&agent, "/health", 200);
    assert_eq!(agent.plugin("app").unwrap()["powers"], json!([]));
    // Imports that are no power.
    site.plugin("app", guest("noop_map"));
    timed("no power more: let in", TAKEN, || says(&agent, WITH_A_MAP));
    assert_eq!((plugin_is(&agent, "app", "ready")["pending"].clone(), reloads(&agent, "parked")), (Value::Null, 0.0));

    site.plugin("app", guest("noop_net"));
    let seen = parked(&site, &agent, WITH_A_MAP);
    let waits = &seen["pending"];
    assert_eq!((&seen["powers"], &waits["powers"]), (&json!([]), &json!(["network"])), "{seen}");
    assert!(waits["why"].as_str().unwrap().contains("network"), "{seen}");
    assert_eq!((reloads(&agent, "parked"), reloads(&agent, "failure")), (1.0, 0.0));
    let listed = done(&site, &["plugin", "list", "--json"]).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let own = listed["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "app").unwrap();
    for key in ["name", "source", "state", "digest", "version", "powers", "pending", "checks", "error"] {
        assert_eq!(own[key], seen[key], "{key} is another in {listed}");
    }

    // What the operator saw may be another by now.
    let (other, own) = (digest_of(&site.main()), digest_of(&site.plugin_path("app")));
    let refused = ends_with(&site, &["plugin", "approve", "app", "--digest", &other], 1);
    assert!(refused.stderr.contains(&own), "{refused:?}");
    says(&agent, WITH_A_MAP).unwrap();
    assert!(done(&site, &["plugin", "list"]).stdout.contains(&format!("approve app --digest {}", &own[..12])));
    assert_eq!(agent.metrics().get("vitald_plugin_pending", &[("plugin", "app")]), Some(1.0));

    approved(&site, &agent, WITH_THE_NETWORK);
    assert_eq!(agent.metrics().get("vitald_plugin_pending", &[("plugin", "app")]), None);
    assert_eq!(agent.plugin("app").unwrap()["powers"], json!(["network"]));
    assert!(row(&site, "app").contains("network"), "{}", row(&site, "app"));
    let refused = ends_with(&site, &["plugin", "approve", "app"], 1);
    assert!(refused.stderr.contains("no version of app waits"), "{refused:?}");
    let refused = ends_with(&site, &["plugin", "approve", "no-such"], 1);
    assert!(refused.stderr.contains("no plugin no-such"), "{refused:?}");

    // What wants less than its predecessor needs nobody.
    site.plugin("app", guest("noop"));
    timed("a power less: let in", TAKEN, || says(&agent, ONE));
    assert_eq!(reloads(&agent, "parked"), 1.0);
    healthy.stop();
    stopped(&mut agent);
    ends_with(&site, &["plugin", "approve", "app"], 69);
    ends_with(&site, &["plugin", "list"], 69);
}

#[test]
fn a_version_that_waits_goes_with_its_file() {
    let site = gated("reload = \"same-powers\"");
    let agent = running(&site);
    let network = guest("noop_net");
    site.plugin("app", &network);
    let first = parked(&site, &agent, ONE);
    site.plugin("app", stamped(&network, 1));
    eventually("a newer one takes its place", SOON, || {
        let seen = agent.plugin("app").unwrap();
        that(!seen["pending"].is_null() && seen["pending"]["digest"] != first["pending"]["digest"], || seen.to_string())
    });
    parked(&site, &agent, ONE);
    site.plugin("app", guest("noop"));
    let seen = plugin_is(&agent, "app", "ready");
    assert_eq!((&seen["pending"], &seen["digest"]), (&Value::Null, &first["digest"]));
    ends_with(&site, &["plugin", "approve", "app"], 1);

    site.plugin("app", &network);
    parked(&site, &agent, ONE);
    fs::remove_file(site.plugin_path("app")).unwrap();
    agent.until_unknown("app", "no-checker");
    assert_eq!(agent.plugin("app"), None);
    ends_with(&site, &["plugin", "approve", "app"], 1);
}

#[test]
fn where_an_operator_decides_nothing_new_runs_by_itself() {
    let site = gated("reload = \"manual\"");
    // What is there at the very first start is taken as approved.
    let mut agent = running(&site);
    assert!(agent.log().contains("approved"), "it is not said: {}", agent.log());
    site.plugin("app", guest("version_two"));
    parked(&site, &agent, ONE);
    site.drop_in("other", [check("other", "other")]);
    site.plugin("other", guest("noop"));
    let new = plugin_is(&agent, "other", "pending");
    assert!(!new["pending"].is_null(), "{new}");
    assert_ne!(agent.check("other")["status"], "UP");

    // Nor is a restart a way in.
    stopped(&mut agent);
    let mut agent = site.start();
    eventually("the one before it judges again", SOON, || says(&agent, ONE));
    parked(&site, &agent, ONE);
    plugin_is(&agent, "other", "pending");
    approved(&site, &agent, TWO);
    done(&site, &["plugin", "approve", "other"]);
    agent.until("other", "UP");

    stopped(&mut agent);
    let mut agent = site.start();
    eventually("the one that was approved judges", SOON, || says(&agent, TWO));
    agent.until("other", "UP");
    plugin_is(&agent, "app", "ready");
    agent.kill();
    let agent = site.start();
    eventually("killed or not", SOON, || says(&agent, TWO));
    assert_eq!(agent.plugin("app").unwrap()["state"], "ready");
}

#[test]
fn an_approval_is_no_way_around_what_runs() {
    let site = gated("reload = \"manual\"");
    site.plugin("app", with_schema("{}"));
    let with = |must: &str| [check("app", "app").line(&format!("params = {{ must = {must} }}"))];
    site.drop_in("app", with("7"));
    let agent = site.start();
    agent.until("app", "UP");
    site.plugin("app", guest("picky"));
    plugin_is(&agent, "app", "pending");
    // The one that runs takes any parameters, the one that waits does not take these.
    site.drop_in("app", with("\"seven\""));
    done(&site, &["reload"]);
    let refused = ends_with(&site, &["plugin", "approve", "app"], 1);
    assert!(refused.stderr.contains("must"), "{refused:?}");
    throughout("the one before it judges", Duration::from_secs(1), || says(&agent, "1.0.0"));
    site.drop_in("app", with("8"));
    done(&site, &["reload"]);
    approved(&site, &agent, "must is 8");
}

#[test]
fn a_gate_that_is_opened_lets_in_what_waits() {
    let site = gated("reload = \"manual\"");
    let agent = running(&site);
    site.plugin("app", guest("noop_net"));
    parked(&site, &agent, ONE);
    // Not yet: it wants more than the one before it.
    edit_main(&site, "\"manual\"", "\"same-powers\"");
    eventually("the reason is another", SOON, || {
        let seen = agent.plugin("app").unwrap();
        let why = seen["pending"]["why"].as_str();
        that(seen["state"] == "pending" && why.is_some_and(|why| why.contains("network")), || seen.to_string())
    });
    says(&agent, ONE).unwrap();
    edit_main(&site, "\"same-powers\"", "\"auto\"");
    timed("opened until it judges", TAKEN, || says(&agent, WITH_THE_NETWORK));
    assert_eq!(plugin_is(&agent, "app", "ready")["pending"], Value::Null);

    // And one that is shut keeps out what comes.
    edit_main(&site, "\"auto\"", "\"manual\"");
    done(&site, &["reload"]);
    site.plugin("app", guest("noop"));
    parked(&site, &agent, WITH_THE_NETWORK);
}

#[test]
fn of_a_pinned_plugin_only_that_digest_runs() {
    let site = Site::new();
    let next = site.path().join("next.wasm");
    fs::write(&next, guest("version_two")).unwrap();
    site.plugin("app", guest("noop"));
    let (one, two) = (digest_of(&site.plugin_path("app")), digest_of(&next));
    let site = site.with("plugins", &format!("reload = \"manual\"\npin = {{ app = \"sha256:{one}\" }}"));
    let mut agent = running(&site);
    let healthy = Poll::start(&agent, "/health", 200);
    site.plugin("app", guest("version_two"));
    let refused = plugin_is(&agent, "app", "kept");
    assert!(is_digest(&refused["digest"], &one), "{refused}");
    let why = refused["error"].as_str().unwrap();
    assert!(why.contains(&two) && why.contains(&one) && why.contains("pin"), "{why}");
    eventually("it is said beside the verdict", SOON, || that(notice(&agent).is_some(), String::new));
    assert!(warnings(&agent).iter().any(|line| line.contains("pin")), "{}", agent.log());
    throughout("the pinned one judges", Duration::from_secs(1), || says(&agent, ONE));
    assert_eq!((reloads(&agent, "failure"), reloads(&agent, "parked")), (1.0, 0.0));
    ends_with(&site, &["plugin", "approve", "app"], 1);
    healthy.stop();

    // Over a restart too.
    stopped(&mut agent);
    let agent = site.start();
    eventually("the pinned one judges again", SOON, || says(&agent, ONE));
    plugin_is(&agent, "app", "kept");

    // The pin is the approval.
    let healthy = Poll::start(&agent, "/health", 200);
    edit_main(&site, &one, &two);
    timed("another pin until what it names judges", TAKEN, || says(&agent, TWO));
    plugin_is(&agent, "app", "ready");
    healthy.stop();
}

#[test]
fn a_pin_that_nothing_fits_is_the_checks_own_fault() {
    let none = "0".repeat(64);
    let site = gated(&format!("pin = {{ app = \"sha256:{none}\" }}"));
    site.plugin("app", guest("noop"));
    site.plugin("steady", guest("noop"));
    site.drop_in("checks", [check("app", "app"), check("steady", "steady")]);
    let agent = site.start();
    agent.until("steady", "UP");
    let seen = plugin_is(&agent, "app", "broken");
    assert!(seen["error"].as_str().unwrap().contains("pin"), "{seen}");
    agent.until_unknown("app", "no-checker");
    agent.until_health(200);
}

#[test]
fn what_was_put_there_while_the_agent_was_stopped_costs_nothing() {
    let site = gated("reload = \"same-powers\"");
    let mut agent = running(&site);
    let good = agent.plugin("app").unwrap();
    stopped(&mut agent);
    site.plugin("app", "\0asm but not really");
    let mut agent = site.start();
    eventually("the last good one judges", SOON, || says(&agent, ONE));
    let seen = plugin_is(&agent, "app", "kept");
    assert_eq!(seen["digest"], good["digest"]);
    assert!(!seen["error"].as_str().unwrap().is_empty());
    eventually("it is said beside the verdict", SOON, || that(notice(&agent).is_some(), String::new));
    assert_eq!(reloads(&agent, "failure"), 1.0);

    stopped(&mut agent);
    site.plugin("app", guest("noop_net"));
    let mut agent = site.start();
    eventually("the last good one judges", SOON, || says(&agent, ONE));
    parked(&site, &agent, ONE);

    stopped(&mut agent);
    site.plugin("app", guest("version_two"));
    let agent = site.start();
    eventually("a better one judges", SOON, || says(&agent, TWO));
    plugin_is(&agent, "app", "ready");
}

/// Is the plugin `tcp` ready, and from there?
fn tcp_is_from(agent: &Agent, source: &str) -> Result<Value, String> {
    let plugins = agent.get("/api/v1/plugins").json();
    let of_name = plugins["plugins"].as_array().unwrap().iter().filter(|plugin| plugin["name"] == "tcp");
    let ready = of_name.clone().find(|plugin| plugin["digest"].is_string() && plugin["state"] != "unused");
    let fits = |plugin: &&Value| plugin["source"].as_str().is_some_and(|seen| seen.ends_with(source));
    ready.filter(fits).cloned().ok_or_else(|| of_name.map(Value::to_string).collect())
}

#[test]
fn a_file_takes_a_bundled_checkers_place_where_a_line_says_so() {
    let (site, listener) = (gated("reload = \"auto\"\noverride = []"), Listener::start(Manner::Closing));
    let own = stamped(&bundled("tcp"), 1);
    site.plugin("tcp", &own);
    site.drop_in("web", [check("web", "tcp").target(&listener.url())]);
    let agent = site.start();
    agent.until("web", "UP");
    let original = tcp_is_from(&agent, "bundled").unwrap()["digest"].clone();
    let line = "override = [\"tcp\"]";
    eventually("the line is named", SOON, || that(agent.log().contains(line), || agent.log()));
    let healthy = Poll::start(&agent, "/health", 200);

    edit_main(&site, "override = []", line);
    let seen = eventually("the file takes its place", SOON, || tcp_is_from(&agent, "plugins/tcp.wasm"));
    assert!(is_digest(&seen["digest"], &digest_of(&site.plugin_path("tcp"))) && seen["digest"] != original, "{seen}");
    throughout("it judges", Duration::from_secs(1), || agent.shows("web", "UP"));

    site.plugin("tcp", &own[..own.len() / 2]);
    let kept = plugin_is(&agent, "tcp", "kept");
    assert_eq!(kept["digest"], seen["digest"]);
    site.plugin("tcp", &own);
    plugin_is(&agent, "tcp", "ready");

    fs::remove_file(site.plugin_path("tcp")).unwrap();
    let back = eventually("the bundled one is back", SOON, || tcp_is_from(&agent, "bundled"));
    assert_eq!(back["digest"], original);
    throughout("it judges", Duration::from_secs(1), || agent.shows("web", "UP"));

    // A file that never worked: the bundled one judges.
    site.plugin("tcp", &own[..own.len() / 2]);
    eventually("it is said beside the verdict", SOON, || {
        let seen = agent.check("web");
        that(seen["notice"].is_string() && seen["status"] == "UP", || seen.to_string())
    });
    assert_eq!(plugin_is(&agent, "tcp", "kept")["digest"], original);

    site.plugin("tcp", &own);
    eventually("the file takes its place again", SOON, || tcp_is_from(&agent, "plugins/tcp.wasm"));
    edit_main(&site, line, "override = []");
    eventually("without the line the bundled one is back", SOON, || tcp_is_from(&agent, "bundled"));
    throughout("it judges", Duration::from_secs(1), || agent.shows("web", "UP"));
    healthy.stop();
}
