use crate::model::requests::Reload;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::watch;

use crate::health::aggregate::view;
use crate::model::check::CheckDef;
use crate::model::maintenance::Maintenance;
use crate::model::outcome::{FaultKind, Status};
use crate::model::snapshot::{Aggregate, CheckView, ServiceView};
use crate::model::testing::{definition, faulted, judged, name, observation, service};
use crate::model::verdict::Verdict;

use super::*;

/// A snapshot with one check of each kind, as health would have made it.
fn snapshot(counts: Aggregate) -> HealthSnapshot {
    let now = clock::now();
    let mut checks = std::collections::BTreeMap::new();
    let mut add = |definition: CheckDef, endings: Vec<crate::model::outcome::Ending>, counts| {
        let mut verdict = Verdict::default();
        for ending in endings {
            let observation = observation(&definition.name, ending, now);
            crate::health::reduce::reduce(&mut verdict, &definition.policy, &observation);
        }
        let mut view = view(Arc::new(definition.clone()), Arc::new(verdict), now);
        view.counts = counts;
        checks.insert(definition.name, view);
    };
    add(definition("good", &[]), vec![judged(Status::Up)], Aggregate::Up);
    add(definition("other", &[]), vec![judged(Status::Down)], counts);
    let hidden = [vec![judged(Status::Up)], vec![faulted(FaultKind::Cpu); 3]].concat();
    add(definition("hidden", &[]), hidden, Aggregate::Up);
    HealthSnapshot { at: now, overall: counts, checks, loaded: true, ..HealthSnapshot::default() }
}

fn state(snapshot: HealthSnapshot) -> State {
    let metrics = Metrics::default();
    let wires = Wires {
        agent_id: name("test"),
        reload: watch::channel(Reload { origin: "file", ..Reload::default() }).1,
        snapshot: watch::channel(Arc::new(snapshot)).1,
        plugins: watch::channel(Arc::from([])).1,
        host: watch::channel(Arc::default()).1,
        discovered: None,
        stopping: watch::channel(false).1,
        sources: Vec::new(),
    };
    State {
        wires,
        counts: HttpMetrics::new(&metrics),
        metrics,
        beats: Beats::default(),
        started: Instant::now(),
        cache: Cache::default(),
        registry_cache: Cache::default(),
    }
}

fn get(state: &State, method: Method, target: &str) -> (u16, hyper::HeaderMap, String) {
    let request = Request::builder().method(method).uri(target).body(()).expect("a request");
    let (parts, body) = answer(state, &request).into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let bytes = runtime.block_on(body.collect()).expect("a body").to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(bytes.to_vec()).expect("text"))
}

fn json(state: &State, target: &str) -> (u16, Value) {
    let (code, _, body) = get(state, Method::GET, target);
    (code, serde_json::from_str(&body).expect(target))
}

#[test]
fn status_and_code_agree_whatever_is_asked() {
    let well = state(snapshot(Aggregate::Degraded));
    let (code, body) = json(&well, "/health");
    assert_eq!((code, &body["status"], &body["worst"]), (200, &"UP".into(), &"DEGRADED".into()));
    let ill = state(snapshot(Aggregate::Down));
    let (code, body) = json(&ill, "/health");
    assert_eq!((code, &body["status"], &body["worst"]), (503, &"DOWN".into(), &"DOWN".into()));
    let (code, body) = json(&ill, "/health?exclude=other");
    assert_eq!((code, &body["status"]), (200, &"UP".into()));
    assert!(body["details"].get("other").is_none());
    assert_eq!(json(&ill, "/health?exclude=other&max_age=1h").0, 200);
    assert_eq!(json(&ill, "/health?verbose=1").0, 400);
}

#[test]
fn old_critical_evidence_is_too_old_where_asked() {
    let state = state(snapshot(Aggregate::Up));
    std::thread::park_timeout(Duration::from_millis(5));
    let (code, body) = json(&state, "/health?max_age=1ms");
    assert_eq!((code, &body["reason"], &body["status"]), (503, &"too-old".into(), &"DOWN".into()));
}

#[test]
fn nothing_known_is_not_well() {
    let (code, body) = json(&state(HealthSnapshot::default()), "/health");
    assert_eq!((code, &body["worst"]), (503, &"PENDING".into()));
    assert_eq!(json(&state(HealthSnapshot::default()), "/health/ready").0, 503);
    assert_eq!(json(&state(HealthSnapshot::default()), "/health/live").0, 200);
}

#[test]
fn a_hidden_status_is_shown_with_its_reason() {
    let state = state(snapshot(Aggregate::Up));
    let (code, body) = json(&state, "/health/checks/hidden");
    assert_eq!(
        (code, &body["status"], &body["reason"], &body["last"]),
        (200, &"UNKNOWN".into(), &"cpu".into(), &"UP".into())
    );
    assert_eq!(json(&state, "/health/checks/other").0, 503);
    assert_eq!(json(&state, "/health/checks/nobody").0, 404);
    assert_eq!(json(&state, "/health/services/nobody").0, 404);
    assert_eq!(json(&state, "/api/v1/checks/hidden").1["faults"], 3);
}

#[test]
fn methods() {
    let state = state(snapshot(Aggregate::Up));
    let (code, headers, _) = get(&state, Method::POST, "/health");
    assert_eq!((code, headers["allow"].as_bytes()), (405, &b"GET, HEAD"[..]));
    let (code, headers, body) = get(&state, Method::HEAD, "/health");
    assert_eq!((code, body.as_str()), (200, ""));
    assert_ne!(headers["content-length"], "0");
    assert_eq!(get(&state, Method::GET, "/nothing").0, 404);
    let (_, headers, body) = get(&state, Method::GET, "/metrics");
    assert!(headers["content-type"].to_str().expect("text").starts_with("text/plain; version=0.0.4"));
    for line in [
        "vitald_http_requests_total{method=\"POST\",path=\"other\",status=\"405\"} 1",
        "vitald_http_requests_total{method=\"GET\",path=\"other\",status=\"404\"} 1",
    ] {
        assert!(body.contains(line), "{line} is not in {body}");
    }
}

#[test]
fn a_stampede_costs_one_rendering() {
    let state = state(snapshot(Aggregate::Up));
    let rendered = std::cell::Cell::new(0);
    let render = || {
        rendered.set(rendered.get() + 1);
        Reply::not_found("x")
    };
    for version in [1, 1, 1, 2] {
        state.cache.get("/health", version, render);
    }
    assert!((2..=4).contains(&rendered.get()), "{}", rendered.get());
}

fn in_maintenance() -> HealthSnapshot {
    let now = clock::now();
    let order = Maintenance { reason: "disk swap".into(), since: now, until: None };
    let service = ServiceView {
        definition: Arc::new(service("shop")),
        aggregate: Aggregate::Up,
        since: now,
        registrable: false,
        decided: true,
        checks: vec![name("app")],
        maintenance: Some(order),
    };
    let mut snapshot = snapshot(Aggregate::Up);
    let app = snapshot.checks[&name("good")].clone();
    let app = CheckView { definition: Arc::new(definition("app", &["shop"])), ..app };
    snapshot.checks.insert(name("app"), app);
    snapshot.services.insert(name("shop"), service);
    snapshot
}

#[test]
fn maintenance_shows_everywhere() {
    let state = state(in_maintenance());
    let (code, body) = json(&state, "/health");
    assert_eq!(
        (code, &body["status"], &body["maintenance"]["shop"]["reason"]),
        (200, &"UP".into(), &"disk swap".into())
    );
    assert!(body["maintenance"]["shop"]["since"].is_string() && body["maintenance"]["shop"]["until"].is_null());
    let (code, body) = json(&state, "/health/services/shop");
    assert_eq!((code, &body["status"], &body["worst"]), (503, &"MAINTENANCE".into(), &"UP".into()), "{body}");
    assert_eq!(
        (&body["maintenance"]["reason"], &body["details"]["app"]["status"]),
        (&"disk swap".into(), &"UP".into())
    );
    let (_, body) = json(&state, "/api/v1/services");
    let shop = &body["services"][0];
    assert_eq!((&shop["status"], &shop["maintenance"]["reason"]), (&"MAINTENANCE".into(), &"disk swap".into()));
    let (_, body) = json(&self::state(snapshot(Aggregate::Up)), "/health");
    assert!(body.get("maintenance").is_none(), "nothing is said where there is none");
}

#[test]
fn old_evidence_of_what_is_in_maintenance_counts_for_nothing() {
    let mut snapshot = in_maintenance();
    snapshot.checks.retain(|check, _| **check == *"app");
    let state = state(snapshot);
    std::thread::park_timeout(Duration::from_millis(5));
    assert_eq!(json(&state, "/health?max_age=1ms").0, 200);
}

#[test]
fn a_hidden_check_answers_by_its_last_status_whatever_it_counts_as() {
    for (last, code) in [(Status::Up, 200), (Status::Degraded, 200), (Status::Down, 503)] {
        let mut snapshot = snapshot(Aggregate::Up);
        let hidden = snapshot.checks.get_mut(&name("hidden")).expect("it is there");
        Arc::make_mut(&mut hidden.verdict).status = Some(last);
        assert_eq!(json(&state(snapshot), "/health/checks/hidden").0, code, "{last}");
    }
}
