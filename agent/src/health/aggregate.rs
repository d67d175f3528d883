//! What is shown of a verdict, and what verdicts add up to. Pure: DESIGN 5, "Shown", "Beginning", "Aggregates".

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::check::{CheckDef, Judges, OnFault, Severity};
use crate::model::checkset::CheckSet;
use crate::model::name::Name;
use crate::model::outcome::Status;
use crate::model::service::ServiceDef;
use crate::model::snapshot::{Aggregate, CheckView, ServiceView, Shown};
use crate::model::time::Moment;
use crate::model::verdict::Verdict;

/// What is remembered of a service, so that its age survives what does not change it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ServiceMemory {
    pub aggregate: Aggregate,
    pub since: Moment,
}

/// What a check is shown as at a moment.
pub fn view(definition: Arc<CheckDef>, verdict: Arc<Verdict>, now: Moment) -> CheckView {
    let (shown, reason) = shown(&definition, &verdict, now);
    // What it counts depends on the others: see [`weigh`].
    CheckView { definition, verdict, shown, reason, counts: Aggregate::Up }
}

/// Sets what each check adds to the aggregates, once all are known.
pub fn weigh(set: &CheckSet, checks: &mut BTreeMap<Name, CheckView>) {
    let judged_in = |service: &Name| {
        let mut own = checks.values().filter(|view| view.definition.judges.judges(service));
        own.any(|view| view.verdict.status.is_some())
    };
    let judged: BTreeMap<Name, bool> = set.definitions.services.keys().map(|s| (s.clone(), judged_in(s))).collect();
    for view in checks.values_mut() {
        let judges = &view.definition.judges;
        let of_services = judged.iter().filter(|(service, _)| judges.judges(service)).map(|(_, judged)| *judged);
        let of_host = (*judges == Judges::Host).then_some(true);
        let worst = of_services.chain(of_host).map(|joined| contribution(counts(view, joined))).max();
        view.counts = worst.unwrap_or(Aggregate::Up);
    }
}

fn contribution(counts: Counts) -> Aggregate {
    match counts {
        Counts::Nothing | Counts::As(Status::Up) => Aggregate::Up,
        Counts::As(Status::Degraded) => Aggregate::Degraded,
        Counts::Pending => Aggregate::Pending,
        Counts::As(Status::Down) => Aggregate::Down,
    }
}

fn shown(definition: &CheckDef, verdict: &Verdict, now: Moment) -> (Shown, Option<&'static str>) {
    let fault = verdict.fault.as_ref().map(|fault| fault.kind.label());
    let Some(status) = verdict.status else {
        return if fault.is_some() { (Shown::Unknown, fault) } else { (Shown::Pending, None) };
    };
    let policy = &definition.policy;
    if fault.is_some() && verdict.faults >= policy.fall {
        return (Shown::Unknown, fault);
    }
    let age = verdict.evidence.as_ref().map(|evidence| now.since(evidence.at));
    if age.is_none_or(|age| age > policy.stale_after) {
        // While faults come in, they are why there is no evidence.
        return (Shown::Unknown, fault.or(Some("stale")));
    }
    (status.into(), None)
}

/// What a check counts as in an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Nothing,
    Pending,
    As(Status),
}

fn counts(view: &CheckView, others_judged: bool) -> Counts {
    let (definition, verdict) = (&view.definition, &view.verdict);
    let down = view.shown == Shown::Unknown && definition.policy.on_fault == OnFault::Down;
    let status = if down { Some(Status::Down) } else { verdict.status };
    match (definition.severity, status) {
        (Severity::Info, _) => Counts::Nothing,
        (Severity::Warning, Some(Status::Down)) => Counts::As(Status::Degraded),
        (_, Some(status)) => Counts::As(status),
        // What joins a judged service counts for nothing until it is first decided.
        (_, None) if verdict.joining && others_judged => Counts::Nothing,
        (Severity::Critical, None) if view.shown == Shown::Pending => Counts::Pending,
        (_, None) => Counts::Nothing,
    }
}

/// The aggregate of a service's checks, and whether any of them has a status.
fn add_up<'a>(views: impl Iterator<Item = &'a CheckView> + Clone) -> (Aggregate, bool) {
    let judged = views.clone().any(|view| view.verdict.status.is_some());
    let worst = views.map(|view| contribution(counts(view, judged))).max();
    (worst.unwrap_or(Aggregate::Up), judged)
}

/// Every service, judged by its checks; all are PENDING until the checks are loaded.
pub fn services(
    set: &CheckSet,
    checks: &BTreeMap<Name, CheckView>,
    memory: &mut BTreeMap<Name, ServiceMemory>,
    now: Moment,
) -> BTreeMap<Name, ServiceView> {
    let view = |(name, definition): (&Name, &Arc<ServiceDef>)| {
        let view = if set.loaded {
            service(definition.clone(), checks, memory, now)
        } else {
            unloaded(definition.clone(), memory, now)
        };
        (name.clone(), view)
    };
    let services = set.definitions.services.iter().map(view).collect();
    if set.loaded {
        memory.retain(|name, _| set.definitions.services.contains_key(name));
    }
    services
}

/// A service before the checks are loaded: what is remembered of it must not change by that.
fn unloaded(definition: Arc<ServiceDef>, memory: &BTreeMap<Name, ServiceMemory>, now: Moment) -> ServiceView {
    ServiceView {
        aggregate: Aggregate::Pending,
        since: memory.get(&definition.name).map_or(now, |remembered| remembered.since),
        registrable: false,
        decided: false,
        checks: Vec::new(),
        definition,
    }
}

fn service(
    definition: Arc<ServiceDef>,
    checks: &BTreeMap<Name, CheckView>,
    memory: &mut BTreeMap<Name, ServiceMemory>,
    now: Moment,
) -> ServiceView {
    let own = checks.values().filter(|view| view.definition.judges.judges(&definition.name));
    let (aggregate, judged) = add_up(own.clone());
    let remembered = memory.entry(definition.name.clone()).or_insert(ServiceMemory { aggregate, since: now });
    // To be undecided for a while is no change.
    if (judged || definition.unchecked) && aggregate != Aggregate::Pending && remembered.aggregate != aggregate {
        *remembered = ServiceMemory { aggregate, since: now };
    }
    ServiceView {
        aggregate,
        since: remembered.since,
        registrable: aggregate.serves() && (judged || definition.unchecked),
        decided: aggregate != Aggregate::Pending,
        checks: own.map(|view| view.definition.name.clone()).collect(),
        definition,
    }
}

/// The services and the host's own checks together.
pub fn overall(loaded: bool, checks: &BTreeMap<Name, CheckView>) -> Aggregate {
    if !loaded {
        return Aggregate::Pending;
    }
    checks.values().map(|view| view.counts).max().unwrap_or(Aggregate::Up)
}

/// Does a check that appears join something that is judged already: one of its services, or the host?
pub fn joins_judged(definition: &CheckDef, before: &CheckSet, verdicts: &BTreeMap<Name, Arc<Verdict>>) -> bool {
    let shares = |other: &CheckDef| match &definition.judges {
        Judges::Host => other.judges == Judges::Host,
        Judges::All => other.judges != Judges::Host,
        Judges::These(services) => services.iter().any(|service| other.judges.judges(service)),
    };
    let judged = |name: &Name| verdicts.get(name).is_some_and(|verdict| verdict.status.is_some());
    before.checks.iter().any(|(name, other)| judged(name) && shares(other.definition()))
        // The first check of the host joins a host that had nothing to say, which was well.
        || (definition.judges == Judges::Host && before.loaded)
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
