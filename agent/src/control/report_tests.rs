use std::sync::Arc;
use std::time::Duration;

use crate::model::check::CheckDef;
use crate::model::maintenance::Maintenance;
use crate::model::outcome::Status;
use crate::model::registration::LeaseView;
use crate::model::snapshot::{Aggregate, Shown};
use crate::model::testing::{at, definition, name, service};
use crate::model::verdict::{Evidence, Verdict};

use super::*;

fn snapshot() -> HealthSnapshot {
    let evidence = Evidence {
        status: Status::Down,
        message: "refused".into(),
        at: at(98),
        duration: Duration::from_millis(3),
        parts: Vec::new(),
    };
    let verdict =
        Verdict { status: Some(Status::Up), since: at(40), worse: 2, evidence: Some(evidence), ..Verdict::default() };
    let view = |definition: CheckDef, verdict: Verdict, shown| CheckView {
        notice: None,
        definition: Arc::new(definition),
        verdict: Arc::new(verdict),
        shown,
        reason: None,
        counts: Aggregate::Up,
    };
    let order = Maintenance { reason: "disk swap".into(), since: at(90), until: Some(at(200).wall) };
    let shop = ServiceView {
        definition: Arc::new(service("shop")),
        aggregate: Aggregate::Up,
        since: at(90),
        registrable: false,
        decided: true,
        checks: vec![name("app")],
        maintenance: Some(order),
    };
    HealthSnapshot {
        at: at(99),
        overall: Aggregate::Up,
        checks: [
            (name("app"), view(definition("app", &["shop"]), verdict, Shown::Up)),
            (name("new"), view(definition("new", &[]), Verdict::default(), Shown::Pending)),
        ]
        .into(),
        services: [(name("shop"), shop)].into(),
        loaded: true,
    }
}

fn view() -> RegistryView {
    let key = KeyView { dialect: "native", key: "/services/shop/a".into(), state: KeyState::Absent, since: at(91) };
    RegistryView {
        up: true,
        since: at(70),
        endpoint: Some("http://127.0.0.1:2379".into()),
        lease: Some(LeaseView { id: 0x1234, granted: Duration::from_secs(15), since: at(60), renewed: at(97) }),
        last_error: Some((at(69), "connection refused".into())),
        looked: at(99),
        services: [(name("shop"), vec![key])].into(),
    }
}

fn report() -> StatusReport {
    let reload = Reload {
        read: at(80),
        taken_over: at(50),
        mistake: Some("x.toml:3: no".into()),
        mistakes: 2,
        origin: "file",
        at_next_start: Vec::new(),
    };
    let next = NextRun { due_in: Duration::from_secs(4), running: false };
    let known = Known {
        agent: &name("web-1"),
        reload: &reload,
        registry: Some(&view()),
        snapshot: &snapshot(),
        next_runs: &[(name("app"), next)].into(),
        now: at(100),
    };
    known.report()
}

#[test]
fn a_service_says_where_it_is_registered_and_why_not() {
    let report = report();
    let shop = &report.services[0];
    assert_eq!((&*shop.status, &*shop.worst, shop.for_ms, shop.registrable), ("MAINTENANCE", "UP", 10_000, false));
    assert_eq!((&*shop.keys[0].dialect, &*shop.keys[0].state, shop.keys[0].for_ms), ("native", "absent", 9_000));
    let order = shop.maintenance.as_ref().expect("an order");
    assert_eq!((&*order.reason, order.until.as_deref()), ("disk swap", Some("1970-01-01T00:03:20.000Z")));
    let etcd = report.registry.expect("a registry");
    let lease = etcd.lease.expect("a lease");
    assert_eq!((&*lease.id, lease.granted_ttl_ms), ("0000000000001234", 15_000));
    assert_eq!((lease.age_ms, lease.renewed_ms_ago, etcd.for_ms), (40_000, 3_000, 30_000));
    let error = etcd.last_error.expect("an error");
    assert_eq!((&*error.message, error.age_ms), ("connection refused", 31_000));
}

/// What is said of the key of `shop`, which is well, after this was done to what the registry knows.
fn key_of_shop(change: impl FnOnce(&mut RegistryView)) -> (String, u64) {
    let (mut snapshot, mut view) = (snapshot(), view());
    let shop = snapshot.services.get_mut("shop").expect("it is there");
    (shop.registrable, shop.maintenance, shop.since) = (true, None, at(95));
    change(&mut view);
    let known = Known {
        agent: &name("web-1"),
        reload: &Reload::default(),
        registry: Some(&view),
        snapshot: &snapshot,
        next_runs: &BTreeMap::new(),
        now: at(100),
    };
    let key = known.report().services.remove(0).keys.remove(0);
    (key.state, key.for_ms)
}

#[test]
fn what_should_be_there_and_is_not_is_pending() {
    let state = |view: &mut RegistryView, state| {
        if let Some(key) = view.services.get_mut("shop").and_then(|keys| keys.first_mut()) {
            key.state = state;
        }
    };
    assert_eq!(key_of_shop(|_| ()), ("pending".into(), 5_000), "since it is well, not since it was ill");
    assert_eq!(key_of_shop(|view| state(view, KeyState::Registered)), ("registered".into(), 9_000));
    let away = |renewed| {
        key_of_shop(move |view| {
            state(view, KeyState::Registered);
            view.up = false;
            if let Some(lease) = &mut view.lease {
                lease.renewed = at(renewed);
            }
        })
    };
    assert_eq!(away(86), ("registered".into(), 9_000), "the lease lives for another second");
    assert_eq!(away(83), ("pending".into(), 2_000), "the lease ended two seconds ago");
}

#[test]
fn a_check_says_what_it_is_about_to_become() {
    let report = report();
    let (app, new) = (&report.checks[0], &report.checks[1]);
    assert_eq!((&*app.status, app.last.as_deref(), app.streak.as_deref()), ("UP", Some("UP"), Some("2 of 3 worse")));
    assert_eq!(
        (app.age_ms, &*app.message, app.next_run_in_ms, app.running),
        (Some(2_000), "refused", Some(4_000), false)
    );
    assert_eq!((&*new.status, &new.last, &new.since, new.age_ms), ("PENDING", &None, &None, None));
    assert_eq!(new.next_run_in_ms, None, "the schedule did not say");
}

#[test]
fn a_configuration_that_was_not_taken_over_says_why() {
    let configuration = report().configuration;
    assert_eq!((configuration.read_ms_ago, configuration.taken_over_ms_ago), (20_000, 50_000));
    assert_eq!((configuration.mistakes, configuration.first_mistake.as_deref()), (2, Some("x.toml:3: no")));
}

#[test]
fn it_goes_over_the_socket_as_it_is() {
    let report = report();
    let text = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<StatusReport>(&text).expect("the same"), report);
}
