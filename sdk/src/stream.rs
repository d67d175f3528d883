//! A connection that the host opened, as `std::io::Read` and `std::io::Write`.
//!
//! The host resolves, holds name and address against the check's grants, connects and does TLS; nothing of that
//! happens in the sandbox. Reads and writes block until the host has something to say. There are no timeouts to set:
//! the host ends a run that takes too long, and says where it stood. A failed operation is an `io::Error` with a
//! [`NetError`] inside.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::OnceLock;
use std::time::Duration;

use crate::bindings::vitald::check::net;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::contact;
use crate::net::{Cause, NetError, Phase};
use crate::target::Endpoint;
use crate::tls::{TlsOptions, TlsPeer};

/// The host copies what it reads into this sandbox; a longer read would only make a larger copy at once.
const MAX_READ: usize = 64 * 1024;

/// What one `blocking-write-and-flush` takes at most (wasi:io).
const MAX_WRITE: usize = 4096;

/// An open connection. It closes when it is dropped.
///
/// What is written is sent at once; `flush` has nothing to do. A protocol that writes in small pieces is better off
/// behind a `BufWriter`. `&Stream` reads and writes as well, so that a `BufReader::new(&stream)` leaves the stream free
/// for writing.
///
/// ```no_run
/// # use vitald_sdk::prelude::*;
/// # fn f(target: Target) -> Result<()> {
/// let stream = target.connect()?;
/// (&stream).write_all(b"QUIT\r\n")?;
/// let mut answer = String::new();
/// BufReader::new(&stream).read_line(&mut answer)?;
/// # Ok(()) }
/// ```
pub struct Stream {
    // Dropped in this order: the halves before the connection that they were taken from.
    halves: OnceLock<(InputStream, OutputStream)>,
    connection: net::Connection,
    peer: String,
}

/// How long the host took for each phase of a connection. `None` where a phase did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Looking up the name.
    pub resolve: Option<Duration>,
    /// Opening the TCP connection.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
}

/// Opens a TCP connection to a host name or an address. The check needs a grant for it: its own target's endpoints,
/// and what its `allow` lists.
///
/// # Errors
/// A [`NetError`] in the phase `connect`. An operator's grant that is missing is [`Cause::Denied`].
pub fn connect_to(host: &str, port: u16) -> io::Result<Stream> {
    match net::connect(host, port, None) {
        Ok(connection) => Ok(Stream::new(connection, Endpoint::new(host, port).to_string())),
        Err(error) => {
            let peer = Endpoint::new(host, port).to_string();
            Err(NetError::new(Phase::Connect, peer, error.into()).into())
        }
    }
}

impl Stream {
    fn new(connection: net::Connection, peer: String) -> Self {
        Self { halves: OnceLock::new(), connection, peer }
    }

    /// The address that the host connected to, with its port: `10.0.0.9:5432`.
    pub fn address(&self) -> String {
        self.connection.address()
    }

    /// How long the host took to open the connection.
    pub fn timings(&self) -> Timings {
        Timings::from_pairs(self.connection.timings())
    }

    /// Sends what is still to be sent, and ends our side: the peer reads the end, we can still read.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `write`.
    pub fn shutdown(&self) -> io::Result<()> {
        self.connection.shutdown().map_err(|error| self.error(Phase::Write, error.into()))
    }

    /// Wraps what follows in TLS, for protocols that upgrade (STARTTLS). The host verifies the peer against the name
    /// of the connect, with the operator's roots. Bytes that a `BufReader` has read ahead are not part of it.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `tls`.
    pub fn start_tls(&mut self) -> io::Result<()> {
        self.start_tls_with(TlsOptions::default())
    }

    /// [`start_tls`](Self::start_tls), with another name, with application protocols, or to look at certificates.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `tls`.
    pub fn start_tls_with(&mut self, options: TlsOptions) -> io::Result<()> {
        self.halves = OnceLock::new();
        let started = self.connection.start_tls(&options.into_wire(), None);
        started.map_err(|error| self.error(Phase::Tls, error.into()))
    }

    /// What the peer showed in the handshake; none before one.
    pub fn tls(&self) -> Option<TlsPeer> {
        self.connection.tls().map(TlsPeer::from_wire)
    }

    /// The halves are asked for only when something is read or written: a check that only connects pays nothing.
    fn halves(&self, phase: Phase) -> io::Result<&(InputStream, OutputStream)> {
        if let Some(halves) = self.halves.get() {
            return Ok(halves);
        }
        let halves = self.connection.streams().map_err(|error| self.error(phase, error.into()))?;
        Ok(self.halves.get_or_init(|| halves))
    }

    fn error(&self, phase: Phase, cause: Cause) -> io::Error {
        NetError::new(phase, self.peer.as_str(), cause).into()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let (input, _) = self.halves(Phase::Read)?;
        let wanted = buffer.len().min(MAX_READ) as u64;
        loop {
            match input.blocking_read(wanted) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    contact::heard();
                    return bytes.as_slice().read(buffer);
                }
                Err(StreamError::Closed) => {
                    contact::ended(&self.peer);
                    return Ok(0);
                }
                Err(error) => return Err(self.error(Phase::Read, error.into())),
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.get(..MAX_WRITE).unwrap_or(bytes);
        let (_, output) = self.halves(Phase::Write)?;
        match output.blocking_write_and_flush(now) {
            Ok(()) => Ok(now.len()),
            Err(error) => Err(self.error(Phase::Write, error.into())),
        }
    }
}

impl Timings {
    fn from_pairs(pairs: Vec<(String, u64)>) -> Self {
        let mut timings = Self::default();
        for (phase, nanoseconds) in pairs {
            let took = Some(Duration::from_nanos(nanoseconds));
            match phase.as_str() {
                "resolve" => timings.resolve = took,
                "connect" => timings.connect = took,
                "tls" => timings.tls = took,
                // A later host may know more phases.
                _ => {}
            }
        }
        timings
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer)
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_keep_what_they_know() {
        let pairs = [("connect", 1_500), ("resolve", 7), ("quic", 3)];
        let timings = Timings::from_pairs(pairs.map(|(name, ns)| (name.to_owned(), ns)).to_vec());
        assert_eq!(timings.connect, Some(Duration::from_nanos(1_500)));
        assert_eq!(timings.resolve, Some(Duration::from_nanos(7)));
        assert_eq!(timings.tls, None);
    }

    #[test]
    fn a_stream_can_be_held_by_libraries_that_ask_for_send_and_sync() {
        fn needs<T: Send + Sync + 'static>() {}
        needs::<Stream>();
    }
}
