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
}

impl Activity {
    /// The peer that the following steps are about.
    pub fn peer(&self, peer: String) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    pub fn step(&self, step: Step) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    /// Is a name being looked up?
    pub fn is_resolving(&self) -> bool {
        self.step.load(Ordering::Relaxed) == Step::Resolve as u8
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
            _ => return None,
        };
        Some(format!("{word} {}", self.peer.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
