//! Free ports of the loopback.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::wait::eventually;

/// Below the ports that the kernel gives to outgoing connections (32768 and up): a server that is restarted finds its
/// port as it left it.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on and that no other test gets.
pub fn free_port() -> u16 {
    // Other processes of these tests begin elsewhere.
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (u32::from(offset) * 97 + u32::from(step)).rem_euclid(u32::from(COUNT)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {} is free", FIRST + COUNT);
}

/// Binds to a port that was free, or was ours. A child that another test starts has a copy of every socket until it becomes
/// its program, also of one that is closed here: the port may be taken for a moment.
pub fn bound<T>(mut bind: impl FnMut() -> io::Result<T>) -> T {
    eventually("the port is free", Duration::from_secs(10), || bind().map_err(|error| error.to_string()))
}
