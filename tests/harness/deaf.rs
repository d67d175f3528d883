//! A TCP service whose queue is full: the kernel drops what else is sent to it, as a firewall would.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::ports::{bound, free_port};

pub struct Deaf {
    address: SocketAddr,
    _socket: OwnedFd,
    _queued: Vec<TcpStream>,
}

impl Deaf {
    pub fn start() -> Self {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port());
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        bound(|| Ok(bind(&socket, &address)?));
        listen(&socket, 0).expect("it listens");
        let address = SocketAddr::V4(address);
        let queue = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queued: Vec<TcpStream> = std::iter::from_fn(queue).take(16).collect();
        assert!(queued.len() < 16, "the queue does not get full");
        Self { address, _socket: socket, _queued: queued }
    }

    /// `HOST:PORT`
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}
