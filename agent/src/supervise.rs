//! The one place that spawns tasks. A part's loop is named and watched: if it ends before it was asked to, or panics,
//! the agent ends with code 70, so that systemd starts a whole one instead of keeping half of one.
//!
//! Every loop beats. A beat that is late by [`LATE`] makes `/health/live` answer 503; one that is late by [`DEAD`]
//! ends the process from a thread of its own, which no wedged runtime can stop.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

/// How often a loop beats.
pub const BEAT: Duration = Duration::from_secs(1);
/// A loop that has not beaten for so long is not live: more than any one step of a loop may take.
pub const LATE: Duration = Duration::from_secs(15);
/// A loop that has not beaten for so long will not come back.
pub const DEAD: Duration = Duration::from_secs(60);
/// The exit code of an agent one of whose tasks died.
pub const EXIT_DIED: u8 = 70;

/// What a test program does to the guest runtime: see `examples/wedged.rs`. The agent itself sets none.
#[doc(hidden)]
pub static FAULT: OnceLock<fn(&Handle)> = OnceLock::new();

/// A task that ended although nobody asked it to.
#[derive(Debug, Clone)]
pub struct Death {
    pub task: &'static str,
    pub panicked: bool,
}

/// Spawns on the two runtimes: `control` for everything that keeps the agent alive, `guest` for runs alone.
#[derive(Clone)]
pub struct Supervisor {
    control: Handle,
    guest: Handle,
    deaths: mpsc::Sender<Death>,
    beats: Beats,
}

impl Supervisor {
    pub fn new(control: Handle, guest: Handle) -> (Self, mpsc::Receiver<Death>) {
        // One death is enough to end the agent; more than fit are of no interest.
        let (deaths, receiver) = mpsc::channel(16);
        if let Some(fault) = FAULT.get() {
            fault(&guest);
        }
        let supervisor = Self { control, guest, deaths, beats: Beats::default() };
        (supervisor, receiver)
    }

    pub fn beats(&self) -> &Beats {
        &self.beats
    }

    /// Spawns a part's loop on the control runtime. It must go on until `stop`.
    pub fn spawn<F>(&self, task: &'static str, stop: &Stop, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.watched(&self.control, task, stop, work)
    }

    /// The same on the guest runtime.
    pub fn spawn_guest_loop<F>(&self, task: &'static str, stop: &Stop, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.watched(&self.guest, task, stop, work)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    fn watched<F>(&self, runtime: &Handle, task: &'static str, stop: &Stop, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (deaths, stop) = (self.deaths.clone(), stop.clone());
        runtime.spawn(async move {
            let panicked = AssertUnwindSafe(work).catch_unwind().await.is_err();
            if panicked || !stop.is_set() {
                let _ = deaths.try_send(Death { task, panicked });
            }
        })
    }

    /// Spawns work that ends by itself (a connection, a compilation). A panic in it is its own end only.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn helper<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.control.spawn(work)
    }

    /// Spawns one run on the guest runtime. A panic in it is its own end only.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn run_guest<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.guest.spawn(work)
    }

    /// Runs blocking work beside the control runtime.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.control.spawn_blocking(work)
    }
}

/// When each loop was last seen.
#[derive(Clone)]
pub struct Beats {
    base: Instant,
    loops: Arc<Mutex<Vec<Entry>>>,
}

struct Entry {
    name: &'static str,
    /// Milliseconds since `base`; `u64::MAX` once the loop has ended as it was asked to.
    last: Arc<AtomicU64>,
}

const ENDED: u64 = u64::MAX;

impl Default for Beats {
    fn default() -> Self {
        Self { base: Instant::now(), loops: Arc::default() }
    }
}

impl Beats {
    /// A loop's own beat. It ends when it is dropped.
    pub fn register(&self, name: &'static str) -> Beat {
        let last = Arc::new(AtomicU64::new(self.elapsed()));
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(Entry { name, last: last.clone() });
        Beat { base: self.base, last, ticks: None }
    }

    fn elapsed(&self) -> u64 {
        millis(self.base.elapsed())
    }

    /// The loops whose last beat is longer ago than `limit`, with how long.
    pub fn late(&self, limit: Duration) -> Vec<(&'static str, Duration)> {
        let now = self.elapsed();
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |entry: &Entry| match entry.last.load(Ordering::Relaxed) {
            ENDED => None,
            last => Some((entry.name, Duration::from_millis(now.saturating_sub(last)))),
        };
        loops.iter().filter_map(age).filter(|(_, age)| *age > limit).collect()
    }

    /// How long ago the named loop beat; none if there is no such loop.
    pub fn age(&self, name: &str) -> Option<Duration> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let last = loops.iter().find(|entry| entry.name == name)?.last.load(Ordering::Relaxed);
        (last != ENDED).then(|| Duration::from_millis(self.elapsed().saturating_sub(last)))
    }

    /// Ends the process once a loop is dead, from a thread that depends on no runtime.
    pub fn watchdog(&self) -> std::io::Result<()> {
        let beats = self.clone();
        let watch = move || {
            loop {
                std::thread::park_timeout(BEAT);
                if let Some((name, age)) = beats.late(DEAD).first() {
                    tracing::error!(task = name, "no beat for {} s: the agent ends", age.as_secs());
                    #[expect(clippy::disallowed_methods, reason = "a wedged runtime cannot be stopped in order")]
                    std::process::exit(i32::from(EXIT_DIED));
                }
            }
        };
        std::thread::Builder::new().name("watchdog".into()).spawn(watch).map(drop)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(ENDED - 1)
}

/// A loop's sign of life.
pub struct Beat {
    base: Instant,
    last: Arc<AtomicU64>,
    ticks: Option<Interval>,
}

impl Beat {
    /// Waits for the next tick, then beats. A branch of the loop's `select!`; safe to cancel.
    pub async fn next(&mut self) {
        let ticks = self.ticks.get_or_insert_with(|| {
            let mut ticks = tokio::time::interval(BEAT);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        ticks.tick().await;
        self.touch();
    }

    /// Goes on beating while something else is waited for.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.next() => {}
            }
        }
    }

    pub fn touch(&self) {
        self.last.store(millis(self.base.elapsed()), Ordering::Relaxed);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.last.store(ENDED, Ordering::Relaxed);
    }
}

/// The asking side of a stop. Dropping it stops too: nothing outlives its owner.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// The asked side.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

pub fn stop_pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    pub async fn wait(&mut self) {
        // An error means that the stopper is gone, which is a stop too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> (Supervisor, mpsc::Receiver<Death>) {
        Supervisor::new(Handle::current(), Handle::current())
    }

    #[tokio::test]
    async fn a_task_that_ends_unasked_is_a_death() {
        let (supervisor, mut deaths) = supervisor();
        let (_stopper, stop) = stop_pair();
        supervisor.spawn("quits", &stop, async {});
        let death = deaths.recv().await.expect("a death");
        assert_eq!((death.task, death.panicked), ("quits", false));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_a_death_even_while_stopping() {
        let (supervisor, mut deaths) = supervisor();
        let (stopper, stop) = stop_pair();
        stopper.stop();
        supervisor.spawn("fine", &stop, async {}).await.expect("ends");
        supervisor.spawn("panics", &stop, async { panic!("on purpose") });
        let death = deaths.recv().await.expect("a death");
        assert_eq!((death.task, death.panicked), ("panics", true));
    }

    #[tokio::test]
    async fn beats_are_late_until_they_come_or_end() {
        let beats = Beats::default();
        let beat = beats.register("loop");
        assert_eq!(beats.late(Duration::ZERO).len(), usize::from(beats.age("loop") > Some(Duration::ZERO)));
        assert!(beats.late(LATE).is_empty());
        drop(beat);
        assert!(beats.late(Duration::ZERO).is_empty());
        assert_eq!(beats.age("loop"), None);
    }
}
