//! TLS that the host does for a checker: whom it trusts, what it shows, and in which words it fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{
    Agent, Ca, Identity, Listener, Manner, Nginx, Postgres, Redis, Site, Table, VALID_UNTIL, check, component,
    eventually, write,
};

const SOON: Duration = Duration::from_secs(20);
const HOME: &str = "127.0.0.1";
/// A handshake in a test build, on a machine that others use too.
const DEFAULTS: &str = "interval = \"500ms\"\ntimeout = \"500ms\"\nfall = 2\nrise = 2\nstale_after = \"60s\"";

/// What a check is to show: its status, and what its message has in it.
struct Wanted {
    check: Table,
    name: &'static str,
    status: &'static str,
    message: Vec<String>,
}

fn wanted(name: &'static str, checker: &str, url: &str, tls: &str, status: &'static str, message: &[&str]) -> Wanted {
    let check = check(name, checker).target(url);
    let check = if tls.is_empty() { check } else { check.line(&format!("tls = {{ {tls} }}")) };
    Wanted { check, name, status, message: message.iter().map(|text| (*text).to_owned()).collect() }
}

fn trusting(ca: &Ca) -> String {
    format!("ca_file = {:?}", ca.file())
}

fn showing(identity: &Identity) -> String {
    format!("cert_file = {:?}, key_file = {:?}", identity.cert, identity.key)
}

/// Starts an agent with these checks, and waits until each shows what is wanted.
fn all_show(site: &Site, table: &[Wanted]) -> Agent {
    site.drop_in("all", table.iter().map(|wanted| wanted.check.clone()));
    let agent = site.start();
    for wanted in table {
        eventually(&format!("{} is {}", wanted.name, wanted.status), SOON, || agent.shows(wanted.name, wanted.status));
        let seen = agent.check(wanted.name);
        let message = seen["message"].as_str().unwrap_or_default();
        for text in &wanted.message {
            assert!(message.contains(text), "{}: wanted {text:?}: {seen}", wanted.name);
        }
    }
    agent
}

fn handshake_took_time(agent: &Agent, check: &str) {
    for phase in ["connect", "tls"] {
        let took = agent.metrics().get("vitald_check_phase_seconds", &[("check", check), ("phase", phase)]);
        assert!(took.is_some_and(|took| took > 0.0 && took < 1.0), "{phase} took {took:?} s");
    }
}

fn certificate_is_measured(agent: &Agent, check: &str) {
    let metrics = agent.metrics();
    let of = |name| metrics.sum(name, &[("check", check)]);
    let until = of("vitald_check_last_evidence_timestamp_seconds") + of("vitald_value_certificate_left_seconds");
    assert!((until - VALID_UNTIL).abs() < 10.0, "{check}: valid until {until}, not {VALID_UNTIL}");
}

#[test]
fn https_is_up_only_where_the_certificate_is_right() {
    let ca = Ca::new();
    let (good, client) = (Nginx::https(&ca.server(&[HOME, "localhost"])), ca.client());
    let expired = Nginx::https(&ca.expired_server(&[HOME]));
    let other = Nginx::https(&ca.server(&["other.internal"]));
    let picky = Nginx::https_for_clients_of(&ca.server(&[HOME]), &ca);
    let (mute, plain) = (Listener::start(Manner::Closing), Nginx::http("/"));
    let trust = trusting(&ca);
    let with_client = format!("{trust}, {}", showing(&client));
    let renamed = format!("{trust}, server_name = \"other.internal\"");
    let near = check("near-its-end", "http").target(&good.url()).line(&format!("tls = {{ {trust} }}"));
    let near = near.line("params = { certificate_min_days = 100000 }");
    let https = |name, url: &str, tls: &str, status, message: &[&str]| wanted(name, "http", url, tls, status, message);
    let site = Site::new().with_defaults(DEFAULTS);
    let agent = all_show(
        &site,
        &[
            https("trusted", &good.url(), &trust, "UP", &[]),
            https("stranger", &good.url(), "", "DOWN", &["certificate", "not trusted"]),
            https("expired", &expired.url(), &trust, "DOWN", &["expired"]),
            https("misnamed", &other.url(), &trust, "DOWN", &[HOME, "other.internal"]),
            https("renamed", &other.url(), &renamed, "UP", &[]),
            https("insecure", &expired.url(), "insecure = true", "UP", &[]),
            https("anonymous", &picky.url(), &trust, "DOWN", &["400"]),
            https("known", &picky.url(), &with_client, "UP", &[]),
            Wanted { check: near, name: "near-its-end", status: "DEGRADED", message: vec!["certificate".into()] },
            https("named", &good.url().replace(HOME, "localhost"), &trust, "UP", &[]),
            https("mute", &mute.url().replace("tcp", "https"), &trust, "DOWN", &["closed", "handshake"]),
            https("plain", &plain.url().replace("http", "https"), &trust, "DOWN", &["does not speak TLS"]),
        ],
    );
    handshake_took_time(&agent, "trusted");
    certificate_is_measured(&agent, "trusted");
}

#[test]
fn rediss_is_up_only_where_the_certificate_is_right() {
    let ca = Ca::new();
    let open = Redis::with_tls(&ca.server(&[HOME]));
    let picky = Redis::with_tls_for_clients_of(&ca.server(&[HOME]), &ca);
    let trust = trusting(&ca);
    let with_client = format!("{trust}, {}", showing(&ca.client()));
    let redis = |name, url: &str, tls: &str, status, message: &[&str]| wanted(name, "redis", url, tls, status, message);
    let site = Site::new().with_defaults(DEFAULTS);
    let agent = all_show(
        &site,
        &[
            redis("trusted", &open.url(), &trust, "UP", &[]),
            redis("stranger", &open.url(), "", "DOWN", &["certificate", "not trusted"]),
            redis("anonymous", &picky.url(), &trust, "DOWN", &["client certificate"]),
            redis("known", &picky.url(), &with_client, "UP", &[]),
        ],
    );
    handshake_took_time(&agent, "trusted");
}

#[test]
fn a_file_that_is_missing_is_no_fault_of_the_target_and_a_new_one_is_seen() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let server = Nginx::https(&ca.server(&[HOME]));
    let site = Site::new().with_defaults(DEFAULTS);
    let path = site.path().join("ca.pem");
    let tls = format!("tls = {{ ca_file = {path:?} }}");
    site.drop_in("web", [check("web", "http").target(&server.url()).line(&tls)]);
    let agent = site.start();
    let seen = agent.until_unknown("web", "invalid-params");
    let message = seen["message"].as_str().unwrap_or_default();
    assert!(message.contains(&path.display().to_string()), "{seen}");

    // A copy is another file at the same place, as a renewal makes it.
    let replace = |ca: &Ca| write(Path::new(&path), fs::read(ca.file()).unwrap());
    replace(&stranger);
    agent.until("web", "DOWN");
    replace(&ca);
    agent.until("web", "UP");
    replace(&stranger);
    agent.until("web", "DOWN");
}

#[test]
fn a_checker_upgrades_and_looks_at_certificates() {
    let ca = Ca::new();
    let good = Postgres::with_tls(&ca.server(&[HOME]));
    let expired = Postgres::with_tls(&ca.expired_server(&[HOME]));
    let plain = Postgres::start();
    let site = Site::new().with_defaults(DEFAULTS);
    site.plugin("starttls", component("rust-starttls"));
    let trust = trusting(&ca);
    let upgrade = |name, url: &str, status, text: &str| wanted(name, "starttls", url, &trust, status, &[text]);
    let mut inspect = upgrade("inspect", &expired.url(), "DEGRADED", "expired");
    inspect.message.push("no data passes".into());
    inspect.check = inspect.check.line("params = { inspect = true }");
    let agent = all_show(
        &site,
        &[
            upgrade("upgraded", &good.url(), "UP", "TLSv1.3 of CN=a test"),
            upgrade("expired", &expired.url(), "DOWN", "expired"),
            upgrade("plain", &plain.url(), "DOWN", "speaks no TLS"),
            inspect,
        ],
    );
    handshake_took_time(&agent, "upgraded");
    certificate_is_measured(&agent, "upgraded");
    let left = agent.metrics().sum("vitald_value_certificate_left_seconds", &[("check", "inspect")]);
    assert!(left < 0.0, "an expired certificate has {left} s left");
}
