//! What the outside asks of the agent: by signals, and to hand over also by the control socket.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR2 or `vitald handover`: another agent goes on in our place.
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

    /// Waits until the agent is asked to end, by a signal or by the control socket.
    pub async fn asked(&mut self, hand_over: &mut mpsc::Receiver<()>) -> Asked {
        tokio::select! {
            asked = self.signalled() => asked,
            Some(()) = hand_over.recv() => Asked::HandOver,
        }
    }

    /// Waits for a signal that ends the agent.
    pub async fn signalled(&mut self) -> Asked {
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
