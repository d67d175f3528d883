//! Runs without an end: each is said as soon as it has ended. It stops when nobody reads any more, so that it never
//! outlives who started it.

use std::sync::Arc;
use std::time::Duration;

use crate::model::check::Check;

use super::super::alone::Alone;
use super::super::ask::say;
use super::Failure;
use super::eye::Eye;
use super::form::{Form, Tried};
use super::runs::Runs;

/// Closer together they would only be load.
const LEAST: Duration = Duration::from_millis(10);

/// `--every`
pub fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if length < LEAST { Err("at least 10ms is wanted".into()) } else { Ok(length) }
}

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub struct Every {
    pub length: Duration,
    pub form: Form,
    pub trace: bool,
}

/// Says what was tried, and tries again; the checker's state goes from run to run.
pub fn go_on(
    every: Every,
    alone: &Alone<'_>,
    check: &Arc<dyn Check>,
    eye: &Eye,
    tried: &mut Tried,
) -> Result<(), Failure> {
    while say(&every.form.shown(tried, every.trace)).is_ok() {
        alone.wait_for(async { tokio::time::sleep(every.length).await });
        let state = tried.runs.state().map(<[u8]>::to_vec);
        tried.runs = Runs::run(alone, check, eye, 1, state).ok_or(Failure::Panicked)?;
        tried.sight = eye.seen();
    }
    Ok(())
}
