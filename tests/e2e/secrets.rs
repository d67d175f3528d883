//! Secrets reach the checker, and nobody else.

use std::time::Duration;

use crate::harness::{Agent, Listener, Manner, Redis, Site, check, eventually, guest};

const SECRET: &str = "c0rrect-h0rse/battery";
const SOON: Duration = Duration::from_secs(15);

/// Everything that leaves the host.
fn said(agent: &Agent) -> String {
    let paths = [
        "/",
        "/health",
        "/health/checks/cache",
        "/metrics",
        "/api/v1/checks",
        "/api/v1/checks/cache",
        "/api/v1/plugins",
        "/api/v1/services",
    ];
    paths.iter().map(|path| agent.get(path).body + "\n").collect::<String>() + &agent.log()
}

fn kept(agent: &Agent, secret: &str) {
    for text in said(agent).lines() {
        assert!(!text.contains(secret), "the secret is in {text}");
    }
}

#[test]
fn a_password_from_a_file_logs_in_and_is_not_shown() {
    let redis = Redis::with_password(SECRET);
    let site = Site::new();
    // One trailing newline is the editor's.
    site.secret("redis", &format!("{SECRET}\n"));
    let escaped = SECRET.replace('/', "%2F");
    site.secret("escaped", &escaped);
    let target = format!("redis://:${{file:escaped}}@127.0.0.1:{}", redis.port());
    let strict = check("strict", "redis").target(&target).line("params = { auth_failure = \"down\" }");
    site.drop_in("checks", [check("cache", "redis").target(&target), strict]);
    let agent = site.start_with(&["--log-level", "trace"]);
    agent.until("cache", "UP");
    let seen = agent.get("/api/v1/checks/cache").json();
    assert_eq!(seen["target"], format!("redis://:***@127.0.0.1:{}", redis.port()), "{seen}");
    kept(&agent, SECRET);
    kept(&agent, &escaped);

    // A wrong one is not shown either.
    site.secret("escaped", "wr0ng-passw0rd");
    agent.until("cache", "DEGRADED");
    agent.until("strict", "DOWN");
    kept(&agent, "wr0ng-passw0rd");
    site.secret("escaped", &escaped);
    agent.until("cache", "UP");
}

#[test]
fn a_checker_that_repeats_a_secret_is_masked() {
    let listener = Listener::start(Manner::Closing);
    let secret = format!("127.0.0.1:{}", listener.port());
    let site = Site::new();
    site.plugin("trespasser", guest("trespasser"));
    site.secret("where", &secret);
    let allow = format!("allow = [\"tcp://{secret}\"]");
    site.drop_in("checks", [check("cache", "trespasser").line("params = { to = \"${file:where}\" }").line(&allow)]);
    let agent = site.start_with(&["--log-level", "trace"]);
    agent.until("cache", "UP");
    assert_eq!(agent.check("cache")["message"], "got through to ***");
    kept(&agent, &secret);
}

#[test]
fn a_secret_that_is_missing_is_that_checks_own_fault() {
    let redis = Redis::start();
    let site = Site::new();
    let target = format!("redis://:${{file:absent}}@127.0.0.1:{}", redis.port());
    site.drop_in("checks", [check("cache", "redis").target(&target), check("other", "redis").target(&redis.url())]);
    let agent = site.start();
    agent.until("other", "UP");
    let seen = agent.until_unknown("cache", "invalid-params");
    let message = seen["message"].as_str().unwrap();
    assert!(message.contains("checks.toml:") && message.contains("check.cache.target"), "{seen}");
    assert!(message.contains("\"absent\""), "{seen}");
    agent.until_health(200);

    // It is read again when it comes. A server without a password refuses one.
    site.secret("absent", "whatever-it-is");
    agent.until("cache", "DEGRADED");
    kept(&agent, "whatever-it-is");
}

#[test]
fn a_secret_cannot_lead_out_of_its_directory() {
    let site = Site::new();
    site.plugin("picky", guest("picky"));
    let outside = site.path().join("outside");
    std::fs::write(&outside, "not-for-you").unwrap();
    std::os::unix::fs::symlink(&outside, site.path().join("secrets/link")).unwrap();
    site.drop_in(
        "checks",
        [
            check("dots", "picky").line("params = { must = \"${file:../outside}\" }"),
            check("link", "picky").line("params = { must = \"${file:link}\" }"),
        ],
    );
    let agent = site.start();
    for name in ["dots", "link"] {
        let seen = agent.until_unknown(name, "invalid-params");
        assert!(seen["message"].as_str().unwrap().contains("leads out of"), "{seen}");
    }
    kept_from(&agent, "not-for-you");
}

fn kept_from(agent: &Agent, secret: &str) {
    eventually("nothing is said of it", SOON, || {
        let shown = agent.get("/api/v1/checks").body + &agent.log();
        if shown.contains(secret) { Err(shown) } else { Ok(()) }
    });
}
