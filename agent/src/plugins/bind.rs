//! Binds every configured check to its checker. What a plugin is needed for to know (its schema, its default ports) is
//! looked at here; a check that does not fit has that as its own fault, and everything else runs. What is bound as before
//! is the check of before, with what it remembers (of which refusals the log tells, say).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::check::{BoxFuture, Check, CheckDef};
use crate::model::checkset::{Binding, Checker, Definitions, Description};
use crate::model::grant::{Grants, NetGrant};
use crate::model::name::Name;
use crate::model::outcome::{Ending, Fault, FaultKind, RunReport, Skipped};
use crate::model::target::Endpoint;

use super::inventory::Refused;
use super::slot::{Ready, Slot};

/// The checks that were bound last, and what to.
#[derive(Default)]
pub struct BoundChecks {
    /// While all are bound anew.
    before: BTreeMap<Name, Bound>,
    now: BTreeMap<Name, Bound>,
}

struct Bound {
    checker: Arc<dyn Checker>,
    binding: Binding,
    check: Arc<dyn Check>,
}

impl BoundChecks {
    /// The check of before if nothing of it is another, or a new one.
    fn bind(&mut self, checker: &Arc<dyn Checker>, binding: Binding) -> Arc<dyn Check> {
        let name = binding.definition.name.clone();
        let same = |before: &Bound| Arc::ptr_eq(&before.checker, checker) && before.binding == binding;
        let bound = self.before.remove(&name).filter(same).unwrap_or_else(|| {
            let check = checker.clone().bind(binding.clone());
            Bound { checker: checker.clone(), binding, check }
        });
        let check = bound.check.clone();
        self.now.insert(name, bound);
        check
    }
}

/// All checks, each with its checker or with what is wrong. Takes note of what it binds in `bound`.
pub fn bind_all(
    bound: &mut BoundChecks,
    definitions: &Definitions,
    slots: &BTreeMap<Name, Slot>,
    refused: &[Refused],
    blind: bool,
) -> BTreeMap<Name, Arc<dyn Check>> {
    // What is not bound again is let go, and its checker with it.
    bound.before = std::mem::take(&mut bound.now);
    let bind_one = |(name, definition): (&Name, &Arc<CheckDef>)| {
        let services = definitions.services.keys().filter(|service| definition.judges.judges(service));
        let found = ready(&definition.checker, slots.get(&definition.checker), refused);
        // A plugin that cannot be looked for is waited for.
        let found =
            found.map_err(
                |unbound| if blind && !slots.contains_key(&definition.checker) { Unbound::Waits } else { unbound },
            );
        let check = bind(bound, definition, services.cloned().collect(), found);
        let check = check.unwrap_or_else(|unbound| match unbound {
            Unbound::Waits => Arc::new(Waiting(definition.clone())),
            Unbound::Faulty(fault) => Arc::new(Faulty { definition: definition.clone(), fault }),
        });
        (name.clone(), check)
    };
    let checks = definitions.checks.iter().map(bind_one).collect();
    bound.before.clear();
    checks
}

/// Why a check cannot run with its checker.
enum Unbound {
    /// The checker is being made.
    Waits,
    Faulty(Fault),
}

fn bind(
    bound: &mut BoundChecks,
    definition: &Arc<CheckDef>,
    services: Vec<Name>,
    found: Result<&Ready, Unbound>,
) -> Result<Arc<dyn Check>, Unbound> {
    let invalid = |problem: String| Unbound::Faulty(Fault::new(FaultKind::InvalidParams, problem));
    if let Some(problem) = &definition.problem {
        return Err(invalid(problem.clone()));
    }
    let ready = found?;
    let invalid = |problem: String| invalid(format!("{}: {problem}", definition.origin));
    Ok(bound.bind(&ready.checker, binding(definition, services, ready).map_err(invalid)?))
}

/// What the checker is given for a check; why it does not take the check's parameters or target.
pub fn binding(definition: &Arc<CheckDef>, services: Vec<Name>, ready: &Ready) -> Result<Binding, String> {
    let endpoints = ready.suits(definition)?;
    let mut grants: Grants = definition.allow.iter().cloned().collect();
    for endpoint in &endpoints {
        grants.add(NetGrant::endpoint(&endpoint.host, endpoint.port));
    }
    Ok(Binding { definition: definition.clone(), services, endpoints, grants })
}

fn ready<'a>(checker: &Name, slot: Option<&'a Slot>, refused: &[Refused]) -> Result<&'a Ready, Unbound> {
    let none = |text: String| Unbound::Faulty(Fault::new(FaultKind::NoChecker, text));
    let refused = refused.iter().find(|refused| refused.name.as_ref() == Some(checker));
    let Some(slot) = slot else {
        return Err(none(match refused {
            Some(refused) => format!("the plugin {checker} is not loaded: {}", refused.reason),
            None => format!("there is no checker {checker:?}: put {checker}.wasm into a plugin directory"),
        }));
    };
    match (slot.running(), slot.held(), slot.failure()) {
        (Some(ready), ..) => Ok(ready),
        (None, Some(held), _) => {
            let why = held.why.text();
            Err(none(format!("the plugin {checker} waits for approval: {why}; run `vitald plugin approve {checker}`")))
        }
        (None, None, Some(failure)) => Err(none(format!("the plugin {checker} is broken: {}", failure.text))),
        (None, None, None) => Err(Unbound::Waits),
    }
}

/// Holds the target against the checker's schemes, and fills in the default port.
pub fn endpoints(definition: &CheckDef, description: &Description) -> Result<Vec<Endpoint>, String> {
    let known = || description.schemes.iter().map(|s| format!("{}://", s.name)).collect::<Vec<_>>().join(", ");
    let checker = &definition.checker;
    let Some(target) = &definition.target else {
        return if description.schemes.is_empty() {
            Ok(Vec::new())
        } else {
            Err(format!("target is missing; {checker} takes {}", known()))
        };
    };
    if description.schemes.is_empty() {
        return Err(format!("{checker} takes no target: remove it"));
    }
    let scheme = description.schemes.iter().find(|scheme| scheme.name == target.scheme());
    let Some(scheme) = scheme else {
        return Err(format!("target: {checker} does not take {}://, it takes {}", target.scheme(), known()));
    };
    let no_port = |host| format!("target: {host} needs a port: {}:// has no usual one", scheme.name);
    target.endpoints(scheme.default_port).map_err(no_port)
}

/// A check whose checker is being made for the first time. Nobody runs it.
struct Waiting(Arc<CheckDef>);

impl Check for Waiting {
    fn definition(&self) -> &Arc<CheckDef> {
        &self.0
    }

    fn is_ready(&self) -> bool {
        false
    }

    fn version(&self) -> &'static str {
        "waits for its plugin"
    }

    fn run(self: Arc<Self>, _: Option<Vec<u8>>) -> BoxFuture<'static, RunReport> {
        Box::pin(async { RunReport::without_sandbox(Ending::NotRun(Skipped::Cancelled)) })
    }
}

/// A check that cannot run, and says why whenever it would.
struct Faulty {
    definition: Arc<CheckDef>,
    fault: Fault,
}

impl Check for Faulty {
    fn definition(&self) -> &Arc<CheckDef> {
        &self.definition
    }

    fn version(&self) -> &str {
        &self.fault.message
    }

    fn run(self: Arc<Self>, _: Option<Vec<u8>>) -> BoxFuture<'static, RunReport> {
        Box::pin(async move { RunReport::without_sandbox(Ending::Faulted(self.fault.clone())) })
    }
}
