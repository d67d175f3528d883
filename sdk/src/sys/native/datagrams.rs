//! UDP of this machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::net::Cause;

use super::{addresses, cause, in_time, left, patiently};

/// A socket that sends to one peer and hears from no other.
pub(crate) struct Socket(UdpSocket);

impl Socket {
    pub(crate) fn connect(host: &str, port: u16) -> Result<Self, Cause> {
        in_time()?;
        let mut failed = Cause::NameNotFound;
        for address in addresses(host, port)? {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            match UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket)) {
                Ok(socket) => return Ok(Self(socket)),
                Err(error) => failed = cause(&error),
            }
        }
        Err(failed)
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Cause> {
        in_time()?;
        patiently(|| self.0.send(bytes)).map(drop)
    }

    /// The next datagram, cut where the buffer ends.
    pub(crate) fn receive(&self, buffer: &mut [u8], within: Duration) -> Result<usize, Cause> {
        let begun = Instant::now();
        patiently(|| {
            let left = left(begun, Some(within)).ok_or(std::io::ErrorKind::TimedOut)?;
            self.0.set_read_timeout(Some(left))?;
            self.0.recv(buffer)
        })
    }
}
