//! `vitald try` where things are not as usual: odd passwords, files that cannot be written, nobody who reads.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Ended, Listener, Manner, Redis, Site, check, guest, program, vitald_of, with_sin};

use super::{DOWN, REFUSED, UNKNOWN, UP, facts, file, trial};

/// In a directory, with variables.
fn trial_in(site: &Site, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut run = Command::new(program());
    run.arg("try").args(arguments).current_dir(site.path()).envs(variables.iter().copied());
    run.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_password_is_masked_as_the_checker_gets_it() {
    // Typed encoded, because it has to be; sent decoded.
    let (password, typed) = ("p@ss/w:rd-!2", "p%40ss%2Fw%3Ard-%212");
    let redis = Redis::with_password(password);
    let url = format!("redis://:{typed}@127.0.0.1:{}", redis.port());
    let named = format!("redis://:${{env:TRIAL_TYPED}}@127.0.0.1:{}", redis.port());
    let site = Site::new();
    for target in [&url, &named] {
        for form in [&[][..], &["--json"], &["--nagios"], &["--trace"], &["--trace", "--json"]] {
            let arguments = [&["redis", "--target", target], form].concat();
            let output = trial_in(&site, &arguments, &[("TRIAL_TYPED", typed)]);
            let said = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(output.status.code(), Some(UP), "{form:?}: {said}");
            assert!(!said.contains(password) && !said.contains(typed), "{form:?}: {said}");
            if form == ["--trace"] {
                assert!(said.contains("AUTH") && said.contains("***\\r\\n"), "{said}");
            }
        }
    }
    site.secret("typed", typed);
    let target = format!("redis://:${{file:typed}}@127.0.0.1:{}", redis.port());
    site.drop_in("checks", [check("cache", "redis").target(&target)]);
    let ended = vitald_of(&site, &["try", "cache", "--trace"]);
    assert!(ended.code == UP && ended.stdout.contains("AUTH") && !ended.stdout.contains(password), "{ended:?}");
}

#[test]
fn no_level_of_the_log_shows_what_guests_hand_over() {
    let site = Site::new();
    let wanted = "trace,wasmtime_wasi=trace,wasmtime_wasi::p2=trace,vitald::sandbox::v0_1::bindings::vitald=trace,\
                  [wit-bindgen import]=trace";
    for more in [&[][..], &["--trace"]] {
        let output = trial_in(&site, &[&["tcp", "--target", REFUSED], more].concat(), &[("RUST_LOG", wanted)]);
        let log = text(&output.stderr);
        assert!(log.contains("plugin tcp compiled"), "it was asked for: {log}");
        assert!(!log.contains("wit-bindgen import"), "{log}");
    }
}

#[test]
fn a_file_of_state_is_where_it_was_said_to_be() {
    let site = Site::new();
    let counter = file(&site, "counter", guest("counter"));
    let forgets = file(&site, "forgets", with_sin(""));
    for count in 1..=2 {
        let output = trial_in(&site, &[&counter, "--target", REFUSED, "--state", "bare", "--json"], &[]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&said["message"], &said["notes"]),
            (&format!("run {count}").into(), &serde_json::json!([])),
            "{said}"
        );
    }
    assert_eq!(fs::read(site.path().join("bare")).unwrap(), b"2");
    // What the checker has forgotten is not handed to the next run.
    let output = trial_in(&site, &[&forgets, "--state", "bare"], &[]);
    assert_eq!(output.status.code(), Some(UP), "{output:?}");
    assert!(!site.path().join("bare").exists());
    // One that cannot be written takes nothing from the verdict.
    let said = facts(&[&counter, "--target", REFUSED, "--state", "/nowhere/at/all"]);
    assert_eq!((&said["status"], &said["exit_code"]), (&"UP".into(), &UP.into()), "{said}");
    assert!(said["notes"][0].as_str().unwrap().contains("state of the checker is not kept: /nowhere/at/all"), "{said}");
}

#[test]
fn nobody_has_to_read_the_log() {
    let site = Site::new();
    let path = file(&site, "log_flood", guest("log_flood"));
    let mut child = Command::new(program())
        .args(["try", &path, "--timeout", "10s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(UP), "{output:?}");
    assert!(output.stdout.starts_with(b"UP"), "{output:?}");
    // As JSON where logs are wanted so.
    let ended = vitald_json_log(&["try", &path, "--timeout", "10s"]);
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[3]["level"]), (20, &"error".into()), "{ended:?}");
}

fn vitald_json_log(arguments: &[&str]) -> Ended {
    crate::harness::vitald(&[&["--log-format", "json"], arguments].concat())
}

#[test]
fn the_worst_run_is_what_a_monitoring_system_reads() {
    let site = Site::new();
    let path = file(&site, "counter", guest("counter"));
    let arguments = [path.as_str(), "--target", REFUSED, "--count", "3", "-p", "flips=true"];
    let ended = trial(&[&arguments[..], &["--nagios"]].concat());
    assert_eq!(ended.code, DOWN, "{ended:?}");
    assert!(ended.stdout.starts_with("CRITICAL - run 2"), "{ended:?}");
    let said = facts(&arguments);
    assert_eq!((&said["status"], &said["runs"]["worst"]), (&"UP".into(), &"DOWN".into()), "{said}");
}

#[test]
fn what_cannot_be_understood_is_said_in_the_form_that_was_asked_for() {
    for (wrong, words) in [(&["--no-such-flag"][..], "--no-such-flag"), (&["--every", "0s"], "at least 10ms")] {
        let ended = trial(&[&["tcp", "--target", REFUSED, "--nagios"], wrong].concat());
        assert!(ended.code == UNKNOWN && ended.stdout.starts_with("UNKNOWN - "), "{ended:?}");
        assert!(ended.stdout.lines().count() == 1 && ended.stdout.contains(words), "{ended:?}");
        let said = facts(&[&["tcp", "--target", REFUSED], wrong].concat());
        assert_eq!((&said["status"], &said["reason"]), (&"UNKNOWN".into(), &"not-run".into()), "{said}");
        let ended = trial(&[&["tcp", "--target", REFUSED], wrong].concat());
        assert!(ended.stdout.is_empty() && ended.stderr.contains("For more information"), "{ended:?}");
    }
    let ended = trial(&["redis", "-p", "password:hunter22"]);
    assert!(ended.code == UNKNOWN && !ended.stderr.contains("hunter22"), "{ended:?}");
    let ended = trial(&["redis"]);
    assert!(ended.stderr.contains("name it with --target; redis takes"), "{ended:?}");
}

#[test]
fn mistakes_of_another_check_stay_its_own() {
    let listener = Listener::start(Manner::Closing);
    let site = Site::new();
    let broken = check("web.x", "tcp").target("no target");
    let absent = check("absent", "tcp").target("tcp://u:${file:none}@127.0.0.1:1");
    site.drop_in("checks", [check("web", "tcp").target(&listener.url()), broken, absent]);
    let ended = vitald_of(&site, &["try", "web"]);
    assert_eq!(ended.code, UP, "{ended:?}");
    // A target on the command line stands in for a broken one.
    for name in ["web.x", "absent"] {
        assert_eq!(vitald_of(&site, &["try", name]).code, UNKNOWN, "{name}");
        let ended = vitald_of(&site, &["try", name, "--target", &listener.url()]);
        assert_eq!(ended.code, UP, "{name}: {ended:?}");
    }
}

#[test]
fn a_secret_may_stand_behind_the_hosts_too() {
    let redis = Redis::with_password("hunter22");
    let target = format!("redis://:${{env:TRIAL_TWICE}}@127.0.0.1:{}/0?x=${{env:TRIAL_TWICE}}", redis.port());
    let output = trial_in(&Site::new(), &["redis", "--target", &target], &[("TRIAL_TWICE", "hunter22")]);
    assert_eq!(output.status.code(), Some(UP), "{output:?}");
    let ended = trial(&["redis", "--target", "redis://:hunter22@127.0.0.1:99999"]);
    assert!(ended.stderr.contains("\"99999\" is no port"), "{ended:?}");
}
