//! `vitald try`: one run, in the agent's sandbox, said to people, tools and monitoring systems.

mod configured;
mod edges;
mod trace;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{
    Ca, Ended, Listener, Manner, Redis, Site, by_hand, check, guest, program, vitald, with_sin, write,
};

const UP: i32 = 0;
const DOWN: i32 = 2;
const UNKNOWN: i32 = 3;
const SECRET: &str = "c0rrect-h0rse-battery";
/// Nothing listens there: it is reserved.
const REFUSED: &str = "tcp://127.0.0.1:1";

fn trial(arguments: &[&str]) -> Ended {
    vitald(&[&["try"], arguments].concat())
}

/// What `--json` says.
fn facts(arguments: &[&str]) -> Value {
    let ended = trial(&[arguments, &["--json"]].concat());
    let facts: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(facts["exit_code"], ended.code, "{ended:?}");
    facts
}

/// A guest as a file of that name.
fn file(site: &Site, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = site.path().join(format!("{name}.wasm"));
    write(&path, bytes);
    path.to_str().unwrap().to_owned()
}

fn guest_file(site: &Site, name: &str) -> String {
    file(site, name, guest(name))
}

/// The first line, which says how it stands.
fn head(ended: &Ended) -> &str {
    ended.stdout.lines().next().unwrap_or_else(|| panic!("nothing is said: {ended:?}"))
}

#[test]
fn a_run_is_shown_with_all_that_it_took() {
    let redis = Redis::start();
    let ended = trial(&["redis", "--target", &redis.url()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (UP, ""), "{ended:?}");
    assert_eq!(head(&ended), "UP: master");
    for text in
        ["duration: ", " of 1s", "connect ", "CPU: ", " of 64.0 MiB", "replication", "vitald_value_uptime_seconds"]
    {
        assert!(ended.stdout.contains(text), "no {text:?}:\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\x1b'), "no colour where nobody sees it:\n{}", ended.stdout);
    let ended = trial(&["tcp", "--target", REFUSED]);
    assert_eq!(ended.code, DOWN, "{ended:?}");
    assert!(head(&ended).starts_with("DOWN: ") && head(&ended).contains("refused"), "{ended:?}");
}

#[test]
fn json_has_the_keys_of_the_agents_own_answers() {
    let redis = Redis::start();
    let site = Site::new();
    site.drop_in("checks", [check("redis", "redis").target(&redis.url())]);
    let agent = site.start();
    agent.until("redis", "UP");
    let (known, tried) = (agent.get("/api/v1/checks/redis").json(), facts(&["redis", "--target", &redis.url()]));
    for key in ["name", "checker", "target", "status", "message", "parts"] {
        assert_eq!(known[key], tried[key], "{key}: {known} {tried}");
    }
    let names = |of: &Value| {
        let all = of["measurements"].as_array().unwrap().iter();
        all.map(|own| (own["name"].clone(), own["unit"].clone(), own["kind"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&known), names(&tried));
    for key in ["duration_ms", "cpu_ms", "memory_peak_bytes"] {
        assert!(tried[key].as_f64().is_some_and(|took| took > 0.0), "{key}: {tried}");
    }
    assert!(tried["phases_ms"]["connect"].as_f64().is_some_and(|took| took > 0.0 && took < 1000.0), "{tried}");
    assert_eq!((&tried["reason"], &tried["denied"]), (&Value::Null, &serde_json::json!([])), "{tried}");
}

/// Text, `|`, and performance data: `'label'=value[unit];[warn];[crit]...`.
fn is_of_the_guidelines(line: &str) -> bool {
    let Some((text, data)) = line.strip_suffix('\n').and_then(|line| line.split_once(" | ")) else { return false };
    let word = ["OK - ", "WARNING - ", "CRITICAL - ", "UNKNOWN - "].iter().any(|word| text.starts_with(word));
    let is_value = |value: &str| {
        let number = value.trim_end_matches(['s', 'B', 'c', '%']);
        number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-')) && number.parse::<f64>().is_ok()
    };
    let is_datum = |datum: &str| {
        let parts = datum.strip_prefix('\'').and_then(|datum| datum.split_once("'="));
        parts.is_some_and(|(label, value)| {
            let mut fields = value.split(';');
            !label.contains(['\'', '=', '|']) && fields.next().is_some_and(is_value) && fields.count() <= 4
        })
    };
    word && !text.contains('|') && !data.contains('\n') && data.split(' ').all(is_datum)
}

#[test]
fn nagios_gets_one_line_and_its_exit_code() {
    let site = Site::new();
    let (redis, listener) = (Redis::start(), Listener::start(Manner::Answering("a|b 'c'=d\n")));
    for (arguments, code, word) in [
        (vec!["redis", "--target", &redis.url()], UP, "OK - master"),
        (vec!["tcp", "--target", REFUSED], DOWN, "CRITICAL - "),
        (vec!["tcp", "--target", &listener.url(), "-p", "expect=nothing like it"], DOWN, "CRITICAL - "),
        (vec![&guest_file(&site, "trapper")], UNKNOWN, "UNKNOWN - trap: "),
    ] {
        let ended = trial(&[arguments.as_slice(), &["--nagios"]].concat());
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.stdout.starts_with(word) && is_of_the_guidelines(&ended.stdout), "{ended:?}");
    }
    let ended = trial(&["redis", "--target", &redis.url(), "--nagios"]);
    assert!(ended.stdout.contains("'used_memory'=") && ended.stdout.contains("B;;;"), "{ended:?}");
    // What cannot even be begun is UNKNOWN too, on standard output.
    for wrong in [&["nothing", "--nagios"][..], &["redis", "--nagios", "--target", "garbage|x"]] {
        let ended = trial(wrong);
        assert!(ended.code == UNKNOWN && ended.stdout.starts_with("UNKNOWN - "), "{ended:?}");
        assert_eq!((ended.stdout.lines().count(), ended.stdout.contains('|')), (1, false), "{ended:?}");
    }
    assert_eq!(trial(&["redis", "--no-such-flag"]).code, UNKNOWN);
    assert_eq!(trial(&["redis", "--nagios", "--json"]).code, UNKNOWN);
}

#[test]
fn each_fault_is_said_in_words_with_what_to_do() {
    let site = Site::new();
    let silent = Listener::start(Manner::Silent);
    let url = silent.url();
    for (name, more, status, advice) in [
        ("trapper", vec![], "UNKNOWN (trap)", "The checker crashed"),
        ("quitter", vec![], "UNKNOWN (trap)", "The checker crashed"),
        ("looper", vec![], "UNKNOWN (cpu)", "does not end"),
        ("sleeper", vec![], "UNKNOWN (idle)", "with no connection open"),
        ("recurser", vec![], "UNKNOWN (limit)", "more than a run may have"),
        ("allocator", vec![], "UNKNOWN (limit)", "--memory"),
        ("hanger", vec!["--target", &url], "DOWN (timeout)", "--timeout"),
        ("trespasser", vec!["-p", "to=127.0.0.1:1"], "UNKNOWN (denied)", "was not granted"),
    ] {
        let path = guest_file(&site, name);
        let ended = trial(&[&[&*path, "--timeout", "300ms"][..], &more].concat());
        let code = if status.starts_with("DOWN") { DOWN } else { UNKNOWN };
        assert_eq!(ended.code, code, "{name}: {ended:?}");
        assert!(head(&ended).starts_with(status), "{name}: {ended:?}");
        assert!(ended.stdout.contains(advice), "{name}:\n{}", ended.stdout);
    }
}

#[test]
fn a_crash_is_shown_with_what_was_printed_and_where_it_was() {
    let site = Site::new();
    let path = guest_file(&site, "trapper");
    let ended = trial(&[&path]);
    assert!(ended.stdout.contains("It printed\n") && ended.stdout.contains("deliberate"), "{ended:?}");
    let said = facts(&[&path]);
    let frames: Vec<&str> = said["backtrace"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(frames.len() > 3 && frames.iter().any(|frame| frame.contains("panicking::panic_fmt")), "{frames:?}");
    // A flood is cut, and harms nobody.
    let ended = trial(&[&guest_file(&site, "stderr_flood"), "--timeout", "10s"]);
    assert!(ended.stdout.lines().count() < 80 && ended.stdout.contains("lines left out]"), "{ended:?}");
}

#[test]
fn what_was_refused_is_said_with_what_permits_it() {
    let site = Site::new();
    let listener = Listener::start(Manner::Closing);
    let (path, to) = (guest_file(&site, "trespasser"), format!("to=127.0.0.1:{}", listener.port()));
    let ended = trial(&[&path, "-p", &to]);
    let allow = format!("--allow {}", listener.url());
    assert!(ended.stdout.contains(&allow), "no {allow}:\n{}", ended.stdout);
    let said = facts(&[&path, "-p", &to]);
    assert_eq!(said["denied"][0]["allow"], listener.url(), "{said}");
    let granted = trial(&[&path, "-p", &to, "--allow", &listener.url()]);
    assert_eq!(granted.code, UP, "{granted:?}");
    let host = ["host", "-p", "memory_available_below=\"0.1%\""];
    let ended = trial(&host);
    assert_eq!(ended.code, UNKNOWN, "{ended:?}");
    assert!(ended.stdout.contains("--allow host"), "{ended:?}");
    let ended = trial(&[&host[..], &["--allow", "host"]].concat());
    assert_ne!(ended.code, UNKNOWN, "{ended:?}");
}

#[test]
fn tls_is_done_as_the_flags_say() {
    let ca = Ca::new();
    let redis = Redis::with_tls(&ca.server(&["127.0.0.1", "cache.internal"]));
    let url = redis.url();
    let ca_file = ca.file();
    let trusting = ["--tls-ca", ca_file.to_str().unwrap()];
    for (flags, code) in [
        (vec![], DOWN),
        (trusting.to_vec(), UP),
        ([&trusting[..], &["--tls-server-name", "cache.internal"]].concat(), UP),
        ([&trusting[..], &["--tls-server-name", "other.internal"]].concat(), DOWN),
        (vec!["--tls-insecure"], UP),
    ] {
        let ended = trial(&[&["redis", "--target", &url][..], &flags].concat());
        assert_eq!(ended.code, code, "{flags:?}: {ended:?}");
    }
    let said = facts(&[&["redis", "--target", &url, "--trace"], &trusting[..]].concat());
    assert!(said["phases_ms"]["tls"].as_f64().is_some_and(|took| took > 0.0), "{said}");
    assert!(said["trace"].to_string().contains("TLSv1."), "{said}");
    let ended = trial(&["redis", "--target", &url, "--tls-ca", "/nowhere/ca.pem"]);
    assert_eq!(ended.code, UNKNOWN, "{ended:?}");
    assert!(head(&ended).contains("/nowhere/ca.pem"), "{ended:?}");
}

#[test]
fn garbage_is_refused_in_words() {
    let site = Site::new();
    let path = |name: &str, bytes: &[u8]| file(&site, name, bytes);
    let core = path("core", b"\0asm\x01\0\0\0");
    let text = path("text", b"not wasm");
    let alien = file(&site, "alien", by_hand("unknown_import"));
    let picky = guest_file(&site, "picky");
    for (arguments, words) in [
        (vec!["./nowhere.wasm"], "nowhere.wasm: No such file"),
        (vec!["rediss"], "did you mean \"redis\""),
        (vec!["UPPER"], "there is no checker \"UPPER\""),
        (vec![], "name a checker"),
        (vec!["/"], "not a regular file"),
        (vec![&core], "--target wasm32-wasip2"),
        (vec![&text], "not a component"),
        (vec![&alien], "needs what this agent does not offer"),
        (vec!["tcp", "--target", "garbage"], "--target: not a target"),
        (vec!["tcp", "--target", "redis://h"], "tcp does not take redis://"),
        (vec!["tcp"], "target is missing"),
        (vec![&picky, "-p", "must=1", "--target", "tcp://h:1"], "takes no target"),
        (vec![&picky], "must (integer, required)"),
        (vec![&picky, "-p", "must=text"], "picky takes must (integer, required)"),
        (vec![&picky, "-p", "must=1", "-p", "mst=2"], "there is no parameter \"mst\"; did you mean \"must\"?"),
        (vec!["tcp", "-p", "novalue"], "write KEY=VALUE"),
        (vec!["tcp", "-p", "a=1", "-p", "a=2"], "given twice"),
        (vec!["tcp", "--timeout", "soon"], "--timeout: "),
        (vec!["tcp", "--memory", "3TB"], "--memory: "),
        (vec!["tcp", "--allow", "*"], "--allow: "),
        (vec!["--config", "/nowhere/vitald.toml", "x"], "/nowhere/vitald.toml"),
    ] {
        let ended = trial(&arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (UNKNOWN, ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{arguments:?}: no {words:?} in {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        let said = trial(&[arguments.as_slice(), &["--json"]].concat());
        let said: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        assert_eq!(said["status"], "UNKNOWN", "{said}");
    }
}

#[test]
fn a_target_that_steers_terminals_steers_nothing() {
    let listener = Listener::start(Manner::Answering("\x1b]0;owned\x07\x1b[2J\r\nevil\u{202e}\n"));
    for form in [&[][..], &["--json"], &["--nagios"], &["--trace"]] {
        let ended = trial(&[&["tcp", "--target", &listener.url(), "-p", "expect=good"], form].concat());
        assert_eq!(ended.code, DOWN, "{form:?}: {ended:?}");
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!ended.stdout.contains(steers), "{form:?}: {:?}", ended.stdout);
    }
}

#[test]
fn runs_hand_on_their_state_and_are_counted() {
    let site = Site::new();
    let path = guest_file(&site, "counter");
    let state = site.path().join("state.bin");
    let run = |more: &[&str]| facts(&[&[path.as_str(), "--target", REFUSED], more].concat());
    let said = run(&["--count", "5"]);
    assert!(said["message"].as_str().unwrap().starts_with("run 5"), "{said}");
    assert_eq!((&said["runs"]["count"], &said["runs"]["statuses"]["UP"]), (&5.into(), &5.into()), "{said}");
    let cpu = &said["runs"]["cpu_ms"];
    assert!(cpu["min"].as_f64() <= cpu["median"].as_f64() && cpu["median"].as_f64() <= cpu["max"].as_f64(), "{said}");
    let said = run(&["--count", "3", "-p", "flips=true"]);
    assert_eq!((&said["runs"]["statuses"]["DOWN"], &said["exit_code"]), (&1.into(), &DOWN.into()), "the worst: {said}");
    // From trial to trial through a file.
    for count in 1..=3 {
        let said = run(&["--state", state.to_str().unwrap()]);
        assert_eq!(said["message"], format!("run {count}"), "{said}");
    }
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    let text = trial(&[&path, "--target", REFUSED, "--count", "3"]).stdout;
    assert!(text.contains("runs:      3: 3 UP") && text.contains("median"), "{text}");
}

#[test]
fn lines_of_the_checker_are_shown_as_they_come() {
    let site = Site::new();
    let path = guest_file(&site, "log_flood");
    let ended = trial(&[&path, "--timeout", "10s"]);
    assert_eq!(ended.code, UP, "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 20, "as many as a run may log: {ended:?}");
    assert!(lines.iter().all(|line| line.starts_with("error: flooding, line ")), "none is forged: {lines:?}");
    let said = facts(&[&path, "--timeout", "10s"]);
    assert_eq!(said["log"][3]["level"], "error", "{said}");
    assert_eq!(trial(&[&path, "--timeout", "10s", "--json"]).stderr, "");
}

#[test]
fn a_name_is_a_bundled_checker_and_a_path_is_a_file() {
    let site = Site::new();
    let listener = Listener::start(Manner::Closing);
    let path = file(&site, "tcp", guest("counter"));
    let said = facts(&[&path, "--target", &listener.url()]);
    assert_eq!((&said["source"], &said["status"]), (&path.as_str().into(), &"UP".into()), "{said}");
    assert!(said["notes"][0].as_str().unwrap().contains("override = [\"tcp\"]"), "{said}");
    let odd = file(&site, "Not A Name", guest("counter"));
    let ended = trial(&[&odd, "--target", &listener.url()]);
    assert!(ended.code == UP && ended.stdout.contains("note: no agent takes a file of this name"), "{ended:?}");
    assert_eq!(facts(&["tcp", "--target", &listener.url()])["source"], "bundled");
}

#[test]
fn who_has_seen_enough_may_close_the_pipe() {
    let mut child = Command::new(program())
        .args(["try", "tcp", "--target", REFUSED, "--count", "2", "--trace"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(DOWN), 0), "{output:?}");
}

#[test]
fn a_component_that_does_not_describe_itself_is_no_checker() {
    let site = Site::new();
    for (name, bytes) in [("trap", guest("describe_trap")), ("loop", guest("describe_loop"))] {
        let path = file(&site, name, bytes);
        let ended = trial(&[&path]);
        assert_eq!(ended.code, UNKNOWN, "{ended:?}");
        assert!(ended.stderr.contains("its describe failed"), "{ended:?}");
    }
    let sin = file(&site, "sin", with_sin("(func $check (result i32) unreachable)"));
    let said = facts(&[&sin]);
    assert_eq!(said["reason"], "trap", "{said}");
    assert!(Path::new(&sin).exists());
}
