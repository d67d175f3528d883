//! What a run is doing with its connections, for the message of a timeout.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared by all connections of one run.
#[derive(Debug, Default)]
pub struct Activity {
    /// Zero is for nothing yet.
    step: AtomicU8,
    /// The peer of the last connection that was worked with.
    peer: Mutex<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    Resolve = 1,
    Connect = 2,
    Tls = 3,
    Read = 4,
    Write = 5,
    /// A socket of `wasi:sockets`, which does not say what it does.
    Wait = 6,
    /// A connection is open, and nothing is done with it.
    Open = 7,
}

impl Activity {
    /// The peer that the following steps are about.
    pub fn peer(&self, peer: String) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    pub fn step(&self, step: Step) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    /// Nothing is done with any connection.
    pub fn rest(&self) {
        self.step.store(0, Ordering::Relaxed);
    }

    /// Is a name being looked up?
    pub fn is_resolving(&self) -> bool {
        self.step.load(Ordering::Relaxed) == Step::Resolve as u8
    }

    /// Is a connection being opened? Whoever gives up at the deadline has closed it by then.
    pub fn is_opening(&self) -> bool {
        [Step::Connect as u8, Step::Tls as u8].contains(&self.step.load(Ordering::Relaxed))
    }

    /// `connect db.internal:5432`, where a connection is or was worked with.
    pub fn describe(&self) -> Option<String> {
        let word = match self.step.load(Ordering::Relaxed) {
            1 => "resolve",
            2 => "connect",
            3 => "TLS with",
            4 => "read",
            5 => "write",
            6 => "waiting for",
            7 => "connected to",
            _ => return None,
        };
        Some(format!("{word} {}", self.peer.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
