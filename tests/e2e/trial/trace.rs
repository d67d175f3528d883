//! `--trace`: every host call, in order, and no secret in any form of what is said.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Listener, Manner, Nginx, Redis, Site, check, guest, program, vitald_of};

use super::{SECRET, UNKNOWN, UP, facts, guest_file, trial};

/// The calls of a trace: name, result, start and length in milliseconds.
fn calls(said: &Value) -> Vec<(String, String, f64, f64)> {
    let of = |call: &Value| {
        let text = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| call[key].as_f64().unwrap_or_default();
        (text("call"), text("result"), number("start_ms"), number("took_ms"))
    };
    said["trace"].as_array().unwrap().iter().filter(|call| call["step"] == false).map(of).collect()
}

#[test]
fn a_trace_has_every_host_call_in_order_with_its_time() {
    let redis = Redis::start();
    let said = facts(&["redis", "--target", &redis.url(), "--trace"]);
    let calls = calls(&said);
    let at = |what: &str, with: &str| {
        let found = calls.iter().position(|(call, result, ..)| call.contains(what) && result.contains(with));
        found.unwrap_or_else(|| panic!("no {what} with {with:?} in {calls:#?}"))
    };
    let connect = at(&format!("net.connect 127.0.0.1:{}", redis.port()), "ok");
    let (ping, pong) = (at("output-stream", "PING"), at("input-stream", "+PONG"));
    assert!(connect < ping && ping < pong, "{calls:#?}");
    assert!(calls.windows(2).all(|pair| pair[0].2 + pair[0].3 <= pair[1].2 + 0.01), "one after the other: {calls:#?}");
    let (sum, whole) = (calls.iter().map(|call| call.3).sum::<f64>(), said["duration_ms"].as_f64().unwrap());
    assert!(sum > 0.0 && sum <= whole, "{sum} of {whole}");
    let text = trial(&["redis", "--target", &redis.url(), "--trace"]).stdout;
    assert!(text.contains("HOST CALL") && text.contains("received 7 bytes \"+PONG\\r\\n\""), "{text}");
    assert!(facts(&["redis", "--target", &redis.url()]).get("trace").is_none());
}

#[test]
fn a_trace_shows_what_a_run_waited_for_at_its_end() {
    let site = Site::new();
    let silent = Listener::start(Manner::Silent);
    let said = facts(&[&guest_file(&site, "hanger"), "--target", &silent.url(), "--timeout", "300ms", "--trace"]);
    let calls = calls(&said);
    let (last, result, _, took) = calls.last().unwrap();
    assert!(last.contains("input-stream") && result.contains("not over") || *took > 200.0, "{calls:#?}");
    let nginx = Nginx::http("/elsewhere");
    let said = facts(&["http", "--target", &nginx.url(), "--trace"]);
    assert!(said["trace"].to_string().contains("GET /"), "what wasi:http moves is seen: {said}");
}

#[test]
fn secrets_are_masked_in_every_form() {
    let redis = Redis::with_password(SECRET);
    let url = format!("redis://:{SECRET}@127.0.0.1:{}", redis.port());
    let site = Site::new();
    let listener = Listener::start(Manner::Closing);
    let own = format!("127.0.0.1:{}", listener.port());
    site.secret("where", &own);
    site.plugin("trespasser", guest("trespasser"));
    let allow = format!("allow = [\"tcp://{own}\"]");
    site.drop_in("checks", [check("leak", "trespasser").line("params = { to = \"${file:where}\" }").line(&allow)]);
    for form in [&[][..], &["--json"], &["--nagios"], &["--trace"], &["--trace", "--json"]] {
        let ended = trial(&[&["redis", "--target", &url], form].concat());
        assert_eq!(ended.code, UP, "{form:?}: {ended:?}");
        assert!(!format!("{ended:?}").contains(SECRET), "{form:?}: {ended:?}");
        let ended = vitald_of(&site, &[&["try", "leak"], form].concat());
        assert_eq!(ended.code, UP, "{form:?}: {ended:?}");
        assert!(!format!("{ended:?}").contains(&own) && ended.stdout.contains("***"), "{form:?}: {ended:?}");
    }
    let traced = trial(&["redis", "--target", &url, "--trace"]);
    assert!(traced.stdout.contains("AUTH") && traced.stdout.contains("***"), "{}", traced.stdout);
    // One that is not shown even to the shell's history.
    let named = format!("redis://:${{env:TRIAL_PASSWORD}}@127.0.0.1:{}", redis.port());
    let output = Command::new(program())
        .args(["try", "redis", "--target", &named])
        .env("TRIAL_PASSWORD", SECRET)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(UP), "{output:?}");
    let ended = trial(&["redis", "--target", "redis://:${env:TRIAL_ABSENT}@127.0.0.1:1"]);
    assert_eq!(ended.code, UNKNOWN, "{ended:?}");
    assert!(ended.stderr.starts_with("vitald: target: ") && ended.stderr.contains("TRIAL_ABSENT"), "{ended:?}");
}
