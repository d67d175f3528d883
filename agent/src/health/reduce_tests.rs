//! DESIGN 5, "Evidence and faults" and "Status", sentence by sentence.

use crate::model::outcome::{Ending, FaultKind, Skipped, Status::*};
use crate::model::testing::{at, faulted, judged, observation, policy};
use crate::model::verdict::Verdict;

use super::*;

/// Runs a story through the reducer; `status` after each ending.
fn story(endings: &[Ending]) -> (Verdict, Vec<Option<Status>>) {
    let mut verdict = Verdict::default();
    let mut statuses = Vec::new();
    for (second, ending) in endings.iter().enumerate() {
        let time = at(u64::try_from(second).expect("short"));
        reduce(&mut verdict, &policy(), &observation("x", ending.clone(), time));
        statuses.push(verdict.status);
    }
    (verdict, statuses)
}

fn up() -> Ending {
    judged(Up)
}
fn degraded() -> Ending {
    judged(Degraded)
}
fn down() -> Ending {
    judged(Down)
}
fn trap() -> Ending {
    faulted(FaultKind::Trap)
}

#[test]
fn the_first_evidence_decides_at_once() {
    for (ending, status) in [(up(), Up), (degraded(), Degraded), (down(), Down)] {
        assert_eq!(story(&[ending]).1, [Some(status)]);
    }
}

#[test]
fn what_joins_a_judged_service_must_be_as_sure_of_an_outage_as_the_others() {
    let mut verdict = Verdict { joining: true, ..Verdict::default() };
    let mut take = |ending: Ending, second| {
        reduce(&mut verdict, &policy(), &observation("x", ending, at(second)));
        (verdict.status, verdict.joining)
    };
    assert_eq!(take(down(), 1), (None, true));
    assert_eq!(take(trap(), 2), (None, true));
    assert_eq!(take(down(), 3), (None, true));
    assert_eq!(take(down(), 4), (Some(Down), false), "the third in a row");
    for ending in [up(), degraded()] {
        let mut verdict = Verdict { joining: true, ..Verdict::default() };
        reduce(&mut verdict, &policy(), &observation("x", down(), at(1)));
        reduce(&mut verdict, &policy(), &observation("x", ending.clone(), at(2)));
        let decided = matches!(&ending, Ending::Judged(outcome) if outcome.status == Up);
        assert_eq!(verdict.status.is_some(), decided, "what is well counts at once");
    }
}

#[test]
fn a_timeout_is_evidence_that_the_target_is_down() {
    let (verdict, statuses) = story(&[faulted(FaultKind::Timeout)]);
    assert_eq!(statuses, [Some(Down)]);
    assert_eq!(verdict.faults, 0);
}

#[test]
fn every_other_fault_says_nothing_of_the_target() {
    use FaultKind::*;
    for kind in [Cpu, Idle, Limit, FaultKind::Trap, Denied, InvalidParams, NoChecker, Resolver, Internal] {
        let (verdict, statuses) = story(&[faulted(kind)]);
        assert_eq!(statuses, [None], "{kind}");
        assert_eq!(verdict.faults, 1, "{kind}");
    }
}

#[test]
fn overload_and_overlap_are_no_observation_at_all() {
    let (verdict, _) = story(&[up(), Ending::NotRun(Skipped::Overloaded), Ending::NotRun(Skipped::Overlap)]);
    assert_eq!((verdict.faults, verdict.worse, verdict.status), (0, 0, Some(Up)));
}

#[test]
fn fall_in_a_row_worse_makes_it_worse() {
    assert_eq!(story(&[up(), down(), down()]).1.last(), Some(&Some(Up)));
    assert_eq!(story(&[up(), down(), down(), down()]).1.last(), Some(&Some(Down)));
}

#[test]
fn rise_in_a_row_better_makes_it_better() {
    assert_eq!(story(&[down(), up()]).1.last(), Some(&Some(Down)));
    assert_eq!(story(&[down(), up(), up()]).1.last(), Some(&Some(Up)));
}

#[test]
fn the_status_becomes_the_latest_of_them() {
    assert_eq!(story(&[up(), down(), down(), degraded()]).1.last(), Some(&Some(Degraded)));
    assert_eq!(story(&[up(), degraded(), degraded(), down()]).1.last(), Some(&Some(Down)));
    assert_eq!(story(&[down(), up(), degraded()]).1.last(), Some(&Some(Degraded)));
}

#[test]
fn evidence_equal_to_the_status_clears_both_counts() {
    let (verdict, statuses) = story(&[up(), down(), down(), up(), down(), down()]);
    assert_eq!(statuses.last(), Some(&Some(Up)));
    assert_eq!((verdict.worse, verdict.better), (2, 0));
    let (verdict, _) = story(&[degraded(), up(), degraded()]);
    assert_eq!((verdict.worse, verdict.better), (0, 0));
}

#[test]
fn better_evidence_breaks_a_row_of_worse() {
    let (verdict, statuses) = story(&[degraded(), down(), down(), up(), down()]);
    assert_eq!(statuses.last(), Some(&Some(Degraded)));
    assert_eq!((verdict.worse, verdict.better), (1, 0));
}

#[test]
fn faults_neither_count_nor_clear() {
    let (verdict, statuses) = story(&[up(), down(), down(), trap(), trap(), trap(), trap()]);
    assert_eq!(statuses.last(), Some(&Some(Up)));
    assert_eq!((verdict.worse, verdict.faults), (2, 4));
    let (_, statuses) = story(&[up(), down(), down(), trap(), down()]);
    assert_eq!(statuses.last(), Some(&Some(Down)));
}

#[test]
fn evidence_ends_a_row_of_faults() {
    let (verdict, _) = story(&[up(), trap(), trap(), up()]);
    assert_eq!((verdict.faults, verdict.fault), (0, None));
}

#[test]
fn a_change_says_what_it_was_before_and_since_when() {
    let mut verdict = Verdict::default();
    let mut change = None;
    for (second, ending) in [up(), down(), down(), down()].into_iter().enumerate() {
        let time = at(u64::try_from(second).expect("short") + 100);
        change = reduce(&mut verdict, &policy(), &observation("x", ending, time));
    }
    let expected = Change { from: Some(Up), to: Down, since: at(100), at: at(103), confirmed_by: 3 };
    assert_eq!(change, Some(expected));
    assert_eq!(verdict.since, at(103));
}

#[test]
fn the_first_decision_ends_joining() {
    let mut verdict = Verdict { joining: true, ..Verdict::default() };
    reduce(&mut verdict, &policy(), &observation("x", trap(), at(1)));
    assert!(verdict.joining);
    reduce(&mut verdict, &policy(), &observation("x", up(), at(2)));
    assert!(!verdict.joining);
}
