//! What the outside asks of the agent: by signals, and to hand over also by the control socket.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::model::requests::PluginRequest;

/// What comes so soon after the first signal is the same one.
const TWICE: Duration = Duration::from_millis(200);

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
    reload: mpsc::Sender<PluginRequest>,
}

impl Signals {
    pub fn new(reload: mpsc::Sender<PluginRequest>) -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            usr2: signal(SignalKind::user_defined2())?,
            hup: signal(SignalKind::hangup())?,
            reload,
        })
    }

    /// Waits until the agent is asked to end, by a signal or by the control socket. SIGHUP asks the plugins to look.
    pub async fn asked(&mut self, hand_over: &mut mpsc::Receiver<()>) -> Asked {
        tokio::select! {
            asked = self.signalled() => asked,
            Some(()) = hand_over.recv() => Asked::HandOver,
        }
    }

    /// Waits for a second signal that ends the agent. Tools such as timeout(1) send the first one twice: to the process
    /// and to its group.
    pub async fn asked_again(&mut self) {
        let first = Instant::now();
        loop {
            self.signalled().await;
            if first.elapsed() > TWICE {
                return;
            }
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
                    tracing::info!("SIGHUP: looking at configuration and plugins");
                    // Full: a look is coming anyway.
                    let _ = self.reload.try_send(PluginRequest::Reload { answer: None });
                }
            }
        }
    }
}
