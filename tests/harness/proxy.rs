//! A TCP proxy before a real server, which delays, drops or refuses what goes through it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ports::{bound, free_port};
use super::wait::pause;

/// What it does with connections from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Answers come so much later.
    Delaying(Duration),
    /// Every so manieth connection is closed before the server hears of it.
    Dropping(u32),
    /// Every connection is.
    Shut,
}

pub struct Proxy {
    address: SocketAddr,
    way: Arc<Mutex<Way>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Before a server of the loopback.
    pub fn before(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = bound(|| TcpListener::bind(address));
        let (way, stop) = (Arc::new(Mutex::new(Way::Open)), Arc::new(AtomicBool::new(false)));
        let (its_way, stopped) = (way.clone(), stop.clone());
        let accepting = std::thread::spawn(move || {
            for (number, client) in (1_u32..).zip(socket.incoming()) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let way = *its_way.lock().unwrap_or_else(PoisonError::into_inner);
                let dropped = way == Way::Shut || matches!(way, Way::Dropping(each) if number.is_multiple_of(each));
                if let (Ok(client), false) = (client, dropped) {
                    std::thread::spawn(move || relay(client, server, way));
                }
            }
        });
        Self { address, way, stop, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn goes(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Both directions, until both ends have closed. The delay is that of the first answer: a check's connection is short.
fn relay(client: TcpStream, server: SocketAddr, way: Way) {
    let Ok(server) = TcpStream::connect_timeout(&server, Duration::from_secs(1)) else { return };
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
    let asking = std::thread::spawn(move || copy(from_client, to_server, Duration::ZERO));
    copy(server, client, if let Way::Delaying(delay) = way { delay } else { Duration::ZERO });
    let _ = asking.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut delay: Duration) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let come = Instant::now();
        while come.elapsed() < delay {
            pause();
        }
        delay = Duration::ZERO;
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
