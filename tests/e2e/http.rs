//! What the agent answers, and to whom.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Agent, Listener, Manner, Metrics, Poll, Site, check, eventually, guest, request, service, that};

const SOON: Duration = Duration::from_secs(15);

/// A host with a service that is well, and a check of the host that is not.
fn mixed() -> (Site, Agent) {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    site.plugin("down", guest("down"));
    let listener = Listener::start(Manner::Closing);
    let closed = listener.url();
    drop(listener);
    site.drop_in(
        "checks",
        [
            service("shop"),
            check("app", "noop").of("shop"),
            check("closed", "tcp").of("shop").target(&closed).with("severity", "warning"),
            check("broken", "down"),
        ],
    );
    let agent = site.start();
    for (check, status) in [("app", "UP"), ("closed", "DOWN"), ("broken", "DOWN")] {
        agent.until(check, status);
    }
    (site, agent)
}

#[test]
fn code_and_word_agree() {
    let (_site, agent) = mixed();
    let overall = agent.get("/health");
    assert_eq!((overall.code, overall.header("content-type")), (503, "application/json"));
    let body = overall.json();
    assert_eq!((&body["status"], &body["worst"]), (&"DOWN".into(), &"DOWN".into()), "{body}");
    for key in ["status", "message", "since", "age_ms", "duration_ms"] {
        assert!(!body["details"]["app"][key].is_null(), "{key} is missing: {body}");
    }
    let well = agent.get("/health?exclude=broken");
    let body = well.json();
    assert_eq!(well.code, 200, "{body}");
    assert_eq!((&body["status"], &body["worst"]), (&"UP".into(), &"DEGRADED".into()), "{body}");
    assert!(body["details"]["broken"].is_null(), "{body}");
    let service = agent.get("/health/services/shop");
    assert_eq!((service.code, &service.json()["worst"]), (200, &"DEGRADED".into()));
    for (check, code) in [("app", 200), ("closed", 503), ("broken", 503)] {
        agent.answers(&format!("/health/checks/{check}"), code).unwrap();
    }
    let excluded = agent.get("/health?exclude=broken,closed").json();
    assert_eq!(excluded["worst"], "UP", "{excluded}");
    let old = agent.get("/health?exclude=broken&max_age=0ms");
    assert_eq!((old.code, &old.json()["reason"]), (503, &"too-old".into()), "{}", old.body);
    agent.answers("/health?exclude=broken&max_age=1h", 200).unwrap();
    agent.answers("/health?no=such", 400).unwrap();
}

#[test]
fn only_get_and_head_and_only_what_there_is() {
    let (_site, agent) = mixed();
    let url = |path: &str| format!("{}{path}", agent.url());
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = request(method, &url("/health"), &[]).unwrap();
        assert_eq!((refused.code, refused.header("allow")), (405, "GET, HEAD"), "{method}: {refused:?}");
    }
    for path in
        ["/no/such", "/health/checks/no-such", "/health/services/no-such", "/api/v1/checks/no-such", "/healthz/x"]
    {
        agent.answers(path, 404).unwrap();
    }
    for path in ["/", "/health/live", "/metrics", "/api/v1/checks", "/api/v1/plugins", "/api/v1/services"] {
        let (head, get) = (request("HEAD", &url(path), &[]).unwrap(), agent.get(path));
        assert_eq!((head.code, head.body.as_str()), (get.code, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    let metrics = agent.metrics();
    let refused = [("method", "POST"), ("status", "405")];
    assert_eq!(metrics.sum("vitald_http_requests_total", &refused), 1.0);
    let routes = metrics.values_of("vitald_http_requests_total", "path");
    assert!(!routes.iter().any(|route| route.contains("no-such")), "a stranger made a series: {routes:?}");
    assert!(routes.contains("/health/checks/{name}"), "{routes:?}");
}

#[test]
fn metrics_in_both_formats() {
    let (_site, agent) = mixed();
    let text = agent.get("/metrics");
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let metrics = Metrics::parse(&text.body).unwrap();
    for (name, labels, value) in [
        ("vitald_check_up", [("check", "app"), ("service", "shop")], 1.0),
        ("vitald_check_up", [("check", "closed"), ("checker", "tcp")], 0.0),
        ("vitald_check_status", [("check", "broken"), ("status", "down")], 1.0),
        ("vitald_check_status", [("check", "broken"), ("status", "unknown")], 0.0),
        ("vitald_service_status", [("service", "shop"), ("status", "degraded")], 1.0),
        ("vitald_check_interval_seconds", [("check", "app"), ("check", "app")], 0.4),
    ] {
        assert_eq!(metrics.get(name, &labels), Some(value), "{name} {labels:?}");
    }
    let info = [("plugin", "noop")];
    assert_eq!(metrics.get("vitald_plugin_info", &info), Some(1.0));

    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open = request("GET", &format!("{}/metrics", agent.url()), &[("accept", accept)]).unwrap();
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"), "{open:?}");
    assert!(open.body.ends_with("\n# EOF\n"), "no end");
    let parsed = Metrics::parse(&open.body).unwrap();
    assert_eq!(parsed.get("vitald_check_up", &[("check", "app")]), Some(1.0));
    assert!(open.body.contains("# TYPE vitald_check_runs counter\n"), "a counter's family has no suffix");
}

/// Sends the beginning of a request, and no more.
fn half_a_request(agent: &Agent) -> TcpStream {
    let address: SocketAddr = agent.url().trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    stream
}

#[test]
fn those_who_dawdle_keep_nobody_waiting() {
    let (_site, agent) = mixed();
    let begun = Instant::now();
    let slow: Vec<TcpStream> = (0..100).map(|_| half_a_request(&agent)).collect();
    let live = Poll::start(&agent, "/health/live", 200);
    // Each is cut off after the header timeout of 10 s.
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = String::new();
        let read = stream.read_to_string(&mut rest);
        assert!(read.is_ok(), "it was not cut off: {read:?}");
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(20)).contains(&took), "cut off after {took:?}");
    let slowest = live.stop();
    assert!(slowest < Duration::from_secs(1), "/health/live took {slowest:?}");
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let (_site, agent) = mixed();
    let address: SocketAddr = agent.url().trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let large = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(64 * 1024));
    // The answer may come, and the connection end, before all of it is sent.
    let _ = stream.write_all(large.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    agent.answers("/health/live", 200).unwrap();
}

#[test]
fn a_connection_is_used_again() {
    let (_site, agent) = mixed();
    let address: SocketAddr = agent.url().trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn ready_waits_for_the_first_verdicts() {
    let site = Site::new().with_defaults("interval = \"3s\"\ntimeout = \"2900ms\"");
    let silent = Listener::start(Manner::Silent);
    site.drop_in("checks", [check("slow", "tcp").target(&silent.url()).line("params = { expect = \"never\" }")]);
    let agent = site.start();
    agent.answers("/health/ready", 503).unwrap();
    agent.answers("/health/live", 200).unwrap();
    eventually("it is ready", SOON, || agent.answers("/health/ready", 200));
    agent.until("slow", "DOWN");
    let seen = agent.check("slow");
    that(seen["message"].as_str().unwrap().starts_with("timeout after 2900 ms: read"), || seen.to_string()).unwrap();
    // No service's status enters.
    agent.answers("/health", 503).unwrap();
    agent.answers("/health/ready", 200).unwrap();
}
