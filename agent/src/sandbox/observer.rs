//! Looking on while a checker runs: for `vitald try`, by which a person finds out what a checker does and why it fails.
//! An agent has no observer; where there is none, nothing is made for one.
//!
//! An observer sees more than the log of an agent does. What a checker logs and prints, and what it was refused, come masked
//! and on one line. Everything else (bytes, names, errors, frames) comes as it is, so whoever shows it has to hide the
//! secrets of the check.

use std::time::{Duration, Instant};

use super::egress::Denial;

/// Told of what happens, on the thread on which it happens: it must not wait.
pub trait Observer: Send + Sync {
    /// A run begins.
    fn begun(&self, at: Instant);

    /// The checker logs a line; `level` is debug, info, warn or error.
    fn says(&self, level: &'static str, line: &str);

    /// Bytes went over a connection, TLS taken off.
    fn moved(&self, way: Way, bytes: &[u8]);

    /// A connection failed, or was closed.
    fn broke(&self, why: &str);

    /// A step of opening a connection is over.
    fn step(&self, step: &Step<'_>);

    /// The checker crashed; the functions that it was in, the innermost first.
    fn trapped(&self, frames: Vec<String>);

    /// The run is over.
    fn ended(&self, left: Left);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

#[derive(Debug)]
pub struct Step<'a> {
    /// `resolve`, `connect` or `tls`.
    pub phase: &'static str,
    /// The name or the address.
    pub of: &'a str,
    pub took: Duration,
    /// What came of it, in words.
    pub result: Result<String, String>,
}

/// What a run leaves behind beside its report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// What the checker printed, to standard output and standard error together.
    pub printed: Vec<String>,
    /// The first things that it was refused.
    pub denied: Vec<Denial>,
}
