//! What the futures of this thread wait for, and whom to wake.
//!
//! A component is one thread, so the list is the thread's. An entry lives as long as its [`Registration`], which its owner
//! keeps from wait to wait and drops before what is waited for.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sys::{self, Interest};

thread_local! {
    static REACTOR: RefCell<Reactor> = const { RefCell::new(Reactor { entries: Vec::new() }) };
    static ROUND: Cell<u64> = const { Cell::new(0) };
}

/// Of all threads together: natively a stream may be dropped on another thread than it waited on.
static LAST: AtomicU64 = AtomicU64::new(0);

fn next() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// One [`block_on`](super::block_on). It waits for what was armed in it alone: what was armed in one before it wakes
/// nobody any more.
pub(crate) struct Round {
    outer: u64,
}

impl Round {
    pub(crate) fn begin() -> Self {
        Self { outer: ROUND.replace(next()) }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        ROUND.set(self.outer);
    }
}

struct Reactor {
    entries: Vec<Entry>,
}

struct Entry {
    id: u64,
    what: What,
    /// None while nobody waits for it.
    waker: Option<Waker>,
    /// In which it was armed.
    round: u64,
}

enum What {
    Ready(Interest),
    At(Instant),
}

/// A place in the list.
#[derive(Debug)]
pub(crate) struct Registration(u64);

impl Registration {
    pub(crate) fn ready(interest: Interest) -> Self {
        Self::new(What::Ready(interest))
    }

    pub(crate) fn at(moment: Instant) -> Self {
        Self::new(What::At(moment))
    }

    fn new(what: What) -> Self {
        let id = next();
        REACTOR.with_borrow_mut(|reactor| reactor.entries.push(Entry { id, what, waker: None, round: 0 }));
        Self(id)
    }

    /// Wakes `waker` once, when it is ready.
    pub(crate) fn arm(&self, waker: &Waker) {
        let waker = waker.clone();
        // The one before is dropped outside of the list's borrow: what it holds may be dropped with it.
        let _before = REACTOR.with_borrow_mut(|reactor| {
            let entry = reactor.entries.iter_mut().find(|entry| entry.id == self.0)?;
            entry.round = ROUND.get();
            entry.waker.replace(waker)
        });
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Where the thread ends, its list is gone already. What wakes is dropped outside of the list's borrow.
        let _entry = REACTOR.try_with(|reactor| {
            let mut reactor = reactor.borrow_mut();
            let place = reactor.entries.iter().position(|entry| entry.id == self.0);
            place.map(|place| reactor.entries.swap_remove(place))
        });
    }
}

/// Waits, no longer than `limit`, until something is ready that somebody waits for, and wakes all who wait for it. False
/// where nobody waits for anything.
pub(crate) fn turn(limit: Option<Duration>) -> bool {
    let (known, wakers) = REACTOR.with_borrow_mut(|reactor| reactor.turn(limit));
    wakers.into_iter().for_each(Waker::wake);
    known
}

impl Reactor {
    fn turn(&mut self, limit: Option<Duration>) -> (bool, Vec<Waker>) {
        let mut interests = Vec::new();
        let mut ids = Vec::new();
        let mut next: Option<Instant> = None;
        let round = ROUND.get();
        for entry in self.entries.iter().filter(|entry| entry.waker.is_some() && entry.round == round) {
            match &entry.what {
                What::Ready(interest) => {
                    interests.push(interest);
                    ids.push(entry.id);
                }
                What::At(moment) => next = Some(next.map_or(*moment, |next| next.min(*moment))),
            }
        }
        if ids.is_empty() && next.is_none() {
            return (false, Vec::new());
        }
        let until_next = next.map(|next| next.saturating_duration_since(Instant::now()));
        let ready = sys::wait(&interests, limit.or(until_next));
        let ready: Vec<u64> = ready.into_iter().filter_map(|index| ids.get(index).copied()).collect();
        let now = Instant::now();
        let woken = self.entries.iter_mut().filter(|entry| entry.round == round).filter(|entry| match entry.what {
            What::Ready(_) => ready.contains(&entry.id),
            What::At(moment) => moment <= now,
        });
        (true, woken.filter_map(|entry| entry.waker.take()).collect())
    }
}
