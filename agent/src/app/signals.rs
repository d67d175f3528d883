//! What the outside asks of the agent by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR2: another agent goes on in our place.
    HandOver,
}

pub struct Signals {
    term: Signal,
    int: Signal,
    usr2: Signal,
    hup: Signal,
}

impl Signals {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            usr2: signal(SignalKind::user_defined2())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the agent is asked to end.
    pub async fn asked(&mut self) -> Asked {
        loop {
            tokio::select! {
                _ = self.term.recv() => return Asked::Stop,
                _ = self.int.recv() => return Asked::Stop,
                _ = self.usr2.recv() => return Asked::HandOver,
                // Its default would end the agent.
                _ = self.hup.recv() => {
                    tracing::info!("SIGHUP: drop-ins are watched and taken over by themselves; the main file is read at the next start");
                }
            }
        }
    }
}
