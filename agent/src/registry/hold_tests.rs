use crate::model::snapshot::Aggregate;
use crate::model::testing::name;
use crate::registry::testing::{config, snapshot, view};

use super::*;

fn keeping(keep_at_least: usize) -> Config {
    Config { keep_at_least, ..config() }
}

fn others(count: usize) -> Guards {
    (0..count).map(|n| (format!("/services/orders/{n}"), 7)).collect()
}

/// A service that is ill and in traffic, looked at once.
fn looked(config: &Config) -> Holds {
    let mut holds = Holds::default();
    holds.look(&snapshot(view(Aggregate::Down)), config, |_| true);
    holds
}

fn fate(holds: &Holds) -> Option<Fate> {
    holds.fates().get("orders").copied()
}

#[test]
fn without_the_setting_nobody_waits() {
    assert_eq!(fate(&looked(&keeping(0))), None);
}

#[test]
fn what_is_not_in_traffic_may_go() {
    let (mut holds, config) = (Holds::default(), keeping(2));
    holds.look(&snapshot(view(Aggregate::Down)), &config, |_| false);
    assert_eq!(fate(&holds), None);
}

#[test]
fn enough_others_are_waited_for_counted_and_guard_the_removal() {
    let config = keeping(2);
    let mut holds = looked(&config);
    assert_eq!(fate(&holds), Some(Fate::Wait));
    assert!(holds.due().is_some_and(|due| due <= Instant::now() + WAIT));
    let later = Instant::now() + WAIT;
    assert_eq!(holds.to_count(later), [name("orders")]);
    holds.counted(&name("orders"), others(3), &config);
    assert_eq!(fate(&holds), Some(Fate::Go));
    let guards: Vec<usize> = holds.guards().map(|(_, guards)| guards.len()).collect();
    assert_eq!(guards, [2], "as many as must remain");
    holds.went(&BTreeSet::new());
    assert_eq!((fate(&holds), holds.guards().count(), holds.due()), (Some(Fate::Go), 0, None));
}

#[test]
fn too_few_others_hold_it_until_they_are_back() {
    let config = keeping(2);
    let mut holds = looked(&config);
    holds.counted(&name("orders"), others(1), &config);
    assert_eq!((fate(&holds), holds.held()), (Some(Fate::Held), 1));
    let again = Instant::now() + config.ttl * 2;
    assert_eq!(holds.to_count(again), [name("orders")], "it is counted again");
    holds.counted(&name("orders"), others(2), &config);
    assert_eq!((fate(&holds), holds.held()), (Some(Fate::Go), 0));
}

#[test]
fn who_was_overtaken_counts_again() {
    let config = keeping(2);
    let mut holds = looked(&config);
    holds.counted(&name("orders"), others(2), &config);
    let orders = name("orders");
    holds.went(&BTreeSet::from([&orders]));
    assert_eq!(fate(&holds), Some(Fate::Wait));
}

#[test]
fn a_service_that_is_well_again_is_forgotten() {
    let config = keeping(2);
    let mut holds = looked(&config);
    holds.counted(&name("orders"), others(0), &config);
    holds.look(&snapshot(view(Aggregate::Up)), &config, |_| true);
    assert_eq!((fate(&holds), holds.held()), (None, 0));
}

#[test]
fn what_is_there_after_it_went_is_counted_again() {
    let config = keeping(2);
    let mut holds = looked(&config);
    holds.counted(&name("orders"), others(2), &config);
    holds.went(&BTreeSet::new());
    assert_eq!(fate(&holds), Some(Fate::Go));
    holds.look(&snapshot(view(Aggregate::Down)), &config, |_| false);
    assert_eq!(fate(&holds), Some(Fate::Go), "it is gone");
    holds.look(&snapshot(view(Aggregate::Down)), &config, |_| true);
    assert_eq!(fate(&holds), Some(Fate::Wait), "its removal was refused");
}
