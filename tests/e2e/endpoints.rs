//! How etcd is reached: TLS, client certificates, and endpoints that are dead. Each error names the endpoint and what is
//! wrong with it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::dialects::{falls, rises, settled_in, shop_of, there};
use crate::harness::{
    Ca, Deaf, Etcd, Identity, Listener, Manner, Site, eventually, report, showing, showing_to_clients_of, that,
    throughout,
};
use crate::registration::KEY;

const SOON: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_secs(5);
const HOME: &str = "127.0.0.1";

fn over_tls(etcd: &Etcd, lines: &str) -> Site {
    let url = endpoint(etcd);
    shop_of(Site::new().registered_at_all(&[url]).with("registry", &format!("tls = {{ {lines} }}")))
}

fn endpoint(etcd: &Etcd) -> String {
    format!("https://{HOME}:{}", etcd.tls_port())
}

fn trusting(ca: &Ca) -> String {
    format!("ca_file = {:?}", ca.file())
}

fn with_identity(ca: &Ca, identity: &Identity) -> String {
    format!("{}, cert_file = {:?}, key_file = {:?}", trusting(ca), identity.cert, identity.key)
}

/// Registered, renewed, taken out and in again.
fn works(site: &Site, etcd: &Etcd) {
    let agent = site.start();
    settled_in(site, etcd, &[KEY]);
    throughout("it is renewed", TTL + TTL / 2, || there(etcd, &[KEY]));
    falls(site);
    eventually("it is gone", SOON, || there(etcd, &[]));
    rises(site);
    eventually("it is back", SOON, || there(etcd, &[KEY]));
    assert_eq!(agent.metrics().sum("vitald_registry_errors_total", &[]), 0.0, "{}", agent.log());
}

/// One warning, which has all of this; and the agent is as well as ever.
fn refused(fault: &str, site: &Site, words: &[&str]) {
    refused_in(1, fault, site, words);
}

/// A warning has all of this, and there are no more than so many.
fn refused_in(most: usize, fault: &str, site: &Site, words: &[&str]) {
    let agent = site.start();
    agent.until_health(200);
    let warnings = || -> Vec<String> {
        let log = agent.log();
        log.lines().filter(|line| line.contains(" WARN ")).map(ToOwned::to_owned).collect()
    };
    let line = eventually(&format!("{fault}: the log has {words:?}"), SOON, || {
        let found = warnings().into_iter().find(|line| words.iter().all(|word| line.contains(word)));
        found.ok_or_else(|| warnings().join("\n"))
    });
    eventually("it goes on trying", SOON, || {
        let errors = agent.metrics().sum("vitald_registry_errors_total", &[]);
        that(errors >= 3.0, || errors.to_string())
    });
    let line = line.split_once("etcd unreachable").map_or(line.as_str(), |(_, tail)| tail);
    report(fault, line.trim(), &words.join(", "));
    assert!(warnings().len() <= most, "{fault}: {:?}", warnings());
}

#[test]
fn etcd_over_tls() {
    let ca = Ca::new();
    let etcd = Etcd::with_tls(showing(&ca.server(&[HOME])));
    works(&over_tls(&etcd, &trusting(&ca)), &etcd);
}

#[test]
fn etcd_that_wants_a_client_certificate() {
    let ca = Ca::new();
    let etcd = Etcd::with_tls(showing_to_clients_of(&ca.server(&[HOME]), &ca));
    works(&over_tls(&etcd, &with_identity(&ca, &ca.client())), &etcd);
}

#[test]
fn a_server_that_does_not_verify_is_named() {
    let (ca, namesake) = (Ca::new(), Ca::new());
    let etcd = Etcd::with_tls(showing(&ca.server(&[HOME])));
    let site = over_tls(&etcd, "");
    refused(
        "TLS: an authority that nobody named",
        &site,
        &["(tls)", &endpoint(&etcd), "issuer is not trusted", "ca_file"],
    );
    let site = over_tls(&etcd, &trusting(&namesake));
    refused("TLS: an authority of the same name", &site, &["(tls)", &endpoint(&etcd), "does not verify"]);

    let etcd = Etcd::with_tls(showing(&ca.expired_server(&[HOME])));
    let site = over_tls(&etcd, &trusting(&ca));
    refused("TLS: an expired certificate", &site, &["(tls)", &endpoint(&etcd), "expired", "days ago"]);

    let etcd = Etcd::with_tls(showing(&ca.server(&["etcd.internal"])));
    let site = over_tls(&etcd, &trusting(&ca));
    refused(
        "TLS: a certificate for another name",
        &site,
        &["(tls)", &endpoint(&etcd), "not for 127.0.0.1 but for etcd.internal"],
    );
}

#[test]
fn a_client_certificate_that_is_missing_is_named() {
    let ca = Ca::new();
    let etcd = Etcd::with_tls(showing_to_clients_of(&ca.server(&[HOME]), &ca));
    let site = over_tls(&etcd, &trusting(&ca));
    // Under TLS 1.3 the server says so after the handshake, and may be gone before it was heard: then the next try
    // tells.
    let words = ["(tls)", &endpoint(&etcd), "client certificate", "cert_file"];
    refused_in(2, "TLS: no client certificate", &site, &words);

    let stranger = Ca::new();
    let identity = stranger.client();
    let site = over_tls(&etcd, &with_identity(&ca, &identity));
    refused_in(2, "TLS: a client certificate of another authority", &site, &words);
}

#[test]
fn a_file_that_is_missing_is_named_with_its_key() {
    let ca = Ca::new();
    let etcd = Etcd::with_tls(showing(&ca.server(&[HOME])));
    let site = over_tls(&etcd, "ca_file = \"/nowhere/ca.pem\"");
    refused("TLS: no ca_file", &site, &["(tls)", &endpoint(&etcd), "ca_file", "/nowhere/ca.pem"]);
    let client = ca.client();
    let lines = format!("{}, cert_file = \"/nowhere/cert.pem\", key_file = {:?}", trusting(&ca), client.key);
    let site = over_tls(&etcd, &lines);
    refused("TLS: no cert_file", &site, &["(tls)", &endpoint(&etcd), "cert_file", "/nowhere/cert.pem"]);
    let lines = format!("{}, cert_file = {:?}, key_file = \"/nowhere/key.pem\"", trusting(&ca), client.cert);
    let site = over_tls(&etcd, &lines);
    refused("TLS: no key_file", &site, &["(tls)", &endpoint(&etcd), "key_file", "/nowhere/key.pem"]);
}

#[test]
fn a_plain_server_behind_https_is_named() {
    let ca = Ca::new();
    let etcd = Etcd::start();
    let url = etcd.url().replace("http://", "https://");
    let site = Site::new().registered_at_all(std::slice::from_ref(&url));
    let site = shop_of(site.with("registry", &format!("tls = {{ {} }}", trusting(&ca))));
    refused("TLS: a server that speaks none", &site, &["(tls)", &url, "TLS handshake"]);
}

/// Which endpoint is tried first is left to chance: of these four, three are no use.
#[test]
fn endpoints_that_are_dead_or_deaf_or_mute_cost_no_more_than_a_moment() {
    let etcd = Etcd::start();
    let (deaf, mute, mut dead) = (Deaf::start(), Listener::start(Manner::Silent), Listener::start(Manner::Closing));
    dead.close();
    let urls = [
        dead.url().replace("tcp://", "http://"),
        format!("http://{}", deaf.address()),
        mute.url().replace("tcp://", "http://"),
        etcd.url(),
    ];
    let mut slowest = Duration::ZERO;
    for _ in 0..6 {
        let site = shop_of(Site::new().registered_at_all(&urls));
        let mut agent = site.start();
        let begun = Instant::now();
        eventually("registered", SOON, || there(&etcd, &[KEY]));
        slowest = slowest.max(begun.elapsed());
        let line = format!("etcd connected at {}", etcd.url());
        eventually("the log names the endpoint", SOON, || that(agent.log().contains(&line), || agent.log()));
        agent.signal(Signal::TERM);
        agent.end(SOON);
    }
    let seen = format!("registered, at the latest {:.1} s after the start, of 6", slowest.as_secs_f64());
    report("three of four endpoints refuse, drop packets, say nothing", &seen, "registered within 2 s");
    assert!(slowest < Duration::from_secs(2) * 3, "{slowest:?}");
}
