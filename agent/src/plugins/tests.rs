//! Swapping and binding over a fake compiler. The files, the watch and the real compiler are tested end to end.

use std::sync::Mutex;

use serde_json::json;

use crate::model::check::{BoxFuture, Check, CheckDef};
use crate::model::checkset::{Binding, Checker, Description, LoadError, Scheme};
use crate::model::grant::Protocol;
use crate::model::outcome::{Ending, FaultKind};
use crate::model::target::Target;
use crate::model::testing::{FakeCheck, definition, name};

use super::*;

struct FakeChecker {
    description: Description,
    bound: Mutex<Vec<Binding>>,
}

impl Checker for FakeChecker {
    fn description(&self) -> &Description {
        &self.description
    }

    fn bind(self: Arc<Self>, binding: Binding) -> Arc<dyn Check> {
        let check = FakeCheck::new(CheckDef::clone(&binding.definition));
        self.bound.lock().expect("not poisoned").push(binding);
        Arc::new(check)
    }
}

fn checker(schema: serde_json::Value, schemes: &[(&str, Option<u16>)]) -> Arc<FakeChecker> {
    let schemes = schemes.iter().map(|(name, port)| Scheme { name: (*name).into(), default_port: *port }).collect();
    let description = Description { params_schema: schema.to_string(), schemes, ..Description::default() };
    Arc::new(FakeChecker { description, bound: Mutex::default() })
}

fn version(digest: &str) -> Version {
    Version { source: "/p/tcp.wasm".into(), digest: digest.into(), bytes: Arc::from([]) }
}

fn slot(checker: Arc<FakeChecker>) -> Slot {
    let version = version("1");
    let mut slot = Slot::new(&version);
    slot.take(&version, Ok(checker), std::iter::empty()).expect("a good version");
    slot
}

fn bind(check: CheckDef, slot: Option<Slot>) -> Arc<dyn Check> {
    let definitions = Definitions { checks: [(check.name.clone(), Arc::new(check))].into(), ..Definitions::default() };
    let slots = slot.into_iter().map(|slot| (name("tcp"), slot)).collect();
    bind::bind_all(&definitions, &slots).into_values().next().expect("one check")
}

fn fault_of(check: Arc<dyn Check>) -> (FaultKind, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let run: BoxFuture<'static, _> = check.run(None);
    match runtime.block_on(run).ending {
        Ending::Faulted(fault) => (fault.kind, fault.message),
        other => panic!("{other:?}"),
    }
}

fn with_target(target: &str) -> CheckDef {
    CheckDef { target: Some(Target::parse(target).expect(target)), ..definition("a", &[]) }
}

#[test]
fn a_bad_version_keeps_the_good_one() {
    let mut slot = slot(checker(json!({}), &[]));
    let bad = LoadError::NotAComponent("garbage".into());
    slot.take(&version("2"), Err(bad), std::iter::empty()).expect_err("not used");
    assert!(slot.is_ready() && slot.has_tried(&version("2")));
    let info = slot.info(&name("tcp"), Vec::new());
    assert_eq!((info.state, info.digest.as_deref()), ("kept", Some("1")));
    assert!(info.error.expect("an error").contains("garbage"));
    slot.take(&version("3"), Ok(checker(json!({}), &[])), std::iter::empty()).expect("good again");
    assert_eq!(slot.info(&name("tcp"), Vec::new()).state, "ready");
}

#[test]
fn a_version_that_refuses_params_which_run_is_not_swapped_in() {
    let strict = || checker(json!({"required": ["must"]}), &[]);
    let check = definition("a", &[]);
    let mut slot = slot(checker(json!({}), &[]));
    let error = slot.take(&version("2"), Ok(strict()), std::iter::once(&check)).expect_err("not used");
    assert!(error.to_string().contains("check a"), "{error}");
    assert_eq!(slot.info(&name("tcp"), Vec::new()).digest.as_deref(), Some("1"));
    slot.take(&version("3"), Ok(strict()), std::iter::empty()).expect("nobody minds");
}

#[test]
fn a_hostile_schema_is_a_broken_plugin() {
    let version = version("1");
    let mut slot = Slot::new(&version);
    let hostile = checker(json!({"$ref": "https://example.org/"}), &[]);
    slot.take(&version, Ok(hostile), std::iter::empty()).expect_err("not used");
    assert_eq!(slot.info(&name("tcp"), Vec::new()).state, "broken");
}

#[test]
fn what_needs_a_plugin_is_the_checks_own_fault() {
    let (kind, text) = fault_of(bind(definition("a", &[]), None));
    assert_eq!(kind, FaultKind::NoChecker);
    assert!(text.contains("tcp.wasm"), "{text}");

    let strict = checker(json!({"properties": {"n": {"type": "integer"}}}), &[]);
    let mut check = definition("a", &[]);
    check.params.insert("n".into(), json!("secret-text"));
    let (kind, text) = fault_of(bind(check, Some(slot(strict))));
    assert_eq!(kind, FaultKind::InvalidParams);
    assert!(text.contains("params.n") && !text.contains("secret-text"), "{text}");

    let problem = CheckDef { problem: Some("no secret".into()), ..definition("a", &[]) };
    assert_eq!(
        fault_of(bind(problem, Some(slot(checker(json!({}), &[]))))),
        (FaultKind::InvalidParams, "no secret".into())
    );
}

#[test]
fn targets_are_held_against_the_schemes() {
    let redis = || Some(slot(checker(json!({}), &[("redis", Some(6379)), ("tcp", None)])));
    for (target, part) in [("http://h", "redis://"), ("tcp://h", "needs a port")] {
        let (kind, text) = fault_of(bind(with_target(target), redis()));
        assert_eq!(kind, FaultKind::InvalidParams, "{target}");
        assert!(text.contains(part), "{text}");
    }
    let (_, text) = fault_of(bind(definition("a", &[]), redis()));
    assert!(text.contains("target is missing"), "{text}");
    let (_, text) = fault_of(bind(with_target("tcp://h:1"), Some(slot(checker(json!({}), &[])))));
    assert!(text.contains("takes no target"), "{text}");
}

#[test]
fn a_target_grants_its_own_endpoints_and_nothing_else() {
    let redis = checker(json!({}), &[("redis", Some(6379))]);
    bind(with_target("redis://cache.internal,10.0.0.1:7000"), Some(slot(redis.clone())));
    let bound = redis.bound.lock().expect("not poisoned");
    let grants = &bound[0].grants;
    assert!(grants.allows_name(Protocol::Tcp, "cache.internal", 6379));
    assert!(!grants.allows_name(Protocol::Tcp, "cache.internal", 6380));
    assert!(grants.allows_address(Protocol::Tcp, "10.0.0.1".parse().expect("address"), 7000));
    assert!(!grants.allows_address(Protocol::Tcp, "10.0.0.1".parse().expect("address"), 6379));
    assert!(!grants.host_numbers());
}
