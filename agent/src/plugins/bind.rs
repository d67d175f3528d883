//! Binds every configured check to its checker. What a plugin is needed for to know (its schema, its default ports) is
//! looked at here; a check that does not fit has that as its own fault, and everything else runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::check::{BoxFuture, Check, CheckDef};
use crate::model::checkset::{Binding, Definitions, Description};
use crate::model::grant::{Grants, NetGrant};
use crate::model::name::Name;
use crate::model::outcome::{Ending, Fault, FaultKind, RunReport};
use crate::model::target::Endpoint;

use super::slot::{Ready, Slot};

pub fn bind_all(definitions: &Definitions, slots: &BTreeMap<Name, Slot>) -> BTreeMap<Name, Arc<dyn Check>> {
    let bind_one = |(name, definition): (&Name, &Arc<CheckDef>)| {
        let services = definitions.services.keys().filter(|service| definition.judges.judges(service));
        let check = bind(definition, services.cloned().collect(), slots.get(&definition.checker))
            .unwrap_or_else(|fault| Arc::new(Unbound { definition: definition.clone(), fault }));
        (name.clone(), check)
    };
    definitions.checks.iter().map(bind_one).collect()
}

fn bind(definition: &Arc<CheckDef>, services: Vec<Name>, slot: Option<&Slot>) -> Result<Arc<dyn Check>, Fault> {
    if let Some(problem) = &definition.problem {
        return Err(Fault::new(FaultKind::InvalidParams, problem.clone()));
    }
    let ready = ready(definition, slot)?;
    let invalid = |problem: String| Fault::new(FaultKind::InvalidParams, format!("{}: {problem}", definition.origin));
    let endpoints = ready.suits(definition).map_err(invalid)?;
    let mut grants: Grants = definition.allow.iter().cloned().collect();
    for endpoint in &endpoints {
        grants.add(NetGrant::endpoint(&endpoint.host, endpoint.port));
    }
    let binding = Binding { definition: definition.clone(), services, endpoints, grants };
    Ok(ready.checker.clone().bind(binding))
}

fn ready<'a>(definition: &CheckDef, slot: Option<&'a Slot>) -> Result<&'a Ready, Fault> {
    let checker = &definition.checker;
    let none = |text: String| Fault::new(FaultKind::NoChecker, text);
    let Some(slot) = slot else {
        let text = format!("there is no checker {checker:?}: put {checker}.wasm into a plugin directory");
        return Err(none(text));
    };
    slot.ready().ok_or_else(|| none(format!("the plugin {checker} is broken: {}", slot.error().unwrap_or_default())))
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

/// A check that cannot run, and says why whenever it would.
struct Unbound {
    definition: Arc<CheckDef>,
    fault: Fault,
}

impl Check for Unbound {
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
