//! What is shown of a verdict, and what verdicts add up to. Pure: DESIGN 5, "Shown", "Beginning", "Aggregates".

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::check::{CheckDef, Judges, OnFault, Severity};
use crate::model::checkset::CheckSet;
use crate::model::maintenance::Maintenances;
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
    /// It was in maintenance when it was last looked at.
    #[serde(default)]
    pub out_of_traffic: bool,
}

impl ServiceMemory {
    fn new(aggregate: Aggregate, since: Moment) -> Self {
        Self { aggregate, since, out_of_traffic: false }
    }
}

/// What a check is shown as at a moment.
pub fn view(definition: Arc<CheckDef>, verdict: Arc<Verdict>, now: Moment) -> CheckView {
    let (shown, reason) = shown(&definition, &verdict, now);
    // What it counts depends on the others: see [`weigh`].
    CheckView { definition, verdict, shown, reason, notice: None, counts: Aggregate::Up }
}

/// Sets what each check adds to the aggregates, once all are known. Through a service in maintenance it adds nothing.
pub fn weigh(set: &CheckSet, held: &Maintenances, checks: &mut BTreeMap<Name, CheckView>, now: Moment) {
    let judged_in = |service: &Name| {
        let mut own = checks.values().filter(|view| view.definition.judges.judges(service));
        own.any(|view| view.verdict.status.is_some())
    };
    let in_traffic = set.definitions.services.keys().filter(|service| held.of(service, now).is_none());
    let judged: BTreeMap<Name, bool> = in_traffic.map(|s| (s.clone(), judged_in(s))).collect();
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

/// What the checks of a service add up to.
struct Sum {
    aggregate: Aggregate,
    /// One of them has a status.
    judged: bool,
    /// One of them counts as something: it has a status, or its faults stand for one.
    known: bool,
}

fn add_up<'a>(views: impl Iterator<Item = &'a CheckView> + Clone) -> Sum {
    let judged = views.clone().any(|view| view.verdict.status.is_some());
    let known = views.clone().any(|view| matches!(counts(view, judged), Counts::As(_)));
    let worst = views.map(|view| contribution(counts(view, judged))).max();
    Sum { aggregate: worst.unwrap_or(Aggregate::Up), judged, known: known || judged }
}

/// Every service, judged by its checks; all are PENDING until the checks are loaded. What is in maintenance is decided
/// without them.
pub fn services(
    set: &CheckSet,
    held: &Maintenances,
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
        (name.clone(), out_of_traffic(view, held, memory, now))
    };
    let services = set.definitions.services.iter().map(view).collect();
    if set.loaded {
        memory.retain(|name, _| set.definitions.services.contains_key(name));
    }
    services
}

fn out_of_traffic(
    view: ServiceView,
    held: &Maintenances,
    memory: &mut BTreeMap<Name, ServiceMemory>,
    now: Moment,
) -> ServiceView {
    let remembered = memory.get_mut(&view.definition.name);
    match held.of(&view.definition.name, now) {
        Some(order) => {
            if let Some(remembered) = remembered {
                remembered.out_of_traffic = true;
            }
            let since = order.since;
            ServiceView { since, registrable: false, decided: true, maintenance: Some(order), ..view }
        }
        // What it is again it is since now.
        None => match remembered {
            Some(remembered) if remembered.out_of_traffic => {
                (remembered.out_of_traffic, remembered.since) = (false, now);
                ServiceView { since: now, ..view }
            }
            _ => view,
        },
    }
}

/// A service before the checks are loaded: what is remembered of it must not change by that.
fn unloaded(definition: Arc<ServiceDef>, memory: &BTreeMap<Name, ServiceMemory>, now: Moment) -> ServiceView {
    ServiceView {
        aggregate: Aggregate::Pending,
        since: memory.get(&definition.name).map_or(now, |remembered| remembered.since),
        registrable: false,
        decided: false,
        checks: Vec::new(),
        maintenance: None,
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
    let Sum { aggregate, judged, known } = add_up(own.clone());
    let known = known || definition.unchecked;
    let remembered = memory.entry(definition.name.clone()).or_insert(ServiceMemory::new(aggregate, now));
    // To be undecided for a while is no change.
    if known && aggregate != Aggregate::Pending && remembered.aggregate != aggregate {
        (remembered.aggregate, remembered.since) = (aggregate, now);
    }
    ServiceView {
        aggregate,
        since: remembered.since,
        registrable: aggregate.serves() && (judged || definition.unchecked),
        // Where nothing is known of the service there is no verdict that might move it.
        decided: aggregate != Aggregate::Pending && known,
        checks: own.map(|view| view.definition.name.clone()).collect(),
        maintenance: None,
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
