//! UDP: datagrams to one peer and back, with a deadline, because a datagram that is lost is never refused.
//!
//! The grants are those of TCP: the target's own endpoints, and what the check's `allow` lists as `udp://HOST:PORT`. The
//! host looks up the name. There is no TLS here, and no way to listen for others.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::contact;
use crate::net::{Cause, NetError, Phase};
use crate::sys::Socket;

/// A socket for UDP that talks with one peer.
///
/// ```no_run
/// # use vitald_sdk::prelude::*;
/// # use std::time::Duration;
/// # fn f(target: Target) -> Result<Outcome> {
/// let socket = target.datagrams()?;
/// socket.send(b"ping")?;
/// let mut answer = [0; 512];
/// let length = socket.receive(&mut answer, Duration::from_millis(300))?;
/// # Ok(up(format!("{length}"))) }
/// ```
pub struct Datagrams {
    socket: Socket,
    peer: String,
}

impl Datagrams {
    pub(crate) fn open(host: &str, port: u16, peer: String) -> io::Result<Self> {
        match Socket::connect(host, port) {
            Ok(socket) => Ok(Self { socket, peer }),
            Err(cause) => Err(NetError::new(Phase::Connect, peer, cause).into()),
        }
    }

    /// Sends one datagram. That it was sent does not say that it arrived.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `write`: [`Cause::Refused`] where the peer's host has said that nobody listens there.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes).map_err(|cause| self.error(Phase::Write, cause))
    }

    /// Waits for the next datagram of the peer, and no longer than `within`; how long it is. One that is longer than the
    /// buffer is cut.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `read`: [`Cause::Timeout`] when nothing came, which `?` makes `down` of;
    /// [`Cause::Refused`] where the peer's host has said that nobody listens there.
    pub fn receive(&self, buffer: &mut [u8], within: Duration) -> io::Result<usize> {
        let received = self.socket.receive(buffer, within).map_err(|cause| self.error(Phase::Read, cause))?;
        contact::heard();
        Ok(received)
    }

    fn error(&self, phase: Phase, cause: Cause) -> io::Error {
        NetError::new(phase, self.peer.as_str(), cause).into()
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("peer", &self.peer).finish_non_exhaustive()
    }
}
