//! Waiting for conditions, never for time to pass.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(10);
const BLINK: Duration = Duration::from_millis(1);

/// `Ok` where it holds, else what was seen instead.
pub fn that(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

/// Looks until it is so; fails with what was seen last once the budget is used up.
pub fn eventually<T>(what: &str, budget: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let seen = match look() {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(begun.elapsed() < budget, "not within {budget:?}: {what}; seen last: {seen}");
        pause();
    }
}

/// As [`eventually`]; says how long it took, for comparison with the design's targets.
pub fn timed(what: &str, budget: Duration, mut look: impl FnMut() -> Result<(), String>) -> Duration {
    let begun = Instant::now();
    eventually(what, budget, &mut look);
    let took = begun.elapsed();
    println!("measured: {what}: {took:.1?} (budget {budget:?})");
    took
}

/// Looks for that long, and fails as soon as it is not so.
pub fn throughout(what: &str, length: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while begun.elapsed() < length {
        if let Err(seen) = look() {
            panic!("not so after {:.1?} of {length:?}: {what}; seen: {seen}", begun.elapsed());
        }
        pause();
    }
}

pub fn pause() {
    rest(STEP);
}

/// As [`pause`], where milliseconds are measured.
pub fn blink() {
    rest(BLINK);
}

#[expect(clippy::disallowed_methods, reason = "the one place that sleeps: between two looks")]
fn rest(length: Duration) {
    std::thread::sleep(length);
}

/// Tests run beside each other; one that measures or burns CPU has the machine to itself.
static MACHINE: RwLock<()> = RwLock::new(());

/// A test's hold on the machine, as long as it lives.
pub enum Hold {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

thread_local! {
    static HELD: RefCell<Weak<Hold>> = const { RefCell::new(Weak::new()) };
}

/// Waits while a test wants to be alone; a test that holds the machine already keeps it as it has it.
pub fn beside_others() -> Rc<Hold> {
    hold(|| Hold::Shared { _guard: MACHINE.read().unwrap_or_else(PoisonError::into_inner) })
}

/// Waits until the other tests have ended, and makes new ones wait. To be taken first.
pub fn alone() -> Rc<Hold> {
    hold(|| Hold::Alone { _guard: MACHINE.write().unwrap_or_else(PoisonError::into_inner) })
}

fn hold(take: impl FnOnce() -> Hold) -> Rc<Hold> {
    HELD.with_borrow_mut(|held| {
        held.upgrade().unwrap_or_else(|| {
            let new = Rc::new(take());
            *held = Rc::downgrade(&new);
            new
        })
    })
}
