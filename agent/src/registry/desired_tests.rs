use std::sync::Arc;
use std::time::Duration;

use crate::model::snapshot::Aggregate;
use crate::model::testing::{at, name, service};
use crate::registry::{Advertise, OnStop};

use super::*;

fn config() -> Config {
    Config {
        agent_id: name("web-1"),
        advertise: Advertise::Auto,
        listen: vec![([0, 0, 0, 0], 9720).into()],
        endpoints: Vec::new(),
        prefix: "/services".into(),
        agents_prefix: "/vitald/agents".into(),
        ttl: Duration::from_secs(15),
        on_stop: OnStop::Remove,
        drain: Duration::ZERO,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(3),
        state_dir: "/nowhere".into(),
    }
}

fn snapshot(aggregate: Aggregate, registrable: bool, decided: bool) -> HealthSnapshot {
    let definition = Arc::new(service("orders"));
    let view = ServiceView { definition, aggregate, since: at(1), registrable, decided, checks: Vec::new() };
    HealthSnapshot { services: [(name("orders"), view)].into(), loaded: true, ..HealthSnapshot::default() }
}

fn keys(snapshot: &HealthSnapshot, mode: Mode) -> Desired {
    let config = config();
    desired(snapshot, &Who { config: &config, owner: "me", address: [10, 0, 0, 9].into() }, mode)
}

const INSTANCE: &str = "/services/orders/orders-host";
const AGENT: &str = "/vitald/agents/web-1";

#[test]
fn a_well_service_has_its_key_with_all_that_design_7_lists() {
    let keys = keys(&snapshot(Aggregate::Degraded, true, true), Mode::Register);
    let Some(Wanted::Value(value)) = keys.get(INSTANCE) else { panic!("{keys:?}") };
    let value: serde_json::Value = serde_json::from_str(value).expect("json");
    let expected = json!({
        "id": "orders-host", "service": "orders", "address": "10.0.0.9", "port": 8080, "status": "DEGRADED",
        "since": "1970-01-01T00:00:01.000Z", "weight": null, "tags": [], "metadata": {}, "agent": "web-1",
        "owner": "me",
    });
    assert_eq!(value, expected);
    let Some(Wanted::Value(agent)) = keys.get(AGENT) else { panic!("{keys:?}") };
    let agent: serde_json::Value = serde_json::from_str(agent).expect("json");
    assert_eq!(agent["http"], "http://10.0.0.9:9720");
    assert_eq!(agent["services"], json!({"orders": "DEGRADED"}));
}

#[test]
fn an_ill_service_has_none_and_an_undecided_one_stays_as_it_is() {
    let down = keys(&snapshot(Aggregate::Down, false, true), Mode::Register);
    assert_eq!(down.get(INSTANCE), None);
    assert!(matches!(down.get(AGENT), Some(Wanted::Value(_))));
    let pending = keys(&snapshot(Aggregate::Pending, false, false), Mode::Register);
    assert_eq!(pending.get(INSTANCE), Some(&Wanted::AsItIs));
    assert_eq!(pending.get(AGENT), Some(&Wanted::AsItIs));
}

#[test]
fn withdrawing_takes_the_instances_and_leaves_the_agent() {
    let keys = keys(&snapshot(Aggregate::Up, true, true), Mode::Withdraw);
    assert_eq!(keys.keys().collect::<Vec<_>>(), [AGENT]);
}

#[test]
fn handing_over_changes_nothing() {
    let snapshot = snapshot(Aggregate::Up, true, true);
    assert_eq!(keys(&snapshot, Mode::HandOver), keys(&snapshot, Mode::Register));
}

#[test]
fn equal_snapshots_desire_equal_values() {
    let once = keys(&snapshot(Aggregate::Up, true, true), Mode::Register);
    assert_eq!(once, keys(&snapshot(Aggregate::Up, true, true), Mode::Register));
}
