//! Plugin files come, change, break and go while the agent runs.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Agent, Site, check, eventually, guest, that, throughout, timed, write};

const SOON: Duration = Duration::from_secs(15);

fn plugin_is(agent: &Agent, name: &str, state: &str) -> Value {
    eventually(&format!("the plugin {name} is {state}"), SOON, || {
        let seen = agent.plugin(name).ok_or_else(|| "it is not listed".to_owned())?;
        that(seen["state"] == state, || seen.to_string()).map(|()| seen)
    })
}

fn says(agent: &Agent, check: &str, message: &str) -> Result<(), String> {
    let seen = agent.check(check);
    that(seen["status"] == "UP" && seen["message"] == message, || seen.to_string())
}

/// Due = runs + skipped for every check, once no run is in flight.
fn accounts_balance(agent: &Agent) {
    eventually("due = runs + skipped for every check", SOON, || {
        let metrics = agent.metrics();
        for check in metrics.values_of("vitald_schedule_due_total", "check") {
            let sum = |name| metrics.sum(name, &[("check", check.as_str())]);
            let due = sum("vitald_schedule_due_total");
            let (runs, skipped) = (sum("vitald_check_runs_total"), sum("vitald_check_skipped_total"));
            that(due == runs + skipped && due > 0.0, || format!("{check}: due {due}, runs {runs}, skipped {skipped}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_plugin_is_dropped_replaced_broken_and_removed() {
    let site = Site::new();
    site.drop_in("checks", [check("app", "app"), check("steady", "steady")]);
    site.plugin("steady", guest("noop"));
    let agent = site.start();
    agent.until("steady", "UP");
    agent.until_unknown("app", "no-checker");
    agent.until_health(200);

    site.plugin("app", guest("noop"));
    timed("renamed into place until its first run (target 1 s)", Duration::from_secs(10), || says(&agent, "app", "ok"));
    let seen = plugin_is(&agent, "app", "ready");
    assert_eq!(seen["checks"], serde_json::json!(["app"]));
    assert!(seen["source"].as_str().unwrap().ends_with("plugins/app.wasm"), "{seen}");

    let better = |agent: &Agent| says(agent, "app", "ok from version two");
    site.plugin("app", guest("version_two"));
    timed("replaced until the new one judges (target 1 s)", Duration::from_secs(10), || better(&agent));
    let two = plugin_is(&agent, "app", "ready");
    assert_ne!(two["digest"], seen["digest"]);

    site.plugin("app", "\0asm but not really");
    let kept = plugin_is(&agent, "app", "kept");
    assert!(!kept["error"].as_str().unwrap().is_empty(), "{kept}");
    assert_eq!(kept["digest"], two["digest"]);
    throughout("the last good one runs on", Duration::from_secs(1), || better(&agent));
    let failures = [("plugin", "app"), ("result", "failure")];
    assert_eq!(agent.metrics().sum("vitald_plugin_reloads_total", &failures), 1.0);

    std::fs::remove_file(site.plugin_path("app")).unwrap();
    let gone = agent.until_unknown("app", "no-checker");
    assert_eq!(gone["last"], "UP", "{gone}");
    assert!(agent.plugin("app").is_none());
    agent.answers("/health", 200).unwrap();

    site.plugin("app", guest("noop"));
    eventually("it is back", SOON, || says(&agent, "app", "ok"));
    agent.shows("steady", "UP").unwrap();
    accounts_balance(&agent);
}

#[test]
fn a_plugin_that_cannot_describe_itself_is_broken() {
    let site = Site::new();
    site.plugin("mute", guest("describe_trap"));
    site.plugin("core", b"\0asm\x01\0\0\0");
    site.drop_in("checks", [check("mute", "mute"), check("core", "core")]);
    let agent = site.start();
    let seen = plugin_is(&agent, "mute", "broken");
    assert!(seen["error"].as_str().unwrap().contains("describe"), "{seen}");
    let seen = agent.until_unknown("mute", "no-checker");
    assert!(seen["message"].as_str().unwrap().contains("deliberate"), "{seen}");
    plugin_is(&agent, "core", "broken");
    agent.until_health(200);
    accounts_balance(&agent);
}

#[test]
fn parameters_that_a_checker_refuses_are_the_checks_own_fault() {
    let site = Site::new();
    site.plugin("picky", guest("picky"));
    site.drop_in(
        "checks",
        [
            check("good", "picky").line("params = { must = 7 }"),
            check("without", "picky"),
            check("wrong", "picky").line("params = { must = \"seven\" }"),
            check("more", "picky").line("params = { must = 7, other = 1 }"),
            check("target", "picky").line("params = { must = 7 }").target("tcp://127.0.0.1:1"),
        ],
    );
    let agent = site.start();
    eventually("the good one", SOON, || says(&agent, "good", "must is 7"));
    for (name, text) in [("without", "must"), ("wrong", "params.must"), ("more", "other"), ("target", "target")] {
        let seen = agent.until_unknown(name, "invalid-params");
        let message = seen["message"].as_str().unwrap();
        assert!(message.contains("checks.toml:") && message.contains(text), "{name}: {seen}");
    }
    agent.until_health(200);
    site.drop_in("checks", [check("without", "picky").line("params = { must = 8 }")]);
    eventually("mended", SOON, || says(&agent, "without", "must is 8"));
}

#[test]
fn a_version_that_refuses_what_runs_is_not_swapped_in() {
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.drop_in("checks", [check("app", "app")]);
    let agent = site.start();
    eventually("it is UP", SOON, || says(&agent, "app", "ok"));
    site.plugin("app", guest("picky"));
    let seen = plugin_is(&agent, "app", "kept");
    let error = seen["error"].as_str().unwrap();
    assert!(error.contains("app") && error.contains("must"), "{seen}");
    throughout("the one before it runs on", Duration::from_secs(1), || says(&agent, "app", "ok"));
    accounts_balance(&agent);
}

#[test]
fn a_version_that_refuses_the_target_of_what_runs_is_not_swapped_in() {
    let site = Site::new();
    let listener = crate::harness::Listener::start(crate::harness::Manner::Closing);
    site.plugin("app", crate::harness::bundled("tcp"));
    site.drop_in("checks", [check("app", "app").target(&listener.url())]);
    let agent = site.start();
    agent.until("app", "UP");
    // It takes no target at all.
    site.plugin("app", guest("noop"));
    let seen = plugin_is(&agent, "app", "kept");
    assert!(seen["error"].as_str().unwrap().contains("target"), "{seen}");
    throughout("the one before it runs on", Duration::from_secs(1), || agent.shows("app", "UP"));
}

#[test]
fn files_that_may_not_be_plugins_are_refused_with_the_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let open = site.plugin_path("open");
    write(&open, guest("noop"));
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    site.plugin("tcp", guest("noop"));
    site.drop_in("checks", [check("open", "open")]);
    let agent = site.start();
    let seen = plugin_is(&agent, "open", "broken");
    assert!(seen["error"].as_str().unwrap().contains("chmod go-w"), "{seen}");
    let log = agent.log();
    assert!(log.contains("bundled checker"), "nothing is said of tcp.wasm");
    agent.until_unknown("open", "no-checker");

    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    eventually("mended", SOON, || says(&agent, "open", "ok"));
}
