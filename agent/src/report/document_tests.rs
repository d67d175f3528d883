//! Real documents against the published schema.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::host::{HostBlock, HostFamily, HostKind, HostSample};
use crate::model::registration::{KeyView, LeaseView};
use crate::model::snapshot::CheckView;
use crate::model::testing::{at, definition, name, service};
use crate::model::time::Moment;
use crate::model::verdict::{Evidence, Verdict};

use super::*;

const DAY: u64 = 86_400;

/// The published schema, and nothing beyond it: a field that is not described is a mistake here.
fn strict() -> jsonschema::Validator {
    fn close(schema: &mut Value) {
        if let Some(object) = schema.as_object_mut() {
            if object.contains_key("properties") {
                object.insert("additionalProperties".into(), false.into());
            }
            object.values_mut().for_each(close);
        } else if let Some(items) = schema.as_array_mut() {
            items.iter_mut().for_each(close);
        }
    }
    let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    close(&mut schema);
    jsonschema::options().build(&schema).expect("a schema")
}

fn holds(document: &Value) {
    let problems: Vec<String> = strict().iter_errors(document).map(|error| format!("{error}: {document}")).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn family(name: &'static str, series: &[(&[(&str, &str)], f64)]) -> HostFamily {
    let mut family = HostFamily { name: name.into(), help: "x".into(), kind: HostKind::Gauge, series: Vec::new() };
    series.iter().for_each(|(labels, value)| family.add(labels, *value));
    family
}

/// A host that has been busy for `busy` of `all` seconds since it was booted.
fn sample(seconds: u64, busy: f64, all: f64) -> Arc<HostSample> {
    let root = [("device", "/dev/sda1"), ("fstype", "ext4"), ("mountpoint", "/")];
    let cpu = |mode| [("cpu", "0"), ("mode", mode)];
    let families = vec![
        family("node_load1", &[(&[], 0.5)]),
        family(
            "node_cpu_seconds_total",
            &[
                (&cpu("user"), busy),
                (&cpu("idle"), all - busy - 1.0),
                (&cpu("iowait"), 1.0),
                // It came later than the first sample.
                (&[("cpu", "1"), ("mode", "idle")], 7.0),
            ],
        ),
        family("node_memory_MemTotal_bytes", &[(&[], 8e9)]),
        family("node_filesystem_size_bytes", &[(&root, 1000.0)]),
        family("node_filesystem_free_bytes", &[(&root, 300.0)]),
        family("node_filesystem_avail_bytes", &[(&root, 200.0)]),
        family("node_filesystem_readonly", &[(&root, 0.0)]),
        family("node_network_receive_bytes_total", &[(&[("device", "lo")], 9.0), (&[("device", "eth0")], 5.0)]),
        family("node_pressure_io_waiting_seconds_total", &[(&[], busy / 10.0)]),
        family("node_uname_info", &[(&[("nodename", "host-1.example"), ("release", "6.7.0")], 1.0)]),
    ];
    let block = Arc::new(HostBlock { collector: "all", taken: Moment::default(), families });
    Arc::new(HostSample { taken: at(seconds), blocks: Arc::from([block]) })
}

fn snapshot() -> HealthSnapshot {
    let evidence = Evidence {
        status: Status::Down,
        message: "connect 10.0.0.9:5432: refused".into(),
        at: at(DAY - 12),
        duration: Duration::from_micros(1_234),
        parts: Vec::new(),
    };
    let verdict = Verdict { status: Some(Status::Down), since: at(5), evidence: Some(evidence), ..Verdict::default() };
    let view = |check: &str, services: &[&str], verdict: &Verdict, shown| CheckView {
        notice: None,
        definition: Arc::new(definition(check, services)),
        verdict: Arc::new(verdict.clone()),
        shown,
        reason: (shown == Shown::Unknown).then_some("stale"),
        counts: Aggregate::Down,
    };
    let order = Maintenance { reason: "disk".into(), since: at(7), until: Some(Duration::from_secs(DAY)) };
    let service = |name: &str, maintenance| ServiceView {
        definition: Arc::new(service(name)),
        aggregate: Aggregate::Down,
        since: at(6),
        registrable: false,
        decided: true,
        checks: vec!["db".parse().expect("a name")],
        maintenance,
    };
    HealthSnapshot {
        at: at(DAY),
        overall: Aggregate::Down,
        checks: [
            (name("db"), view("db", &["shop"], &verdict, Shown::Down)),
            (name("new"), view("new", &[], &Verdict::default(), Shown::Pending)),
            (name("old"), view("old", &[], &verdict, Shown::Unknown)),
        ]
        .into(),
        services: [(name("shop"), service("shop", Some(order))), (name("web"), service("web", None))].into(),
        loaded: true,
    }
}

fn known(snapshot: HealthSnapshot, window: Window) -> Known {
    Known {
        agent: name("host-1"),
        boot_id: Some("b".into()),
        reason: Reason::Change,
        now: at(DAY),
        snapshot: Arc::new(snapshot),
        registry: None,
        window,
    }
}

fn rendered(known: &Known) -> Value {
    let number = Number { stream: "0123456789abcdef0123456789abcdef".into(), sequence: 7 };
    let document = serde_json::to_value(known.document(&number, Detail::All)).expect("JSON");
    holds(&document);
    document
}

fn window(samples: &[Arc<HostSample>]) -> Window {
    let mut window = Window::default();
    samples.iter().for_each(|sample| window.advance(sample));
    window
}

#[test]
fn a_report_of_an_agent_that_knows_nothing_yet() {
    let document = rendered(&known(HealthSnapshot::default(), Window::default()));
    assert_eq!((&document["status"], &document["host"]["sampled"]), (&"PENDING".into(), &Value::Null));
    assert_eq!(document["host"]["file_systems"], json!([]));
    assert!(document["host_name"].as_str().is_some_and(|name| !name.is_empty()));
}

#[test]
fn everything_has_its_place() {
    let window = window(&[sample(100, 10.0, 100.0), sample(160, 40.0, 160.0)]);
    let document = rendered(&known(snapshot(), window));
    assert_eq!((&document["sequence"], &document["reason"]), (&7.into(), &"change".into()));
    assert_eq!((&document["status"], &document["host_name"]), (&"DOWN".into(), &"host-1.example".into()));
    let checks = document["checks"].as_array().expect("a list");
    let expected = json!({
        "name": "db", "checker": "tcp", "severity": "critical", "services": ["shop"], "status": "DOWN",
        "last_status": "DOWN", "reason": null, "message": "connect 10.0.0.9:5432: refused",
        "since": "1970-01-01T00:00:05.000Z", "age_seconds": 12.0, "duration_seconds": 0.001234,
    });
    assert_eq!(checks[0], expected);
    assert_eq!((&checks[1]["status"], &checks[1]["since"]), (&"PENDING".into(), &Value::Null));
    assert_eq!((&checks[2]["status"], &checks[2]["last_status"]), (&"UNKNOWN".into(), &"DOWN".into()));
    let shop = json!({
        "name": "shop", "id": "shop-host", "status": "MAINTENANCE", "checks_status": "DOWN",
        "since": "1970-01-01T00:00:06.000Z", "registered": null,
        "maintenance": {
            "reason": "disk", "since": "1970-01-01T00:00:07.000Z", "until": "1970-01-02T00:00:00.000Z",
        },
        "checks": ["db"],
    });
    assert_eq!(document["services"][0], shop);
    let host = &document["host"];
    assert_eq!((&host["rates_window_seconds"], &host["cpu_used_ratio"]), (&json!(60.0), &json!(0.5)));
    assert_eq!((&host["cpus"], &host["memory_total_bytes"]), (&json!(2), &json!(8_000_000_000_u64)));
    assert_eq!((&host["network_receive_bytes_total"], &host["swap_total_bytes"]), (&json!(5), &Value::Null));
    assert_eq!(host["pressure"]["io_waiting_ratio"], json!(0.05));
    let root = json!({
        "mount_point": "/", "device": "/dev/sda1", "fs_type": "ext4", "size_bytes": 1000, "available_bytes": 200,
        "used_ratio": 0.7778, "read_only": false,
    });
    assert_eq!(host["file_systems"], json!([root]));
}

#[test]
fn long_messages_are_cut_and_what_says_less_is_a_report_too() {
    let mut snapshot = snapshot();
    let view = snapshot.checks.get_mut(&name("db")).expect("a check");
    let mut verdict = (*view.verdict).clone();
    verdict.evidence.as_mut().expect("evidence").message = "ü".repeat(MAX_MESSAGE);
    view.verdict = Arc::new(verdict);
    let known = known(snapshot, Window::default());
    let document = rendered(&known);
    let message = document["checks"][0]["message"].as_str().expect("a message");
    assert!(message.len() <= MAX_MESSAGE && message.ends_with("ü…"), "{message}");
    assert_eq!(document.get("truncated"), None);
    let number = Number { stream: "0123456789abcdef0123456789abcdef".into(), sequence: 7 };
    for (detail, services) in [(Detail::NoMessages, json!(["shop"])), (Detail::NoLists, json!([]))] {
        let document = serde_json::to_value(known.document(&number, detail)).expect("JSON");
        holds(&document);
        let check = &document["checks"][0];
        assert_eq!((&check["message"], &check["services"]), (&json!(""), &services));
        assert_eq!((&document["truncated"], &check["status"]), (&json!(true), &json!("DOWN")));
    }
}

#[test]
fn numbers_that_no_host_has_are_left_out() {
    let mut odd = (*sample(100, f64::NAN, 100.0)).clone();
    let mut block = (*odd.blocks[0]).clone();
    for family in block.families.iter_mut().filter(|family| family.name != "node_cpu_seconds_total") {
        family.series.iter_mut().for_each(|series| series.value = -1e300);
    }
    odd.blocks = Arc::from([Arc::new(block)]);
    let document = rendered(&known(snapshot(), window(&[sample(40, 1.0, 5.0), Arc::new(odd)])));
    assert_eq!(document["host"]["memory_total_bytes"], Value::Null);
    assert_eq!(document["host"]["file_systems"], json!([]));
}

#[test]
fn two_reports_between_two_samples_say_the_same() {
    let (first, second) = (sample(100, 10.0, 100.0), sample(160, 40.0, 160.0));
    let once = rendered(&known(snapshot(), window(&[first.clone(), second.clone()])));
    let twice = rendered(&known(snapshot(), window(&[first.clone(), second.clone(), second])));
    assert_eq!(once, twice);
    let alone = rendered(&known(snapshot(), window(&[first])));
    assert_eq!(alone["host"]["rates_window_seconds"], Value::Null);
    assert_eq!(alone["host"]["cpu_used_ratio"], Value::Null);
    assert_eq!(alone["host"]["load_1m"], json!(0.5));
}

#[test]
fn a_service_is_registered_while_its_lease_lives() {
    let key = KeyView { dialect: "native", key: "/k".into(), state: KeyState::Registered, since: at(1) };
    let lease = LeaseView { id: 1, granted: Duration::from_secs(15), since: at(1), renewed: at(DAY - 10) };
    let registry = RegistryView {
        up: true,
        lease: Some(lease),
        services: [(name("shop"), vec![key])].into(),
        ..RegistryView::default()
    };
    let registered = |registry: RegistryView| {
        let known = Known { registry: Some(Arc::new(registry)), ..known(snapshot(), Window::default()) };
        let document = rendered(&known);
        [0, 1].map(|service: usize| document["services"][service]["registered"].clone())
    };
    assert_eq!(registered(registry.clone()), [json!(true), json!(false)]);
    let lost = LeaseView { renewed: at(DAY - 16), ..registry.lease.clone().expect("a lease") };
    assert_eq!(registered(RegistryView { up: false, lease: Some(lost), ..registry }), [json!(false), json!(false)]);
}

#[test]
fn the_example_of_the_readme_is_a_report() {
    let readme = include_str!("README.md");
    let example = readme.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    holds(&serde_json::from_str(example).expect("JSON"));
}

#[test]
fn the_readme_names_every_field() {
    fn fields(schema: &Value, found: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            found.extend(properties.keys().cloned());
        }
        match schema {
            Value::Object(object) => object.values().for_each(|value| fields(value, found)),
            Value::Array(items) => items.iter().for_each(|value| fields(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    fields(&serde_json::from_str(SCHEMA).expect("JSON"), &mut found);
    assert!(found.len() > 60, "{found:?}");
    let readme = include_str!("README.md");
    let absent: Vec<_> = found.iter().filter(|field| !readme.contains(&format!("`{field}`"))).collect();
    assert!(absent.is_empty(), "the README says nothing of {absent:?}");
}
