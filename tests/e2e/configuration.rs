//! Mistakes in the configuration, and what the agent does about them; the command line; the demonstration.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Agent, Ended, Site, check, eventually, guest, service, that, throughout, vitald};

const SOON: Duration = Duration::from_secs(15);
const EXIT_USAGE: i32 = 64;
const EXIT_CONFIG: i32 = 78;

fn check_command(site: &Site) -> Ended {
    vitald(&["config", "check", site.main().to_str().unwrap()])
}

fn run_command(site: &Site, more: &[&str]) -> Ended {
    vitald(&[&["run", "--config", site.main().to_str().unwrap()], more].concat())
}

/// A host with one check, and a configuration that is good.
fn good() -> Site {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    site.drop_in("app", [check("app", "noop")]);
    site
}

fn reload_successful(agent: &Agent, value: f64) -> Result<(), String> {
    let seen = agent.metrics().get("vitald_config_last_reload_successful", &[]);
    that(seen == Some(value), || format!("vitald_config_last_reload_successful is {seen:?}"))
}

#[test]
fn five_mistakes_have_five_messages_with_their_places() {
    let site = good().with("agent", "lisen = [\"127.0.0.1:0\"]");
    site.drop_in_text(
        "wrong",
        "[[service]]\nname = \"shop\"\naddress = \"8080\"\n\n\
         [[check]]\nname = \"a\"\nchecker = \"noop\"\ntimeout = 5\n\n\
         [[check]]\nname = \"b\"\nchecker = \"noop\"\nservice = \"no-such\"\n\n\
         [[check]]\nname = \"app\"\nchecker = \"noop\"\n",
    );
    let main = std::fs::read_to_string(site.main()).unwrap();
    let misspelt = main.lines().position(|line| line.starts_with("lisen")).unwrap() + 1;
    let wrong = site.drop_in_path("wrong");
    let places = [
        (site.main(), misspelt, "agent.lisen", "did you mean \"listen\"?"),
        (wrong.clone(), 3, "service.shop.address", "\":8080\""),
        (wrong.clone(), 8, "check.a.timeout", "with its unit"),
        (wrong.clone(), 13, "check.b.service", "no service \"no-such\""),
        (wrong, 15, "check.app", "already at"),
    ];
    let line =
        |(file, line, key, _): &(std::path::PathBuf, usize, &str, &str)| format!("{}:{line}: {key}: ", file.display());
    for ended in [check_command(&site), run_command(&site, &[]), run_command(&site, &["--strict"])] {
        assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
        for place in &places {
            let found = ended.stderr.lines().find(|text| text.starts_with(&line(place)));
            let found = found.unwrap_or_else(|| panic!("no line begins with {:?}:\n{}", line(place), ended.stderr));
            assert!(found.contains(place.3), "{found:?} does not say {:?}", place.3);
        }
    }
    let ended = check_command(&site);
    assert!(ended.stderr.contains("5 mistakes"), "not five of them:\n{}", ended.stderr);
}

#[test]
fn a_good_configuration_is_called_good() {
    let site = good();
    let ended = check_command(&site);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(ended.stdout.contains("host-1") && ended.stdout.contains("stands alone"), "{ended:?}");
}

#[test]
fn a_bad_drop_in_at_a_start_is_no_outage() {
    let site = good();
    let mut agent = site.start();
    agent.until("app", "UP");
    assert_eq!(agent.get("/health").json()["config"], "file");
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);

    site.drop_in_text("bad", "[[check]]\nname = \"bad\"\nchcker = \"noop\"\n");
    let ended = run_command(&site, &["--strict"]);
    assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
    let agent = site.start();
    agent.until("app", "UP");
    agent.until_health(200);
    assert_eq!(agent.get("/health").json()["config"], "last-good");
    agent.answers("/health/checks/bad", 404).unwrap();
    reload_successful(&agent, 0.0).unwrap();
    let log = agent.log();
    assert!(log.contains("bad.toml:3: check.bad.chcker"), "the log does not name the place");

    site.drop_in("bad", [check("bad", "noop")]);
    eventually("mended", SOON, || reload_successful(&agent, 1.0));
    agent.until("bad", "UP");
}

#[test]
fn a_damaged_main_file_at_a_start_is_no_outage() {
    let site = good();
    let mut agent = site.start();
    agent.until("app", "UP");
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    let text = std::fs::read_to_string(site.main()).unwrap();
    crate::harness::write(&site.main(), text + "\n[sandbox]\nconcurency = 5\n");
    let agent = site.start();
    agent.until("app", "UP");
    assert_eq!(agent.get("/health").json()["config"], "last-good");
}

#[test]
fn a_bad_drop_in_changes_nothing_that_runs() {
    let site = good();
    let agent = site.start();
    agent.until("app", "UP");
    reload_successful(&agent, 1.0).unwrap();
    site.drop_in_text("app", "[[check]]\nname = \"app\"\nchecker = ");
    eventually("it is refused", SOON, || reload_successful(&agent, 0.0));
    throughout("the check runs on", Duration::from_secs(1), || agent.shows("app", "UP"));
    site.drop_in("app", [check("app", "noop").with("interval", "450ms")]);
    eventually("mended", SOON, || reload_successful(&agent, 1.0));
    let seen = agent.get("/api/v1/checks/app").json();
    assert_eq!(seen["interval_ms"], 450.0, "{seen}");
    let refusals = agent.log().lines().filter(|line| line.contains("configuration not taken over")).count();
    assert_eq!(refusals, 1, "the same mistake was reported {refusals} times");
}

#[test]
fn a_drop_in_that_others_can_write_is_refused_with_the_command() {
    let site = good();
    let path = site.drop_in_path("app");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let command = format!("chmod go-w '{}'", path.display());
    mode(0o666);
    let ended = check_command(&site);
    assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
    assert!(ended.stderr.contains(&command), "{ended:?}");
    mode(0o644);
    let agent = site.start();
    agent.until("app", "UP");
    mode(0o666);
    eventually("it is refused", SOON, || reload_successful(&agent, 0.0));
    assert!(agent.log().contains(&command), "the log does not have the command");
    agent.shows("app", "UP").unwrap();
}

#[test]
fn what_needs_a_plugin_is_no_mistake_of_the_text() {
    let site = good();
    site.drop_in("more", [service("shop"), check("shop", "no-such").of("shop")]);
    assert_eq!(check_command(&site).code, 0);
    let agent = site.start();
    agent.until_unknown("shop", "no-checker");
    agent.until("app", "UP");
    let seen = agent.get("/api/v1/services").json();
    assert_eq!(seen["services"][0]["registrable"], false, "nothing is known of it: {seen}");
}

#[test]
fn a_port_of_zero_is_read_back_and_a_port_that_is_taken_is_said() {
    let site = good();
    let text = std::fs::read_to_string(site.main()).unwrap();
    crate::harness::write(&site.main(), text.replace(&site.port().to_string(), "0"));
    let agent = site.start();
    let port = agent.url().rsplit(':').next().unwrap().to_owned();
    assert_ne!(port, "0");
    agent.until("app", "UP");

    let other = good();
    let text = std::fs::read_to_string(other.main()).unwrap();
    crate::harness::write(&other.main(), text.replace(&other.port().to_string(), &port));
    let ended = run_command(&other, &[]);
    assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
    assert!(ended.stderr.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{ended:?}");
}

#[test]
fn the_command_line_answers_whatever_else_is_broken() {
    let help = vitald(&["--help"]);
    assert_eq!(help.code, 0);
    for word in ["run", "demo", "config", "--log-format", "78"] {
        assert!(help.stdout.contains(word), "{word} is missing:\n{}", help.stdout);
    }
    let version = vitald(&["--version"]);
    assert_eq!((version.code, version.stdout.starts_with("vitald ")), (0, true), "{version:?}");
    for wrong in [&["--no-such"][..], &["no-such"], &["run", "--config"], &["config"]] {
        let ended = vitald(wrong);
        assert_eq!(ended.code, EXIT_USAGE, "{wrong:?}: {ended:?}");
    }
    let ended = vitald(&["run", "--config", "/no/such/file.toml"]);
    assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
    assert!(ended.stderr.contains("/no/such/file.toml"), "{ended:?}");
    if !Path::new("/etc/vitald/vitald.toml").exists() {
        let ended = vitald(&["run"]);
        assert_eq!(ended.code, EXIT_CONFIG, "{ended:?}");
        assert!(ended.stderr.contains("vitald demo"), "{ended:?}");
    }
}

#[test]
fn the_demonstration_runs_on_any_machine() {
    let site = Site::new();
    let mut agent = Agent::demo(&site);
    agent.until("own-http", "UP");
    agent.until("own-port", "UP");
    agent.until_health(200);
    assert_eq!(agent.get("/health").json()["config"], "demo");
    let metrics = agent.metrics();
    for name in [
        "node_cpu_seconds_total",
        "node_memory_MemTotal_bytes",
        "node_load1",
        "node_filesystem_size_bytes",
        "node_network_receive_bytes_total",
    ] {
        assert!(metrics.get(name, &[]).is_some(), "{name} is missing");
    }
    assert!(
        metrics.get("vitald_build_info", &[]) == Some(1.0)
            && metrics.get("process_resident_memory_bytes", &[]).is_some()
    );
    let said = agent.log();
    assert!(said.contains(&format!("curl {}/health", agent.url())), "it does not say where to look");
    agent.signal(Signal::INT);
    assert_eq!(agent.end(SOON), 0);
}

#[test]
fn logs_are_json_where_that_is_wanted_and_silent_about_runs() {
    let site = good();
    let agent = site.start_with(&["--log-format", "json"]);
    agent.until("app", "UP");
    let runs = || agent.metrics().sum("vitald_check_runs_total", &[("check", "app")]);
    eventually("five runs", SOON, || that(runs() >= 5.0, || runs().to_string()));
    let log = agent.log();
    for line in log.lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|line| line["timestamp"].is_string() && line["message"].is_string()), "{line}");
    }
    let of_check = log.lines().filter(|line| line.contains("check app")).count();
    assert_eq!(of_check, 1, "one line per change, none per run:\n{log}");
}
