//! A TCP service that is no more than a listening socket.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ports::{bound, free_port};

/// What it does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Accepts, and closes at once.
    Closing,
    /// Accepts, and says nothing for ever.
    Silent,
    /// Accepts, says that whatever it is asked, and closes.
    Answering(&'static str),
}

pub struct Listener {
    address: SocketAddr,
    manner: Manner,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Listener {
    pub fn start(manner: Manner) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), manner)
    }

    /// On a port that is kept for it.
    pub fn on(port: u16, manner: Manner) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut listener = Self { address, manner, running: None };
        listener.open();
        listener
    }

    /// On an address of this machine.
    pub fn at(ip: IpAddr, manner: Manner) -> Self {
        let mut listener = Self { address: SocketAddr::new(ip, free_port()), manner, running: None };
        listener.open();
        listener
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `tcp://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Listens, again.
    pub fn open(&mut self) {
        let socket = bound(|| TcpListener::bind(self.address));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, manner) = (stop.clone(), self.manner);
        let accepting = std::thread::spawn(move || {
            let mut held = Vec::new();
            for connection in socket.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                match manner {
                    Manner::Closing => {}
                    Manner::Silent => held.push(connection),
                    Manner::Answering(text) => answer(connection, text),
                }
            }
        });
        self.running = Some((stop, accepting));
    }

    /// Refuses connections from now on, and ends those that it held.
    pub fn close(&mut self) {
        let Some((stop, accepting)) = self.running.take() else { return };
        stop.store(true, Ordering::Relaxed);
        connects_to(self.address);
        let _ = accepting.join();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// A client that breaks off gets nothing.
fn answer(connection: std::io::Result<TcpStream>, text: &str) {
    let Ok(mut connection) = connection else { return };
    let _ = connection.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = connection.read(&mut [0; 4096]).and_then(|_| connection.write_all(text.as_bytes()));
}

/// Does something listen there?
pub fn connects(port: u16) -> bool {
    connects_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn connects_to(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
