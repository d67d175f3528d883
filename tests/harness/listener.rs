//! A TCP service that is no more than a listening socket.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ports::free_port;

/// What it does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Accepts, and closes at once.
    Closing,
    /// Accepts, and says nothing for ever.
    Silent,
}

pub struct Listener {
    port: u16,
    manner: Manner,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Listener {
    pub fn start(manner: Manner) -> Self {
        let mut listener = Self { port: free_port(), manner, running: None };
        listener.open();
        listener
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `tcp://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Listens, again.
    pub fn open(&mut self) {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).expect("the port is free");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, manner) = (stop.clone(), self.manner);
        let accepting = std::thread::spawn(move || {
            let mut held = Vec::new();
            for connection in socket.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if manner == Manner::Silent {
                    held.push(connection);
                }
            }
        });
        self.running = Some((stop, accepting));
    }

    /// Refuses connections from now on, and ends those that it held.
    pub fn close(&mut self) {
        let Some((stop, accepting)) = self.running.take() else { return };
        stop.store(true, Ordering::Relaxed);
        connects(self.port);
        let _ = accepting.join();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// Does something listen there?
pub fn connects(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
