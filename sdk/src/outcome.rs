//! What a run that could judge its target says.
//!
//! Only the judgement: the numbers and parts that go with it are collected in the [`Run`](crate::Run), so that they are
//! kept when a run ends early.

use crate::bindings::vitald::check::types;

/// The state of a target. That a checker could not tell is not a status but an [`Error`](crate::Error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The target does its job.
    Up,
    /// The target does its job, but worse than it should.
    Degraded,
    /// The target does not do its job.
    Down,
}

/// A judgement, and a line that tells a person why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The judgement.
    pub status: Status,
    /// One line for a person; at most 4 KiB are kept. Not for numbers: those are measurements.
    pub message: String,
}

/// The target does its job.
pub fn up(message: impl Into<String>) -> Outcome {
    Outcome::new(Status::Up, message)
}

/// The target does its job, but worse than it should.
pub fn degraded(message: impl Into<String>) -> Outcome {
    Outcome::new(Status::Degraded, message)
}

/// The target does not do its job.
pub fn down(message: impl Into<String>) -> Outcome {
    Outcome::new(Status::Down, message)
}

impl Outcome {
    /// A judgement with its message.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Both: the worse status, and what was found wrong, one behind the other. What is UP is only said while nothing is
    /// wrong, and then by the first.
    ///
    /// ```
    /// use vitald_sdk::prelude::*;
    ///
    /// let outcome = up("primary").and(degraded("3 s behind")).and(down("the query gives 7, expected 8"));
    /// assert_eq!(outcome, down("3 s behind; the query gives 7, expected 8"));
    /// assert_eq!(up("primary").and(up("the query gives 8")), up("primary"));
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.status, other.status) {
            (_, Status::Up) => self,
            (Status::Up, _) => other,
            (one, two) => Self::new(one.max(two), format!("{}; {}", self.message, other.message)),
        }
    }
}

impl From<Status> for types::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Up => types::Status::Up,
            Status::Degraded => types::Status::Degraded,
            Status::Down => types::Status::Down,
        }
    }
}
