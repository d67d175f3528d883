//! A small executor: one future, all its streams at once, no threads.
//!
//! [`block_on`] polls the future, and while it is pending waits in the host for the streams and sleeps that it waits for.
//! It spawns nothing and steals nothing: what is to go on together is joined in the one future. It refuses to wait for
//! what it cannot know, because nothing would ever wake it, and says so in a panic; in a component that is a trap, which
//! the agent reports with the text.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

pub(crate) mod reactor;

use self::reactor::{Registration, Round};

/// Stands for "never" where a sleep is longer than a clock can count.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Runs a future to its end.
///
/// Reads and writes of every [`Stream`](crate::Stream) in it go on at the same time, and so do [`sleep`] and
/// [`timeout`]. `tokio::join!`, `tokio::select!`, the extension traits of `tokio::io` and the combinators of `futures` work;
/// `tokio::spawn`, `tokio::time` and `tokio::net` want tokio's own runtime, which is not here. Opening a connection and
/// `start_tls` are done by the host and take their time before the next line runs.
///
/// The prelude brings `Read` and `Write`, whose methods have the names of `AsyncReadExt` and `AsyncWriteExt`: a file that
/// uses these imports the SDK's names one by one.
///
/// ```no_run
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use vitald_sdk::{Outcome, Result, Target, block_on, up};
///
/// # fn check(target: Target) -> Result<Outcome> {
/// let mut stream = target.connect()?;
/// let answer = block_on(async {
///     stream.write_all(b"stats\n").await?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer).await?;
///     Ok::<_, std::io::Error>(answer)
/// })?;
/// # Ok(up(answer)) }
/// ```
///
/// # Panics
/// If the future waits for something that is neither a stream nor a sleep of this crate: it would wait for ever.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let _round = Round::begin();
    loop {
        // What woke it until now is answered by this poll; only what wakes it during the poll asks for another.
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // A future that woke itself only gives the others their turn; what is ready by now has one as well.
        let gives_way = woken.0.load(Ordering::Relaxed);
        let known = reactor::turn(gives_way.then_some(Duration::ZERO));
        if !known && !gives_way {
            nothing_would_wake_it();
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a fault of the checker's code; to hang until the deadline would hide it")]
fn nothing_would_wake_it() -> ! {
    panic!(
        "block_on: the future waits for something that is neither a stream nor a sleep of vitald_sdk, so nothing \
         would ever wake it (tokio::time, tokio::net and tokio::spawn want tokio's own runtime)"
    )
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for a while, inside of [`block_on`].
pub fn sleep(length: Duration) -> Sleep {
    let now = Instant::now();
    let until = now.checked_add(length).unwrap_or_else(|| now + NEVER);
    Sleep { until, registration: None }
}

/// What [`sleep`] gives: a future that is ready when the time is over.
#[must_use = "a sleep does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Sleep {
    until: Instant,
    registration: Option<Registration>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        if Instant::now() >= until {
            self.registration = None;
            return Poll::Ready(());
        }
        self.registration.get_or_insert_with(|| Registration::at(until)).arm(context.waker());
        Poll::Pending
    }
}

/// Awaits `future` no longer than `limit`, inside of [`block_on`].
///
/// ```no_run
/// # use tokio::io::AsyncReadExt;
/// # use vitald_sdk::{Stream, timeout};
/// # async fn f(mut stream: Stream) -> vitald_sdk::Result<()> {
/// let mut greeting = [0; 64];
/// let read = timeout(std::time::Duration::from_millis(300), stream.read(&mut greeting)).await??;
/// # let _ = read; Ok(()) }
/// ```
///
/// # Errors
/// [`Elapsed`] when the time is over; the future is dropped then. `?` makes `down` of it, as of any timeout.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = sleep(limit);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed::new(limit)))
    })
    .await
}

/// The time of a [`timeout`] was over.
///
/// Inside is an error of the network with the same words, for what looks for the reason below other errors.
#[derive(Debug)]
pub struct Elapsed(io::Error);

impl Elapsed {
    fn new(limit: Duration) -> Self {
        Self(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", limit.as_millis())))
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Elapsed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        elapsed.0
    }
}
