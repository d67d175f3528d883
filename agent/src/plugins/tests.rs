//! Swapping and binding over a fake checker. The loop has its own tests; the real compiler is tested end to end.

use std::sync::Mutex;

use serde_json::json;

use crate::model::check::{BoxFuture, Check, CheckDef, Severity};
use crate::model::checkset::{Binding, Checker, Description, LoadError, PluginRules, Powers, Scheme};
use crate::model::grant::Protocol;
use crate::model::outcome::{Ending, FaultKind};
use crate::model::target::Target;
use crate::model::testing::{FakeCheck, definition, name};

use super::slot::{Context, Judgement, Ready, Why};
use super::*;

struct FakeChecker {
    description: Description,
    powers: Powers,
    bound: Mutex<Vec<Binding>>,
}

impl Checker for FakeChecker {
    fn description(&self) -> &Description {
        &self.description
    }

    fn powers(&self) -> &Powers {
        &self.powers
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
    Arc::new(FakeChecker { description, powers: Powers::new(), bound: Mutex::default() })
}

fn ready(digest: &str, checker: Arc<FakeChecker>) -> Ready {
    Ready::new("/p/tcp.wasm".into(), digest.into(), checker).expect("a good schema")
}

fn slot(checker: Arc<FakeChecker>) -> Slot {
    let mut slot = Slot::default();
    slot.swap_in(ready("1", checker));
    slot
}

fn judged(slot: &Slot, new: &Ready, checks: Vec<&CheckDef>) -> Judgement {
    let (own, rules) = (name("tcp"), PluginRules::default());
    let context =
        Context { name: &own, rules: &rules, accepted: None, taken: None, lost: false, checks, approved: false };
    slot.judge(new, &context)
}

fn bind(check: CheckDef, slot: Option<Slot>) -> Arc<dyn Check> {
    let definitions = Definitions { checks: [(check.name.clone(), Arc::new(check))].into(), ..Definitions::default() };
    let slots = slot.into_iter().map(|slot| (name("tcp"), slot)).collect();
    let mut bound = BoundChecks::default();
    bind::bind_all(&mut bound, &definitions, &slots, &[], false).into_values().next().expect("one check")
}

/// A site of one check that is bound time and again.
fn rebind(bound: &mut BoundChecks, check: &Arc<CheckDef>, slot: Option<&Arc<FakeChecker>>) -> Arc<dyn Check> {
    let definitions = Definitions { checks: [(check.name.clone(), check.clone())].into(), ..Definitions::default() };
    let slots = slot.into_iter().map(|checker| (name("tcp"), self::slot(checker.clone()))).collect();
    bind::bind_all(bound, &definitions, &slots, &[], false).into_values().next().expect("one check")
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
fn what_is_bound_as_before_is_the_check_of_before() {
    let (mut bound, checker) = (BoundChecks::default(), checker(json!({}), &[]));
    let check = Arc::new(definition("a", &[]));
    let first = rebind(&mut bound, &check, Some(&checker));
    assert!(Arc::ptr_eq(&first, &rebind(&mut bound, &check, Some(&checker))));
    let written_anew = Arc::new(CheckDef::clone(&check));
    assert!(Arc::ptr_eq(&first, &rebind(&mut bound, &written_anew, Some(&checker))), "it says the same");
    let moved = Arc::new(CheckDef { severity: Severity::Info, ..CheckDef::clone(&check) });
    assert!(!Arc::ptr_eq(&first, &rebind(&mut bound, &moved, Some(&checker))), "it says something else");
    let other = self::checker(json!({}), &[]);
    assert!(!Arc::ptr_eq(&first, &rebind(&mut bound, &check, Some(&other))), "it runs with something else");
    drop(rebind(&mut bound, &check, None));
    assert_eq!((Arc::strong_count(&checker), Arc::strong_count(&other)), (1, 1), "a checker that is gone is let go");
}

#[test]
fn a_bad_version_keeps_the_good_one() {
    let mut slot = slot(checker(json!({}), &[]));
    slot.fail("2".into(), &LoadError::NotAComponent("garbage".into()).into());
    assert!(slot.runs("1") && slot.known().contains("2"));
    assert!(slot.error().expect("an error").contains("garbage"));
    slot.swap_in(ready("3", checker(json!({}), &[])));
    assert!(slot.runs("3") && slot.error().is_none());
}

#[test]
fn a_version_that_refuses_params_which_run_is_not_swapped_in() {
    let strict = || checker(json!({"required": ["must"]}), &[]);
    let check = definition("a", &[]);
    let slot = slot(checker(json!({}), &[]));
    let judgement = judged(&slot, &ready("2", strict()), vec![&check]);
    assert!(matches!(&judgement, Judgement::Hold(Why::Unsuitable(why)) if why.contains("check a")), "{judgement:?}");
    assert_eq!(judged(&slot, &ready("3", strict()), Vec::new()), Judgement::LetIn, "nobody minds");
}

#[test]
fn a_hostile_schema_is_a_broken_plugin() {
    let hostile = checker(json!({"$ref": "https://example.org/"}), &[]);
    assert!(Ready::new("/p/tcp.wasm".into(), "1".into(), hostile).is_err());
}

#[test]
fn a_check_waits_for_its_plugin_and_is_never_run() {
    let check = bind(definition("a", &[]), Some(Slot::default()));
    assert!(!check.is_ready());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert!(matches!(runtime.block_on(check.run(None)).ending, Ending::NotRun(_)));
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
