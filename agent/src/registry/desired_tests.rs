use std::time::Duration;

use crate::model::maintenance::Maintenance;
use crate::model::testing::{at, name, service};
use crate::registry::testing::{config, snapshot, view};

use super::*;

fn marking(remove_after: Option<u64>) -> Config {
    let remove_after = remove_after.map(Duration::from_secs);
    Config { on_down: OnDown::Mark { remove_after }, dialects: vec![Dialect::Native, grpc()], ..config() }
}

fn grpc() -> Dialect {
    Dialect::Grpc { prefix: "grpc".into() }
}

fn keys_of(config: &Config, view: ServiceView, mode: Mode, fate: Option<Fate>) -> Desired {
    let who = Who { config, owner: "me", address: [10, 0, 0, 9].into() };
    desired(&snapshot(view), &who, mode, &fate.map(|fate| (name("orders"), fate)).into_iter().collect())
}

fn keys(view: ServiceView, mode: Mode) -> Desired {
    keys_of(&config(), view, mode, None)
}

fn wanted<'a>(keys: &'a Desired, key: &str) -> &'a Wanted {
    &keys.get(key).unwrap_or_else(|| panic!("{key} is not in {keys:?}")).wanted
}

fn value(keys: &Desired, key: &str) -> serde_json::Value {
    let Wanted::Value(value) = wanted(keys, key) else { panic!("{keys:?}") };
    serde_json::from_str(value).expect("json")
}

const INSTANCE: &str = "/services/orders/orders-host";
const GRPC: &str = "grpc/orders/10.0.0.9:8080";
const AGENT_KEY: &str = "/vitald/agents/web-1";

#[test]
fn a_well_service_has_its_key_and_the_agent_says_so() {
    let keys = keys(view(Aggregate::Degraded), Mode::Register);
    let instance = value(&keys, INSTANCE);
    assert_eq!((&instance["status"], &instance["address"]), (&"DEGRADED".into(), &"10.0.0.9".into()));
    let agent = value(&keys, AGENT_KEY);
    assert_eq!(agent["http"], "http://10.0.0.9:9720");
    assert_eq!(agent["services"], json!({"orders": "DEGRADED"}));
}

#[test]
fn an_ill_service_goes_and_an_undecided_one_stays_as_it_is() {
    let down = keys(view(Aggregate::Down), Mode::Register);
    assert_eq!(wanted(&down, INSTANCE), &Wanted::Gone(Why::Verdict));
    assert!(matches!(wanted(&down, AGENT_KEY), Wanted::Value(_)));
    let pending = keys(view(Aggregate::Pending), Mode::Register);
    assert_eq!(wanted(&pending, INSTANCE), &Wanted::AsItIs);
    assert_eq!(wanted(&pending, AGENT_KEY), &Wanted::AsItIs);
}

#[test]
fn marking_keeps_the_native_key_alone_and_not_for_ever() {
    let down = keys_of(&marking(None), view(Aggregate::Down), Mode::Register, None);
    assert_eq!(value(&down, INSTANCE)["status"], "DOWN");
    assert_eq!(wanted(&down, GRPC), &Wanted::Gone(Why::Verdict));
    // It has been DOWN for 99 s.
    let still = keys_of(&marking(Some(100)), view(Aggregate::Down), Mode::Register, None);
    assert!(matches!(wanted(&still, INSTANCE), Wanted::Value(_)));
    let over = keys_of(&marking(Some(99)), view(Aggregate::Down), Mode::Register, None);
    assert_eq!(wanted(&over, INSTANCE), &Wanted::Gone(Why::Verdict));
}

#[test]
fn what_too_few_others_would_replace_is_held_in_every_dialect() {
    let config = Config { dialects: vec![Dialect::Native, grpc()], keep_at_least: 2, ..config() };
    let held = keys_of(&config, view(Aggregate::Down), Mode::Register, Some(Fate::Held));
    assert_eq!((&value(&held, INSTANCE)["status"], &value(&held, INSTANCE)["held"]), (&"DOWN".into(), &true.into()));
    assert!(matches!(wanted(&held, GRPC), Wanted::Value(_)));
    let waiting = keys_of(&config, view(Aggregate::Down), Mode::Register, Some(Fate::Wait));
    assert_eq!((wanted(&waiting, INSTANCE), wanted(&waiting, GRPC)), (&Wanted::AsItIs, &Wanted::AsItIs));
}

#[test]
fn maintenance_removes_or_marks_whatever_the_checks_say() {
    let maintenance = Some(Maintenance { reason: String::new(), since: at(1), until: None });
    let well = ServiceView { maintenance: maintenance.clone(), registrable: false, ..view(Aggregate::Up) };
    assert_eq!(wanted(&keys(well.clone(), Mode::Register), INSTANCE), &Wanted::Gone(Why::Will));
    let marked = keys_of(&marking(Some(1)), well, Mode::Register, None);
    assert_eq!(value(&marked, INSTANCE)["status"], "MAINTENANCE");
    assert_eq!(wanted(&marked, GRPC), &Wanted::Gone(Why::Will));
    assert!(!is_ill(&ServiceView { maintenance, ..view(Aggregate::Down) }), "no verdict takes it out");
}

#[test]
fn withdrawing_takes_the_instances_and_leaves_the_agent() {
    let keys = keys(view(Aggregate::Up), Mode::Withdraw);
    assert_eq!(wanted(&keys, INSTANCE), &Wanted::Gone(Why::Will));
    assert_eq!(wanted(&keys, AGENT_KEY), &Wanted::AsItIs);
}

#[test]
fn handing_over_changes_nothing() {
    assert_eq!(keys(view(Aggregate::Up), Mode::HandOver), keys(view(Aggregate::Up), Mode::Register));
}

#[test]
fn equal_snapshots_desire_equal_values() {
    assert_eq!(keys(view(Aggregate::Up), Mode::Register), keys(view(Aggregate::Up), Mode::Register));
}

#[test]
fn the_same_key_twice_is_a_clash() {
    let clashing = |config: &Config, services: &[ServiceDef]| clashes(config, services.iter()).len();
    let (a, b) = (service("a"), service("b"));
    let both = [a.clone(), b.clone()];
    assert_eq!(clashing(&config(), &both), 0);
    let plain = Config { dialects: vec![Dialect::Native, Dialect::Plain], ..config() };
    assert_eq!(clashing(&plain, &both), 2, "native and plain have the same keys");
    let own = Config { prefix: "/vitald".into(), ..config() };
    let agents = ServiceDef { id: name("web-1"), ..service("agents") };
    assert_eq!(clashing(&own, &[agents]), 1, "the agent's own key");
    assert!(nested_prefixes(&own).is_some() && nested_prefixes(&config()).is_none());
    let within = Config { dialects: vec![Dialect::Native, Dialect::Grpc { prefix: "/services".into() }], ..config() };
    assert!(nested_prefixes(&within).is_some(), "the same prefix");
    let skydns = Dialect::Skydns { prefix: "/skydns".into(), domain: "local".into() };
    let skydns = Config { dialects: vec![skydns], ..config() };
    let dotted = [ServiceDef { id: name("x.a"), ..b }, ServiceDef { name: name("a.b"), id: name("x"), ..a }];
    assert_eq!(clashing(&skydns, &dotted), 1);
    let clash = clashes(&skydns, dotted.iter()).remove(0);
    assert_eq!(clash.service, Some(name("a.b")));
    assert!(clash.to_string().contains("/skydns/local/b/a/x"), "{clash}");
}
