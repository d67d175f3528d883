//! `[[report]]` and `vitald collect`: what is known leaves the host, whole and in order.

mod buffer;
mod collector;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::control::done;
use crate::dialects::{falls, rises};
use crate::harness::{
    Agent, Ca, Collector, Etcd, Listener, Manner, Metrics, Poll, Site, SmallDisk, check, eventually, guest, service,
    that, throughout, vitald, write,
};
use crate::registration::shop;

const SOON: Duration = Duration::from_secs(15);
/// A backoff may be long by now.
const LATER: Duration = Duration::from_secs(90);
/// No test waits for its clock.
const NEVER: &str = "interval = \"1h\"";
const EACH_SECOND: &str = "interval = \"1s\"";

/// A host with a service that is well, and reports to that URL.
fn reporting(url: &str, lines: &str) -> Site {
    let report = format!("name = \"central\"\nurl = {url:?}\ntimeout = \"2s\"\n{lines}");
    let site = Site::new().with("[report]", &report);
    rises(&site);
    site.drop_in("shop", [service("shop"), check("app", "app").of("shop")]);
    site
}

fn buffer_of(site: &Site) -> PathBuf {
    site.path().join("state/reports/central")
}

fn counted(metrics: &Metrics, name: &str, reason: &str) -> f64 {
    let labels = [("report", "central"), ("reason", reason)];
    metrics.get(&format!("vitald_report_{name}_total"), &labels).unwrap_or_else(|| panic!("no series {name} {reason}"))
}

fn gauge(agent: &Agent, name: &str) -> f64 {
    let name = format!("vitald_report_{name}");
    agent.metrics().get(&name, &[("report", "central")]).unwrap_or_else(|| panic!("no series {name}"))
}

fn until_counted(agent: &Agent, name: &str, reason: &str, count: f64) {
    eventually(&format!("{name} for {reason}"), LATER, || {
        that(counted(&agent.metrics(), name, reason) >= count, || agent.log())
    });
}

fn until_buffered(agent: &Agent, what: impl Fn(f64) -> bool) {
    eventually("so many reports wait", LATER, || {
        let waiting = gauge(agent, "buffered");
        that(what(waiting), || waiting.to_string())
    });
}

/// Numbers by stream, in the order of the file.
fn numbers(reports: &[Value]) -> Vec<u64> {
    reports.iter().map(|report| report["sequence"].as_u64().unwrap()).collect()
}

fn streams(reports: &[Value]) -> BTreeSet<String> {
    reports.iter().map(|report| report["stream"].as_str().unwrap().to_owned()).collect()
}

/// One stream, from 1, in order, each once.
fn assert_whole(reports: &[Value]) {
    assert_eq!(streams(reports).len(), 1, "{:?}", streams(reports));
    let wanted: Vec<u64> = (1..=u64::try_from(reports.len()).unwrap()).collect();
    assert_eq!(numbers(reports), wanted);
}

fn status_of<'a>(report: &'a Value, kind: &str, name: &str) -> &'a Value {
    let found = report[kind].as_array().unwrap().iter().find(|one| one["name"] == name);
    &found.unwrap_or_else(|| panic!("no {name} in {report}"))["status"]
}

#[test]
fn what_changes_is_reported_within_seconds() {
    let collector = Collector::started();
    let site = reporting(&format!("{}/in?x=1", collector.url()), NEVER);
    let mut agent = site.start();
    let first = collector.until("the first report", 0, |_| true);
    assert_eq!((&first["reason"], &first["sequence"], &first["agent"]), (&"start".into(), &1.into(), &"host-1".into()));
    assert_eq!((status_of(&first, "checks", "app"), &first["status"]), (&"UP".into(), &"UP".into()), "{first}");
    assert_eq!(status_of(&first, "services", "shop"), "UP");
    assert!(first["services"][0]["registered"].is_null(), "it stands alone: {first}");

    falls(&site);
    let ill = collector.until("the check is down", 1, |report| status_of(report, "checks", "app") == "DOWN");
    assert_eq!((&ill["reason"], status_of(&ill, "services", "shop")), (&"change".into(), &"DOWN".into()));
    let (seen, reported) = (agent.check("app"), &ill["checks"][0]);
    for key in ["message", "since"] {
        assert_eq!(reported[key], seen[key], "{reported}");
    }
    let known = collector.reports().len();
    done(&site, &["maintenance", "on", "--service", "shop", "--reason", "disk swap", "--for", "1h"]);
    let kept = collector.until("maintenance", known, |report| status_of(report, "services", "shop") == "MAINTENANCE");
    assert_eq!(
        (&kept["reason"], &kept["services"][0]["maintenance"]["reason"]),
        (&"change".into(), &"disk swap".into())
    );

    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    let reports = collector.reports();
    assert_eq!(reports.last().unwrap()["reason"], "stop");
    assert_whole(&reports);
    // Nothing waits, and the number stays taken.
    let mut left: Vec<String> = fs::read_dir(buffer_of(&site))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [format!("{:020}.sent", reports.len()), "stream.json".to_owned()]);
}

#[test]
fn the_clock_goes_on_and_the_host_is_in_it() {
    let collector = Collector::started();
    let site = reporting(&collector.url(), &format!("{EACH_SECOND}\non_change = false")).with("host", EACH_SECOND);
    let agent = site.start();
    let report = collector.until("a report with two samples", 2, |report| {
        report["reason"] == "interval" && report["host"]["cpu_used_ratio"].is_number()
    });
    let host = &report["host"];
    for key in ["load_1m", "cpus", "memory_total_bytes", "memory_available_bytes", "uptime_seconds"] {
        assert!(host[key].as_f64().is_some_and(|value| value >= 0.0), "{key}: {host}");
    }
    let uname = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(host["kernel"], uname.trim());
    assert_eq!(report["boot_id"], fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    assert_whole(&collector.reports());
    eventually("it is counted", SOON, || {
        let sent = gauge(&agent, "sent_total");
        that(sent >= 3.0 && gauge(&agent, "last_success_timestamp_seconds") > 1.7e9, || sent.to_string())
    });
    for reason in ["buffer", "memory", "refused", "damaged", "too-large"] {
        assert_eq!(counted(&agent.metrics(), "dropped", reason), 0.0);
    }
}

#[test]
fn a_dead_receiver_and_a_killed_agent_lose_nothing() {
    let mut collector = Collector::started();
    let site = reporting(&collector.url(), EACH_SECOND);
    let mut agent = site.start();
    collector.until("some reports", 1, |_| true);
    collector.kill();
    for _ in 0..2 {
        let before = gauge(&agent, "buffered");
        until_buffered(&agent, |waiting| waiting >= before + 3.0);
        agent.kill();
        agent = site.start();
        assert!(gauge(&agent, "buffered") >= before + 3.0, "it forgot some: {}", agent.log());
    }
    let metrics = agent.metrics();
    let waiting = |name| metrics.sum(name, &[("report", "central")]);
    assert!(waiting("vitald_report_buffered_bytes") >= waiting("vitald_report_buffered") * 4096.0);
    collector.start();
    until_buffered(&agent, |waiting| waiting == 0.0);
    let reports = collector.reports();
    assert!(reports.len() >= 8, "{}", reports.len());
    assert_whole(&reports);
    let starts = reports.iter().filter(|report| report["reason"] == "start").count();
    assert_eq!(starts, 3);
    assert!(counted(&agent.metrics(), "failures", "io") >= 1.0);
    let said = |words: &str| agent.log().matches(words).count();
    assert_eq!((said("report central is not delivered"), said("is delivered again after")), (3, 1), "{}", agent.log());
}

#[test]
fn over_tls_with_a_token_that_is_changed() {
    let ca = Ca::new();
    let site = Site::new();
    let tokens = [site.path().join("collectors-token"), site.path().join("token")];
    let token = |text: &str| tokens.each_ref().map(|path| write(path, format!("{text}\n")));
    token("first-token");
    let mut collector = Collector::new().with_tls(&ca.server(&["127.0.0.1"]));
    collector = collector.with(&["--token-file", tokens[0].to_str().unwrap()]);
    collector.start();
    let report = format!(
        "name = \"central\"\nurl = \"{}/\"\n{EACH_SECOND}\ngzip = false\ntoken_file = \"token\"\n\
         headers = {{ X-Site = \"here\" }}\ntls = {{ ca_file = {:?} }}",
        collector.url(),
        ca.file()
    );
    let site = site.with("[report]", &report);
    let agent = site.start_with(&["--log-level", "trace"]);
    collector.until("a report over TLS", 1, |_| true);

    write(&tokens[0], "second-token");
    until_counted(&agent, "failures", "unauthorized", 1.0);
    assert!(agent.log().contains("look at token_file"), "{}", agent.log());
    write(&tokens[1], "second-token\n");
    let known = collector.reports().len();
    collector.until("a report with the new token", known, |_| true);

    fs::remove_file(&tokens[1]).unwrap();
    until_counted(&agent, "failures", "token", 1.0);
    write(&tokens[1], "second-token");
    until_buffered(&agent, |waiting| waiting == 0.0);
    assert_whole(&collector.reports());
    for log in [agent.log(), collector.log()] {
        assert!(!log.contains("first-token") && !log.contains("second-token"), "a token is in the log");
    }
}

#[test]
fn a_certificate_of_nobody_is_refused_until_it_is_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let mut collector = Collector::new().with_tls(&ca.server(&["127.0.0.1"]));
    collector.start();
    let trusted = reporting(&collector.url(), NEVER);
    let ca_file = trusted.path().join("ca.pem");
    fs::copy(other.file(), &ca_file).unwrap();
    let site = trusted.with("[report]", "tls = { ca_file = \"ca.pem\" }");
    let agent = site.start();
    until_counted(&agent, "failures", "tls", 1.0);
    assert!(agent.log().contains("tls.ca_file"), "{}", agent.log());
    assert_eq!(collector.reports().len(), 0);
    fs::copy(ca.file(), &ca_file).unwrap();
    collector.until("a report", 0, |report| report["sequence"] == 1);
}

#[test]
fn a_receiver_that_is_slow_or_ill_delays_its_reports_alone() {
    let mut collector = Collector::new();
    let url = format!("http://127.0.0.1:{}", collector.port());
    let busy = Manner::Answering("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
    let site = reporting(&url, EACH_SECOND);
    for (manner, reason) in [(busy, "server"), (Manner::Silent, "timeout"), (Manner::Closing, "io")] {
        let mut listener = Listener::on(collector.port(), manner);
        let mut agent = site.start();
        let healthy = Poll::start(&agent, "/health/live", 200);
        until_counted(&agent, "failures", reason, 2.0);
        agent.until("app", "UP");
        assert!(healthy.stop() < Duration::from_secs(3));
        agent.signal(Signal::TERM);
        assert_eq!(agent.end(SOON), 0, "a slow receiver does not keep it");
        assert!(agent.log().contains("wait on disk for the next start"), "{}", agent.log());
        listener.close();
    }
    collector.start();
    let agent = site.start();
    until_buffered(&agent, |waiting| waiting == 0.0);
    let reports = collector.reports();
    assert_whole(&reports);
    // One that a slow disk did not take in time ended with its agent.
    let stops = reports.iter().filter(|report| report["reason"] == "stop").count();
    assert!((1..=3).contains(&stops), "{stops}");
}

#[test]
fn what_a_receiver_will_never_take_is_dropped_and_said() {
    let mut collector = Collector::new();
    let no = "HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 9\r\n\r\nnot\nhere\n";
    let mut listener = Listener::on(collector.port(), Manner::Answering(no));
    let site = reporting(&format!("http://127.0.0.1:{}", collector.port()), EACH_SECOND);
    let agent = site.start();
    until_counted(&agent, "dropped", "refused", 1.0);
    assert!(agent.log().contains("422 Unprocessable Entity: not here"), "{}", agent.log());
    listener.close();
    collector.start();
    let first = collector.until("a report", 0, |_| true);
    assert!(first["sequence"].as_u64().unwrap() > 1, "the numbers of those that were dropped are not used again");
}

#[test]
fn what_is_registered_is_reported_and_a_handover_says_goodbye() {
    let (collector, etcd) = (Collector::started(), Etcd::start());
    let report = format!("name = \"central\"\nurl = {:?}\n{EACH_SECOND}", collector.url());
    let site = shop(&etcd).with("[report]", &report);
    let mut agent = site.start();
    collector.until("it is registered", 0, |report| report["services"][0]["registered"] == true);
    agent.signal(Signal::USR2);
    assert_eq!(agent.end(SOON), 0);
    assert_eq!(collector.reports().last().unwrap()["reason"], "stop");
    let known = collector.reports().len();
    let _agent = site.start();
    collector.until("the next agent goes on", known, |report| report["reason"] == "start");
    assert_whole(&collector.reports());
}

#[test]
fn a_wiped_state_directory_is_another_stream() {
    let collector = Collector::started();
    let site = reporting(&collector.url(), NEVER);
    for streams_so_far in 1..=2 {
        let mut agent = site.start();
        eventually("a stream", SOON, || {
            let reports = collector.reports();
            that(streams(&reports).len() == streams_so_far, || format!("{reports:?}"))
        });
        agent.signal(Signal::TERM);
        assert_eq!(agent.end(SOON), 0);
        fs::remove_dir_all(site.path().join("state")).unwrap();
    }
    assert_eq!(collector.reports().iter().filter(|report| report["sequence"] == 1).count(), 2);
}

#[test]
fn an_agent_without_reports_sends_nothing_and_has_no_series() {
    let site = Site::new();
    site.plugin("noop", guest("noop"));
    site.drop_in("app", [check("app", "noop")]);
    let agent = site.start();
    agent.until("app", "UP");
    assert!(!agent.metrics().names().iter().any(|name| name.starts_with("vitald_report")));
    throughout("no directory", Duration::from_millis(500), || {
        that(!site.path().join("state/reports").exists(), || "there is one".into())
    });
}
