//! Sharing the guest runtime fairly, and knowing how late it is.
//!
//! A run that has used a tick's worth of CPU is a *hog*. Hogs take turns: only as many as there are workers run at
//! once, whatever their number, so that an ordinary run waits behind at most one of them per step.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

use crate::clock;
use crate::supervise::{Beat, Stop};

use super::engine::TICK;
use super::store::Shared;

/// What one run has used, and where it stands. Shared by its store's epoch callback and the meter around its future.
#[derive(Debug, Default)]
pub struct Pace {
    /// CPU of the polls that are over, in nanoseconds.
    cpu: AtomicU64,
    /// The thread's CPU clock when the poll that is going on began.
    poll_began: AtomicU64,
    /// Guest code was interrupted, and waits to go on.
    yielding: AtomicBool,
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Pace {
    /// CPU time of guest and host calls, up to the last poll.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    fn cpu_now(&self) -> Duration {
        let began = Duration::from_nanos(self.poll_began.load(Ordering::Relaxed));
        self.cpu() + clock::thread_cpu().saturating_sub(began)
    }

    /// Was guest code what was going on at the end? A guest that had only just woken from a host call does not count.
    pub fn was_computing(&self, timeout: Duration) -> bool {
        self.yielding.load(Ordering::Relaxed) || self.cpu() >= TICK.min(timeout / 2)
    }

    /// What the epoch callback does at each tick that hits this run.
    pub fn tick(self: &Arc<Self>, deadline: Instant, turns: &Arc<Semaphore>) -> UpdateDeadline {
        if Instant::now() >= deadline {
            return UpdateDeadline::Interrupt;
        }
        if self.cpu_now() < TICK {
            return UpdateDeadline::Continue(1);
        }
        self.yielding.store(true, Ordering::Relaxed);
        let (pace, turns) = (self.clone(), turns.clone());
        let wait = async move {
            tokio::task::yield_now().await;
            if let Ok(turn) = turns.acquire_owned().await {
                *pace.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
            }
            pace.yielding.store(false, Ordering::Relaxed);
        };
        UpdateDeadline::YieldCustom(1, Box::pin(wait))
    }

    fn begin_poll(&self) {
        self.poll_began.store(nanos(clock::thread_cpu()), Ordering::Relaxed);
    }

    fn end_poll(&self) {
        self.cpu.store(nanos(self.cpu_now()), Ordering::Relaxed);
        // A turn lasts for one poll: whoever waits for its target must not keep others waiting.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A future whose polls are measured.
pub struct Metered<'a, F> {
    pub pace: &'a Pace,
    pub inner: Pin<&'a mut F>,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.pace.begin_poll();
        let polled = self.inner.as_mut().poll(context);
        self.pace.end_poll();
        polled
    }
}

/// How late the guest runtime is: seen by a pulse that wants to be woken every [`PULSE`].
#[derive(Debug)]
pub struct Lateness {
    base: Instant,
    last: AtomicU64,
    /// The worst of this window and of the one before, in milliseconds.
    worst: AtomicU64,
    before: AtomicU64,
}

const PULSE: Duration = Duration::from_millis(50);
/// Pulses in a window: two windows cover the longest usual timeout.
const WINDOW: u32 = 40;

impl Lateness {
    pub fn new() -> Self {
        Self { base: Instant::now(), last: AtomicU64::new(0), worst: AtomicU64::new(0), before: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn since_pulse(&self) -> u64 {
        let pulse = u64::try_from(PULSE.as_millis()).unwrap_or(u64::MAX);
        self.now().saturating_sub(self.last.load(Ordering::Relaxed)).saturating_sub(pulse)
    }

    /// The worst of late, the delay that is going on included.
    pub fn worst(&self) -> Duration {
        let seen = self.worst.load(Ordering::Relaxed).max(self.before.load(Ordering::Relaxed));
        Duration::from_millis(seen.max(self.since_pulse()))
    }

    fn pulse(&self, new_window: bool) {
        let late = self.since_pulse();
        if new_window {
            self.before.store(self.worst.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        self.worst.fetch_max(late, Ordering::Relaxed);
        self.last.store(self.now(), Ordering::Relaxed);
    }
}

/// The pulse, on the guest runtime.
pub async fn pulse(shared: Arc<Shared>, beat: Beat, mut stop: Stop) {
    let mut count = 0_u32;
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(PULSE) => {}
        }
        count = count.wrapping_add(1);
        shared.lateness.pulse(count.is_multiple_of(WINDOW));
        shared.publish();
        beat.touch();
    }
}
