//! DESIGN 5, "Shown", "Beginning" and "Aggregates", sentence by sentence.

use crate::model::check::Check;
use crate::model::checkset::Definitions;
use crate::model::maintenance::Maintenance;
use crate::model::outcome::FaultKind;
use crate::model::testing::{FakeCheck, at, definition, faulted, judged, name, observation, service};

use super::super::reduce::reduce;
use super::*;

const NOW: u64 = 100;

/// A verdict that these endings gave, one second apart, the last at `NOW`.
fn verdict(definition: &CheckDef, endings: &[crate::model::outcome::Ending]) -> Verdict {
    let mut verdict = Verdict::default();
    let first = NOW + 1 - u64::try_from(endings.len()).expect("short");
    for (ending, second) in endings.iter().zip(first..) {
        reduce(&mut verdict, &definition.policy, &observation(&definition.name, ending.clone(), at(second)));
    }
    verdict
}

fn has(status: Status) -> Vec<crate::model::outcome::Ending> {
    vec![judged(status)]
}

fn trapped(times: usize) -> Vec<crate::model::outcome::Ending> {
    vec![faulted(FaultKind::Trap); times]
}

/// The checks of a host, and what they add up to.
struct Scene {
    set: CheckSet,
    held: Maintenances,
    views: BTreeMap<Name, CheckView>,
    memory: BTreeMap<Name, ServiceMemory>,
}

impl Scene {
    fn new(services: &[&str], checks: Vec<(CheckDef, Verdict)>) -> Self {
        let services = services.iter().map(|s| (name(s), Arc::new(service(s)))).collect();
        let defined = checks.iter().map(|(d, _)| (d.name.clone(), Arc::new(d.clone()))).collect();
        let bound = checks
            .iter()
            .map(|(d, _)| (d.name.clone(), Arc::new(FakeCheck::new(d.clone())) as Arc<dyn Check>))
            .collect();
        let definitions = Arc::new(Definitions { services, checks: defined, ..Definitions::default() });
        let set = CheckSet { definitions, checks: bound, loaded: true, ..CheckSet::default() };
        let mut views = checks
            .into_iter()
            .map(|(d, verdict)| (d.name.clone(), view(Arc::new(d), Arc::new(verdict), at(NOW))))
            .collect();
        let held = Maintenances::default();
        weigh(&set, &held, &mut views, at(NOW));
        Self { set, held, views, memory: BTreeMap::new() }
    }

    /// Takes services out of traffic; none: the whole host.
    fn in_maintenance(mut self, services: &[&str]) -> Self {
        let order = Maintenance { reason: "disk swap".into(), since: at(NOW - 1), until: Some(at(NOW + 1).wall) };
        match services {
            [] => self.held.host.push(order),
            services => self.held.services.extend(services.iter().map(|s| (name(s), vec![order.clone()]))),
        }
        weigh(&self.set, &self.held, &mut self.views, at(NOW));
        self
    }

    fn service(&mut self, service: &str) -> ServiceView {
        services(&self.set, &self.held, &self.views, &mut self.memory, at(NOW)).remove(service).expect("a service")
    }

    fn overall(&self) -> Aggregate {
        overall(true, &self.views)
    }
}

fn check(name: &str, service: &[&str], endings: &[crate::model::outcome::Ending]) -> (CheckDef, Verdict) {
    let definition = definition(name, service);
    let verdict = verdict(&definition, endings);
    (definition, verdict)
}

fn with(severity: Severity, (mut definition, verdict): (CheckDef, Verdict)) -> (CheckDef, Verdict) {
    definition.severity = severity;
    (definition, verdict)
}

fn shown_as(definition: &CheckDef, verdict: &Verdict, second: u64) -> (Shown, Option<&'static str>) {
    shown(definition, verdict, at(second))
}

#[test]
fn unknown_after_fall_faults_in_a_row() {
    let (definition, _) = check("a", &[], &[]);
    let two = verdict(&definition, &[has(Status::Up), trapped(2)].concat());
    assert_eq!(shown_as(&definition, &two, NOW), (Shown::Up, None));
    let three = verdict(&definition, &[has(Status::Up), trapped(3)].concat());
    assert_eq!(shown_as(&definition, &three, NOW), (Shown::Unknown, Some("trap")));
}

#[test]
fn unknown_when_the_evidence_is_old() {
    let (definition, verdict) = check("a", &[], &has(Status::Down));
    assert_eq!(shown_as(&definition, &verdict, NOW + 31), (Shown::Down, None));
    assert_eq!(shown_as(&definition, &verdict, NOW + 32), (Shown::Unknown, Some("stale")));
}

#[test]
fn unknown_never_changes_what_counts() {
    for (status, aggregate) in [(Status::Up, Aggregate::Up), (Status::Down, Aggregate::Down)] {
        let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &[has(status), trapped(3)].concat())]);
        assert_eq!(scene.views[&name("a")].shown, Shown::Unknown);
        assert_eq!(scene.service("s").aggregate, aggregate);
        assert_eq!(scene.service("s").registrable, status == Status::Up);
        assert_eq!(scene.overall(), aggregate);
    }
}

#[test]
fn on_fault_down_counts_faults_as_down() {
    let (mut definition, _) = check("a", &["s"], &[]);
    definition.policy.on_fault = OnFault::Down;
    let verdict = verdict(&definition, &[has(Status::Up), trapped(3)].concat());
    let mut scene = Scene::new(&["s"], vec![(definition, verdict)]);
    assert_eq!(scene.service("s").aggregate, Aggregate::Down);
}

#[test]
fn pending_until_the_first_run_has_ended_in_any_way() {
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &[])]);
    assert_eq!(scene.views[&name("a")].shown, Shown::Pending);
    let view = scene.service("s");
    assert_eq!((view.aggregate, view.registrable, view.decided), (Aggregate::Pending, false, false));
    assert_eq!(scene.overall(), Aggregate::Pending);
}

#[test]
fn a_first_run_that_faults_is_unknown_and_counts_for_nothing() {
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &trapped(1)), check("b", &["s"], &has(Status::Up))]);
    assert_eq!((scene.views[&name("a")].shown, scene.views[&name("a")].reason), (Shown::Unknown, Some("trap")));
    let view = scene.service("s");
    assert_eq!((view.aggregate, view.registrable), (Aggregate::Up, true));
}

#[test]
fn a_service_without_any_status_is_not_registered() {
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &trapped(1))]);
    assert!(!scene.service("s").registrable);
}

#[test]
fn an_unchecked_service_is_registered() {
    let mut scene = Scene::new(&[], Vec::new());
    let unchecked = ServiceDef { unchecked: true, ..service("s") };
    let definitions = Definitions {
        services: [(name("s"), Arc::new(unchecked))].into(),
        checks: BTreeMap::new(),
        ..Definitions::default()
    };
    scene.set.definitions = Arc::new(definitions);
    assert!(scene.service("s").registrable);
}

#[test]
fn what_joins_a_judged_service_counts_for_nothing_until_it_is_decided() {
    let (definition, mut joining) = check("b", &["s"], &[]);
    joining.joining = true;
    let mut scene =
        Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Up)), (definition.clone(), joining.clone())]);
    assert_eq!(scene.service("s").aggregate, Aggregate::Up);
    assert_eq!(scene.overall(), Aggregate::Up);
    // Nobody has judged a service that only joining checks look at.
    let mut scene = Scene::new(&["s"], vec![(definition, joining)]);
    assert_eq!(scene.service("s").aggregate, Aggregate::Pending);
}

#[test]
fn what_joins_the_host_counts_for_nothing_until_it_is_decided() {
    let (definition, mut joining) = check("a", &[], &[]);
    joining.joining = true;
    assert_eq!(Scene::new(&[], vec![(definition, joining)]).overall(), Aggregate::Up);
}

#[test]
fn who_joins() {
    let judged = Scene::new(&["s", "t"], vec![check("a", &["s"], &has(Status::Up)), check("h", &[], &has(Status::Up))]);
    let verdicts: BTreeMap<_, _> = judged.views.iter().map(|(n, view)| (n.clone(), view.verdict.clone())).collect();
    let joins = |services: &[&str]| joins_judged(&definition("new", services), &judged.set, &verdicts);
    assert!(joins(&["s"]));
    assert!(!joins(&["t"]));
    assert!(joins(&["t", "s"]));
    assert!(joins(&[]));
    let at_start = CheckSet::default();
    assert!(!joins_judged(&definition("new", &[]), &at_start, &BTreeMap::new()));
}

#[test]
fn aggregates() {
    use Aggregate as A;
    use Severity::{Critical, Info, Warning};
    let up = || has(Status::Up);
    let cases = [
        ("all up", vec![(Critical, up()), (Warning, up())], A::Up),
        ("one down", vec![(Critical, up()), (Critical, has(Status::Down))], A::Down),
        ("a warning that is down", vec![(Critical, up()), (Warning, has(Status::Down))], A::Degraded),
        ("degraded", vec![(Critical, has(Status::Degraded)), (Critical, up())], A::Degraded),
        ("down beats pending", vec![(Critical, has(Status::Down)), (Critical, vec![])], A::Down),
        ("pending beats degraded", vec![(Critical, has(Status::Degraded)), (Critical, vec![])], A::Pending),
        ("a warning pends", vec![(Critical, up()), (Warning, vec![])], A::Up),
        ("info never counts", vec![(Critical, up()), (Info, has(Status::Down)), (Info, vec![])], A::Up),
    ];
    for (what, checks, aggregate) in cases {
        let checks = checks.into_iter().enumerate();
        let checks = checks.map(|(n, (severity, e))| with(severity, check(&format!("c{n}"), &["s"], &e))).collect();
        let mut scene = Scene::new(&["s"], checks);
        assert_eq!(scene.service("s").aggregate, aggregate, "{what}");
        assert_eq!(scene.overall(), aggregate, "{what}, overall");
    }
}

#[test]
fn services_are_judged_by_their_own_checks_and_the_whole_by_all() {
    let checks = vec![
        check("a", &["s"], &has(Status::Up)),
        check("b", &["t"], &has(Status::Down)),
        check("h", &[], &has(Status::Degraded)),
    ];
    let mut scene = Scene::new(&["s", "t"], checks);
    assert_eq!(scene.service("s").aggregate, Aggregate::Up);
    assert_eq!(scene.service("t").aggregate, Aggregate::Down);
    assert_eq!(scene.overall(), Aggregate::Down);
}

#[test]
fn status_agrees_with_the_code() {
    use Aggregate::*;
    for (aggregate, serves, word) in
        [(Up, true, "UP"), (Degraded, true, "UP"), (Pending, false, "DOWN"), (Down, false, "DOWN")]
    {
        assert_eq!((aggregate.serves(), aggregate.word()), (serves, word));
    }
}

#[test]
fn nothing_is_decided_before_the_plugins_are_loaded() {
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Up))]);
    scene.set.loaded = false;
    let view = scene.service("s");
    assert_eq!((view.aggregate, view.registrable, view.decided), (Aggregate::Pending, false, false));
    assert_eq!(overall(false, &scene.views), Aggregate::Pending);
    assert!(scene.memory.is_empty(), "and nothing is remembered of it");
}

#[test]
fn to_pend_for_a_while_does_not_change_since_when_a_service_is_what_it_is() {
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Up))]);
    scene.memory.insert(name("s"), ServiceMemory::new(Aggregate::Up, at(7)));
    assert_eq!(scene.service("s").since, at(7));
    scene.views = Scene::new(&["s"], vec![check("a", &["s"], &[])]).views;
    assert_eq!(scene.service("s").aggregate, Aggregate::Pending);
    scene.views = Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Up))]).views;
    assert_eq!(scene.service("s").since, at(7));
    scene.views = Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Down))]).views;
    assert_eq!(scene.service("s").since, at(NOW));
}

#[test]
fn maintenance_takes_a_service_out_and_its_checks_count_for_nothing() {
    let own = || check("a", &["s"], &has(Status::Down));
    let shared = || check("b", &["s", "t"], &has(Status::Down));
    let host = || check("h", &[], &has(Status::Down));
    use Aggregate::*;
    // What there is besides the service `s`, which is DOWN; what is in maintenance; and what all add up to.
    let cases: [(&str, Vec<_>, &[&str], Aggregate); 8] = [
        ("nothing in maintenance", vec![own()], &["t"], Down),
        ("its own check", vec![own()], &["s"], Up),
        ("a check that another service has too", vec![shared()], &["s"], Down),
        ("both services of a check", vec![shared()], &["s", "t"], Up),
        ("a check of the host", vec![own(), host()], &["s"], Down),
        ("the whole host", vec![own(), shared()], &[], Up),
        ("the whole host, and a check of the host", vec![own(), host()], &[], Down),
        ("a check that pends", vec![check("p", &["s"], &[])], &["s"], Up),
    ];
    for (what, checks, out, expected) in cases {
        let scene = Scene::new(&["s", "t"], checks).in_maintenance(out);
        assert_eq!(scene.overall(), expected, "{what}");
    }
}

#[test]
fn a_service_in_maintenance_is_not_to_be_registered_whatever_its_checks_say() {
    for endings in [has(Status::Up), has(Status::Down), Vec::new()] {
        let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &endings)]).in_maintenance(&["s"]);
        for loaded in [true, false] {
            scene.set.loaded = loaded;
            let view = scene.service("s");
            assert_eq!((view.status(), view.registrable, view.decided), ("MAINTENANCE", false, true), "{endings:?}");
            assert_eq!(view.since, at(NOW - 1));
        }
    }
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Up))]).in_maintenance(&["s"]);
    scene.memory.insert(name("s"), ServiceMemory::new(Aggregate::Up, at(7)));
    assert_eq!(scene.service("s").aggregate, Aggregate::Up, "its checks run on");
    scene.held = Maintenances::default();
    let view = scene.service("s");
    assert_eq!((view.status(), view.registrable, view.since), ("UP", true, at(NOW)), "and it is back at once");
}

#[test]
fn maintenance_that_is_over_holds_nothing() {
    let mut scene = Scene::new(&["s"], vec![check("a", &["s"], &has(Status::Down))]).in_maintenance(&["s"]);
    let later = at(NOW + 1);
    weigh(&scene.set, &scene.held, &mut scene.views, later);
    assert_eq!(scene.overall(), Aggregate::Down);
    let views = services(&scene.set, &scene.held, &scene.views, &mut scene.memory, later);
    assert_eq!(views[&name("s")].maintenance, None);
}

#[test]
fn what_never_said_anything_moves_no_service() {
    let silent = |on_fault, severity| {
        let (mut definition, _) = check("a", &["s"], &[]);
        (definition.policy.on_fault, definition.severity) = (on_fault, severity);
        let verdict = verdict(&definition, &trapped(5));
        Scene::new(&["s"], vec![(definition, verdict)]).service("s")
    };
    let faulted = silent(OnFault::Keep, Severity::Critical);
    assert_eq!((faulted.aggregate, faulted.registrable, faulted.decided), (Aggregate::Up, false, false));
    let counts = silent(OnFault::Down, Severity::Critical);
    assert_eq!((counts.aggregate, counts.registrable, counts.decided), (Aggregate::Down, false, true));
    let warning = Scene::new(
        &["s"],
        vec![{
            let (mut definition, verdict) = check("a", &["s"], &[]);
            definition.severity = Severity::Warning;
            (definition, verdict)
        }],
    )
    .service("s");
    assert_eq!((warning.registrable, warning.decided), (false, false), "a warning that pends");
}
