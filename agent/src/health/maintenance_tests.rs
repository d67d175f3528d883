//! Orders of maintenance, and what becomes of them over time and restarts.

use std::time::Duration;

use crate::model::testing::{at, name, service};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn known(services: &[&str]) -> Known {
    services.iter().map(|s| (name(s), Arc::new(service(s)))).collect()
}

fn these(services: &[&str]) -> Scope {
    Scope::These(services.iter().map(|s| name(s)).collect())
}

fn begin(scope: Scope, length: Option<Duration>) -> MaintenanceOrder {
    MaintenanceOrder::Begin { scope, reason: "disk swap".into(), length }
}

fn end(scope: Scope) -> MaintenanceOrder {
    MaintenanceOrder::End { scope, reason: None }
}

fn begin_for(reason: &str, scope: Scope, length: Option<Duration>) -> MaintenanceOrder {
    MaintenanceOrder::Begin { scope, reason: reason.into(), length }
}

fn end_of(reason: &str, scope: Scope) -> MaintenanceOrder {
    MaintenanceOrder::End { scope, reason: Some(reason.into()) }
}

/// A keeper after these orders, one second apart; the last must be taken.
fn after(orders: &[MaintenanceOrder]) -> (Maintenances, Vec<String>) {
    let (mut held, mut notes) = (Maintenances::default(), Vec::new());
    for (order, second) in orders.iter().zip(100..) {
        notes = apply(&mut held, order, &known(&["a", "b"]), at(second)).expect("taken");
    }
    (held, notes)
}

fn refused(orders: &[MaintenanceOrder], last: &MaintenanceOrder) -> String {
    let (mut held, _) = after(orders);
    apply(&mut held, last, &known(&["a", "b"]), at(200)).expect_err("refused").to_string()
}

#[test]
fn an_order_holds_for_its_services_or_for_all() {
    let (held, _) = after(&[begin(these(&["a"]), Some(HOUR))]);
    let order = held.of(&name("a"), at(101)).expect("held");
    assert_eq!((&*order.reason, order.since, order.until), ("disk swap", at(100), Some(at(100).wall + HOUR)));
    assert_eq!(held.of(&name("b"), at(101)), None);
    let (held, _) = after(&[begin(Scope::Host, None)]);
    assert!(held.of(&name("a"), at(101)).is_some() && held.of(&name("added-later"), at(101)).is_some());
}

#[test]
fn what_is_ordered_anew_is_in_maintenance_since_it_began() {
    let (held, _) = after(&[begin(these(&["a"]), None), begin(these(&["a"]), Some(HOUR))]);
    let order = held.of(&name("a"), at(103)).expect("held");
    assert_eq!((order.since, order.until), (at(100), Some(at(101).wall + HOUR)));
    // The host's has no end: so has that of its service.
    let (held, _) = after(&[begin(Scope::Host, None), begin(these(&["a"]), Some(HOUR))]);
    let order = held.of(&name("a"), at(103)).expect("held");
    assert_eq!((order.since, order.until), (at(100), None));
}

#[test]
fn who_ends_one_reason_does_not_end_another() {
    const TEN: Duration = Duration::from_secs(600);
    let a = || these(&["a"]);
    let (operator, hook) = (|| begin_for("disk swap", a(), Some(HOUR)), || begin_for("stopped", a(), Some(TEN)));
    for both in [[operator(), hook()], [hook(), operator()]] {
        let (held, _) = after(&both);
        let order = held.of(&name("a"), at(103)).expect("held");
        assert_eq!((&*order.reason, order.since), ("disk swap", at(100)), "the one that lasts longer");
        let (held, notes) = after(&[&both[..], &[end_of("stopped", a())]].concat());
        assert_eq!(held.of(&name("a"), at(103)).map(|order| order.reason), Some("disk swap".into()));
        assert!(notes[0].contains("a stays in maintenance (disk swap)"), "{notes:?}");
        let (held, notes) = after(&[&both[..], &[end(a())]].concat());
        assert_eq!((held, notes), (Maintenances::default(), vec![]), "without a reason: all of them");
    }
    let (held, notes) = after(&[operator(), end_of("stopped", a())]);
    assert!(held.of(&name("a"), at(103)).is_some() && notes[0].contains("stays"), "{notes:?}");
    let (_, notes) = after(&[end_of("stopped", a())]);
    assert_eq!(notes, ["a was not in maintenance"]);
    let host = || begin_for("kernel", Scope::Host, None);
    let (held, notes) = after(&[host(), hook(), end_of("stopped", a())]);
    assert!(held.services.is_empty() && notes[0].contains("the whole host stays in maintenance (kernel)"), "{notes:?}");
    let (held, notes) = after(&[host(), end_of("other", Scope::Host)]);
    assert!(held.host.len() == 1 && notes.len() == 2, "{notes:?}");
}

#[test]
fn what_is_unknown_is_refused_with_what_there_is() {
    let said = refused(&[], &begin(these(&["a", "c"]), None));
    assert!(said.contains("no service c") && said.contains("there are a, b"), "{said}");
    assert!(refused(&[], &end(these(&["c"]))).contains("no service c"));
}

#[test]
fn a_refused_order_changes_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut keeper = Keeper::load(dir.path(), at(1));
    keeper.take(&begin(these(&["a", "c"]), None), &known(&["a"]), at(2)).expect_err("c is unknown");
    assert_eq!((keeper.held(), keeper.is_dirty()), (&Maintenances::default(), false));
}

#[test]
fn ending_says_what_is_other_than_it_seems() {
    let a = || begin(these(&["a"]), None);
    let host = || begin(Scope::Host, None);
    let taken: [(&[MaintenanceOrder], &[&str]); 7] = [
        (&[a(), end(these(&["a"]))], &[]),
        (&[end(these(&["a"]))], &["a was not in maintenance"]),
        (&[a(), end(these(&["a", "b"]))], &["b was not in maintenance"]),
        (&[end(Scope::Host)], &["the host was not in maintenance"]),
        (&[host(), end(Scope::Host)], &[]),
        (&[a(), host(), end(Scope::Host)], &["a stays in maintenance"]),
        (&[a(), host(), end(these(&["a"]))], &["the whole host stays in maintenance"]),
    ];
    for (orders, expected) in taken {
        let (held, notes) = after(orders);
        let fits = notes.len() == expected.len() && notes.iter().zip(expected).all(|(note, e)| note.contains(e));
        assert!(fits, "{orders:?}: {notes:?}");
        assert_eq!(held == Maintenances::default(), !notes.iter().any(|note| note.contains("stays")), "{orders:?}");
    }
    assert!(refused(&[a()], &end(Scope::Host)).contains("`vitald maintenance off --service a`"));
    assert!(refused(&[host()], &end(these(&["b"]))).contains("`vitald maintenance off`"));
}

#[test]
fn a_service_that_is_configured_no_more_can_be_ended() {
    let (mut held, _) = after(&[begin(these(&["a"]), None)]);
    apply(&mut held, &end(these(&["a"])), &known(&[]), at(200)).expect("it is held");
    assert_eq!(held, Maintenances::default());
}

#[test]
fn what_is_over_ends_by_itself() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut keeper = Keeper::load(dir.path(), at(1));
    keeper.take(&begin(these(&["a"]), Some(Duration::from_secs(10))), &known(&["a"]), at(100)).expect("taken");
    keeper.take(&begin(Scope::Host, Some(Duration::from_secs(20))), &known(&["a"]), at(100)).expect("taken");
    assert!(!keeper.expire(at(109)));
    assert!(keeper.expire(at(110)));
    assert!(keeper.held().services.is_empty() && !keeper.held().host.is_empty());
    assert!(keeper.expire(at(120)));
    assert_eq!(keeper.held(), &Maintenances::default());
    assert!(keeper.is_dirty());
}

fn written(keeper: &mut Keeper) {
    keeper.writing()().expect("written");
    keeper.note_written(&Ok(()));
    assert!(!keeper.is_dirty());
}

#[test]
fn it_survives_a_restart_and_what_ended_meanwhile_does_not() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut keeper = Keeper::load(dir.path(), at(1));
    keeper.take(&begin(these(&["a"]), Some(HOUR)), &known(&["a", "b"]), at(100)).expect("taken");
    keeper.take(&begin(these(&["b"]), None), &known(&["a", "b"]), at(100)).expect("taken");
    let held = keeper.held().clone();
    written(&mut keeper);
    assert_eq!(Keeper::load(dir.path(), at(101)).held(), &held);
    let later = Keeper::load(dir.path(), at(100 + 3600));
    assert_eq!(later.held().services.keys().collect::<Vec<_>>(), [&name("b")]);
}

#[test]
fn after_another_boot_the_wall_clock_says_since_when() {
    let now = Moment { boot: Duration::from_secs(60), wall: Duration::from_secs(1000) };
    let order = |since| Maintenance { reason: String::new(), since: at(since), until: None };
    assert_eq!(boot_of(&order(990), now), Duration::from_secs(50));
    assert_eq!(boot_of(&order(100), now), Duration::ZERO, "before this boot");
}

#[test]
fn a_file_that_cannot_be_used_is_set_aside() {
    let dir = tempfile::tempdir().expect("tempdir");
    for bytes in [&b"{\"version\":2,\"le"[..], b"{\"version\":999,\"boot_id\":null,\"held\":{\"services\":{}}}", b""] {
        std::fs::write(dir.path().join("maintenance.json"), bytes).expect("write");
        assert_eq!(Keeper::load(dir.path(), at(1)).held(), &Maintenances::default());
        assert_eq!(std::fs::read(dir.path().join("maintenance.json.unusable")).expect("kept"), bytes);
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_tried_again() {
    let mut keeper = Keeper::load(Path::new("/proc/no-such-directory"), at(1));
    keeper.take(&begin(Scope::Host, None), &known(&[]), at(2)).expect("taken");
    let problem = keeper.writing()().map_err(|error| error.to_string());
    assert!(problem.is_err());
    keeper.note_written(&problem);
    assert!(keeper.is_dirty() && !keeper.held().host.is_empty());
}
