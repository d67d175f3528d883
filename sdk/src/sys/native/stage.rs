//! What a native run is given by its trial: an end, the host's numbers, a place for its log. It is the thread's.
//!
//! Without a trial (a unit test that calls a function by itself) there is no end, no numbers are granted, and the log goes
//! to standard error.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime};

use crate::error::Result;
use crate::host::{Sample, Series, denied};
use crate::run::Level;

/// How long an operation may take where there is no trial: a test that hangs tells nothing.
const ALONE: Duration = Duration::from_secs(60);

/// Operations after the deadline that fail as a timeout does, so that each of some streams that are read at once gets its
/// error. The agent would have ended the run already; who goes on after that does so for ever.
const LATE: u32 = 8;

/// What a run is unwound with that goes on after its end. Only [`ended`] sees it.
struct Over;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) deadline: Instant,
    /// Operations that were begun after it.
    pub(crate) late: u32,
    /// What the run waited for when it was over, as the agent names it: `read 127.0.0.1:6379`.
    pub(crate) waited_for: Option<String>,
    /// None where they are not granted.
    pub(crate) series: Option<Vec<Series>>,
    pub(crate) log: Vec<(Level, String)>,
}

impl Stage {
    pub(crate) fn until(deadline: Instant, series: Option<Vec<Series>>) -> Self {
        Self { deadline, late: 0, waited_for: None, series, log: Vec::new() }
    }
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Runs something on a stage, and gives that back.
pub(crate) fn on<T>(stage: Stage, act: impl FnOnce() -> T) -> (T, Stage) {
    /// A test that panics leaves no stage behind for the next one of its thread.
    struct Clearing;
    impl Drop for Clearing {
        fn drop(&mut self) {
            STAGE.take();
        }
    }
    STAGE.set(Some(stage));
    let clearing = Clearing;
    let done = act();
    let stage = STAGE.take();
    drop(clearing);
    (done, stage.unwrap_or_else(|| Stage::until(Instant::now(), None)))
}

/// Runs something that may be ended as the agent ends a run: by force. None where it was.
pub(crate) fn ended<T>(act: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(done) => Some(done),
        Err(payload) if payload.is::<Over>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Ends the run where it stands. Nothing is printed: it is no panic of the checker.
pub(crate) fn end() -> ! {
    resume_unwind(Box::new(Over))
}

/// An operation on this peer failed because the run is over.
pub(crate) fn ran_out(step: &str) {
    STAGE.with_borrow_mut(|stage| {
        if let Some(stage) = stage.as_mut().filter(|stage| stage.deadline <= Instant::now()) {
            stage.waited_for.get_or_insert_with(|| step.to_owned());
        }
    });
}

/// What is left of the run, for an operation that is to begin. It ends a run that goes on for too long after its end.
///
/// # Errors
/// A timeout when it is over.
pub(crate) fn left() -> io::Result<Duration> {
    let left = until_end();
    if !left.is_zero() {
        return Ok(left);
    }
    let late = STAGE.with_borrow_mut(|stage| {
        stage.as_mut().map_or(0, |stage| {
            stage.late += 1;
            stage.late
        })
    });
    if late > LATE {
        end()
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Only what is left of the run.
pub(crate) fn until_end() -> Duration {
    let deadline = STAGE.with_borrow(|stage| stage.as_ref().map(|stage| stage.deadline));
    deadline.map_or(ALONE, |deadline| deadline.saturating_duration_since(Instant::now()))
}

pub(crate) fn log(level: Level, message: &str) {
    STAGE.with_borrow_mut(|stage| match stage {
        Some(stage) => stage.log.push((level, message.to_owned())),
        None => eprintln!("{level:?}: {message}"),
    });
}

pub(crate) fn samples(prefix: &str) -> Result<Sample> {
    let named = |series: &Series| series.name.starts_with(prefix);
    let given = STAGE.with_borrow(|stage| {
        let series = stage.as_ref()?.series.as_ref()?;
        Some(series.iter().filter(|series| named(series)).cloned().collect())
    });
    let series = given.ok_or_else(denied)?;
    #[expect(clippy::disallowed_methods, reason = "natively a run has the machine's clock")]
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Sample { wall, boot: Duration::from_secs(1000), series })
}
