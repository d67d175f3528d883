//! Sharing the guest runtime fairly, and knowing how late it is.
//!
//! A run that has used a tick's worth of CPU is a *hog*. Hogs take turns, which the ticker's thread hands out: whatever
//! their number, they get about half of one worker (and all but one of several), so that an ordinary run waits behind at
//! most one of them per step. A check whose last run was a hog waits for a turn before it begins.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use wasmtime::UpdateDeadline;

use crate::clock;
use crate::supervise::{Beat, Stop};

use super::engine::TICK;
use super::store::Shared;

/// What one run has used, and where it stands. Shared by its store's epoch callback and the meter around its future.
#[derive(Debug)]
pub struct Pace {
    base: Instant,

    /// CPU of the polls that are over, in nanoseconds.
    cpu: AtomicU64,
    /// The thread's CPU clock when the poll that is going on began.
    poll_began: AtomicU64,
    /// When that poll began, in nanoseconds since `base`.
    poll_began_at: AtomicU64,
    /// Guest code was running when the deadline passed.
    computing: AtomicBool,
    /// The poll that is going on goes on with guest code that was interrupted.
    resumed: AtomicBool,
    /// Guest code was interrupted, and waits to go on.
    yielding: AtomicBool,
    /// It has not begun: it waits for its first turn.
    queued: AtomicBool,
    turn: Mutex<Option<Turn>>,
}

/// The turns of hogs.
///
/// They are handed out from a thread that is no worker: what a worker wakes, tokio runs before what has waited longer,
/// and hogs that wake each other would keep everyone else waiting.
#[derive(Debug)]
pub struct Turns {
    ready: Semaphore,
    /// Handed out, and not over.
    out: AtomicUsize,
    at_once: usize,
    /// Stores that live: while there is none, nobody needs the ticker.
    running: AtomicUsize,
    /// The ticker sleeps until it is woken.
    asleep: AtomicBool,
    ticker: OnceLock<Thread>,
}

/// After so many ticks without a run the ticker sleeps: it is not woken for each of many short runs.
const QUIET_TICKS: u32 = 10;
/// How long it sleeps at most, so that it sees that its engine is gone.
const SLEEP: Duration = Duration::from_secs(1);

/// Lasts as long as its store.
#[derive(Debug)]
pub struct Running(Arc<Turns>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    pub fn new(workers: usize) -> Arc<Self> {
        let at_once = workers.saturating_sub(1).max(1);
        Arc::new(Self {
            ready: Semaphore::new(0),
            out: AtomicUsize::new(0),
            at_once,
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            ticker: OnceLock::new(),
        })
    }

    /// A store begins to live.
    pub fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.wake();
        Running(self.clone())
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && let Some(ticker) = self.ticker.get()
        {
            ticker.unpark();
        }
    }

    /// Waits for the next tick, on the ticker's thread. `quiet` counts the ticks without a run.
    pub fn wait_for_tick(&self, quiet: &mut u32) {
        let ticker = self.ticker.get_or_init(std::thread::current);
        debug_assert_eq!(ticker.id(), std::thread::current().id());
        *quiet = if self.running.load(Ordering::SeqCst) > 0 { 0 } else { quiet.saturating_add(1) };
        if *quiet <= QUIET_TICKS {
            return std::thread::park_timeout(TICK);
        }
        self.asleep.store(true, Ordering::SeqCst);
        // A run that began meanwhile may not have seen that it has to wake us.
        if self.running.load(Ordering::SeqCst) == 0 {
            std::thread::park_timeout(SLEEP);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Hands out what is free; called at every tick.
    pub fn hand_out(&self) {
        while self.out.load(Ordering::Relaxed) < self.at_once {
            self.out.fetch_add(1, Ordering::Relaxed);
            self.ready.add_permits(1);
        }
    }

    async fn take(self: Arc<Self>) -> Option<Turn> {
        self.wake();
        // It is never closed.
        let permit = self.ready.acquire().await.ok()?;
        permit.forget();
        Some(Turn(self))
    }
}

/// Lasts for one poll.
#[derive(Debug)]
struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.out.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pace {
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            cpu: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            poll_began_at: AtomicU64::new(0),
            computing: AtomicBool::new(false),
            resumed: AtomicBool::new(false),
            yielding: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            turn: Mutex::new(None),
        }
    }

    /// CPU time of guest and host calls, up to the last poll.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    fn cpu_now(&self) -> Duration {
        let began = Duration::from_nanos(self.poll_began.load(Ordering::Relaxed));
        self.cpu() + clock::thread_cpu().saturating_sub(began)
    }

    /// Did the deadline pass while guest code ran? A guest that woke from a host call only after it does not count.
    pub fn was_computing(&self) -> bool {
        self.yielding.load(Ordering::Relaxed) || self.computing.load(Ordering::Relaxed)
    }

    /// Has it used so much CPU that it has to take turns?
    pub fn is_hog(&self) -> bool {
        self.cpu() >= TICK
    }

    /// Did it never get to begin?
    pub fn never_began(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits for the first turn of a run that is known to need long; for ever if it comes too late.
    pub async fn queue(&self, deadline: Instant, turns: &Arc<Turns>) {
        self.queued.store(true, Ordering::Relaxed);
        self.take_turn(turns.clone()).await;
        if Instant::now() >= deadline {
            std::future::pending::<()>().await;
        }
        self.queued.store(false, Ordering::Relaxed);
    }

    async fn take_turn(&self, turns: Arc<Turns>) {
        let turn = turns.take().await;
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// What the epoch callback does at each tick that hits this run.
    pub fn tick(self: &Arc<Self>, deadline: Instant, turns: &Arc<Turns>) -> UpdateDeadline {
        if Instant::now() >= deadline {
            let began = self.base + Duration::from_nanos(self.poll_began_at.load(Ordering::Relaxed));
            let computing = began < deadline || self.resumed.load(Ordering::Relaxed);
            self.computing.store(computing, Ordering::Relaxed);
            return UpdateDeadline::Interrupt;
        }
        if self.cpu_now() < TICK {
            return UpdateDeadline::Continue(1);
        }
        self.yielding.store(true, Ordering::Relaxed);
        let (pace, turns) = (self.clone(), turns.clone());
        let wait = async move {
            pace.take_turn(turns).await;
            pace.yielding.store(false, Ordering::Relaxed);
            pace.resumed.store(true, Ordering::Relaxed);
        };
        UpdateDeadline::YieldCustom(1, Box::pin(wait))
    }

    fn begin_poll(&self) {
        self.poll_began.store(nanos(clock::thread_cpu()), Ordering::Relaxed);
        self.poll_began_at.store(nanos(self.base.elapsed()), Ordering::Relaxed);
    }

    fn end_poll(&self) {
        self.cpu.store(nanos(self.cpu_now()), Ordering::Relaxed);
        self.resumed.store(false, Ordering::Relaxed);
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
    /// When the last pulse was, and how late each of the last ones, in milliseconds: `(when, how late)`.
    seen: Mutex<VecDeque<(u64, u64)>>,
}

const PULSE: Duration = Duration::from_millis(50);
/// Pulses that are remembered: six seconds of them.
const REMEMBERED: usize = 120;
/// One step of a hog is how it should be.
const USUAL: Duration = TICK.saturating_mul(3);

impl Lateness {
    pub fn new() -> Self {
        Self { base: Instant::now(), seen: Mutex::new(VecDeque::from([(0, 0)])) }
    }

    /// Was the runtime so late, while a run went on, that its deadline says nothing of the target: by more than a
    /// quarter of the timeout, all of its delays together? Many short ones cost a run as much as a long one: each of its
    /// steps waits for the CPU.
    pub fn spoils(&self, begun: Instant, timeout: Duration) -> bool {
        let delays = self.delays(begun).into_iter().filter(|late| *late > USUAL);
        delays.sum::<Duration>() > timeout / 4
    }

    /// All since a moment, the one that is going on included.
    fn delays(&self, begun: Instant) -> Vec<Duration> {
        let begun = millis(begun.saturating_duration_since(self.base));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let past = seen.iter().rev().take_while(|(when, _)| *when >= begun).map(|(_, late)| *late);
        let now = seen.back().map_or(0, |(when, _)| self.late_since(*when));
        past.chain([now]).map(Duration::from_millis).collect()
    }

    /// The worst of the last seconds.
    pub fn worst(&self) -> Duration {
        self.delays(self.base).into_iter().max().unwrap_or_default()
    }

    fn late_since(&self, last: u64) -> u64 {
        millis(self.base.elapsed()).saturating_sub(last).saturating_sub(millis(PULSE))
    }

    fn pulse(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let late = seen.back().map_or(0, |(when, _)| self.late_since(*when));
        seen.push_back((millis(self.base.elapsed()), late));
        if seen.len() > REMEMBERED {
            seen.pop_front();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The pulse, on the guest runtime.
pub async fn pulse(shared: Arc<Shared>, beat: Beat, mut stop: Stop) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(PULSE) => {}
        }
        shared.lateness.pulse();
        shared.publish();
        beat.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticker_sleeps_while_nothing_runs_and_is_woken() {
        let turns = Turns::new(1);
        let mut quiet = QUIET_TICKS;
        let asleep = turns.clone();
        let waker = std::thread::spawn(move || {
            while !asleep.asleep.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            asleep.begin()
        });
        let begun = Instant::now();
        turns.wait_for_tick(&mut quiet);
        // A wake-up that came right before is none; at most the sleep is over by itself.
        println!("woken after {:?}", begun.elapsed());
        assert!(quiet > QUIET_TICKS);
        let running = waker.join().expect("it wakes");
        turns.wait_for_tick(&mut quiet);
        assert_eq!(quiet, 0, "it ticks while something runs");
        drop(running);
        turns.wait_for_tick(&mut quiet);
        assert_eq!(quiet, 1);
    }

    /// With pulses that were so late, the last of them now.
    fn late_by(delays: &[u64]) -> (Lateness, Instant) {
        let base = Instant::now() - Duration::from_secs(10);
        let lateness = Lateness { base, seen: Mutex::new(VecDeque::from([(0, 0)])) };
        let now = millis(base.elapsed());
        let mut seen = lateness.seen.lock().expect("ours");
        let back = u64::try_from(delays.len()).expect("few");
        seen.extend(delays.iter().zip(1..).map(|(late, n)| (now - back + n, *late)));
        drop(seen);
        (lateness, base + Duration::from_millis(now - back))
    }

    #[test]
    fn many_short_delays_spoil_a_run_as_a_long_one_does() {
        const TIMEOUT: Duration = Duration::from_millis(300);
        let spoils = |delays: &[u64]| {
            let (lateness, begun) = late_by(delays);
            lateness.spoils(begun, TIMEOUT)
        };
        assert!(spoils(&[0, 100]));
        assert!(spoils(&[40, 0, 45]));
        assert!(!spoils(&[40, 0, 20]));
        // Steps of hogs are how it should be.
        assert!(!spoils(&[20, 20, 20, 20, 20, 20]));
        assert!(!spoils(&[0]));
    }
}
