//! A connection that the host opened, as `std::io::Read` and `std::io::Write`.
//!
//! The host resolves, holds name and address against the check's grants, connects and does TLS; nothing of that
//! happens in the sandbox. Reads and writes block until the host has something to say. There are no timeouts to set:
//! the host ends a run that takes too long, and says where it stood. A failed operation is an `io::Error` with a
//! [`NetError`] inside.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::contact;
use crate::net::{Cause, NetError, Phase};
use crate::sys::Connection;
use crate::target::Endpoint;
use crate::tls::{TlsOptions, TlsPeer};

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
    // Dropped in this order: what waits for the connection before the connection itself.
    #[cfg(feature = "tokio")]
    pub(crate) waits: crate::tokio_io::Waits,
    pub(crate) connection: Connection,
    peer: String,
    /// How many bytes may still come.
    room: AtomicUsize,
    withheld: Vec<u8>,
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
    connect(host, port, None)
}

pub(crate) fn connect(host: &str, port: u16, limit: Option<Duration>) -> io::Result<Stream> {
    let connected = Connection::connect(host, port, limit);
    let peer = Endpoint::new(host, port).to_string();
    match connected {
        Ok(connection) => Ok(Stream::new(connection, peer)),
        Err(cause) => Err(NetError::new(Phase::Connect, peer, cause).into()),
    }
}

impl Stream {
    fn new(connection: Connection, peer: String) -> Self {
        Self {
            #[cfg(feature = "tokio")]
            waits: Default::default(),
            connection,
            peer,
            room: AtomicUsize::new(usize::MAX),
            withheld: Vec::new(),
        }
    }

    /// The address that the host connected to, with its port: `10.0.0.9:5432`.
    pub fn address(&self) -> String {
        self.connection.address()
    }

    /// How long the host took to open the connection.
    pub fn timings(&self) -> Timings {
        self.connection.timings()
    }

    /// From now on no more than `bytes` may come; the read that gets more fails. For crates that read as much as a peer
    /// sends: the peer may be anything, and a checker's memory and time are short.
    ///
    /// The error is a [`NetError`] with [`Cause::TooMuch`].
    pub fn limit(&mut self, bytes: usize) {
        self.room = bytes.into();
    }

    /// Lets nobody send `bytes` until [`start_tls`](Self::start_tls): a write that has them in it sends nothing, and fails.
    /// For crates that answer a password in clear to whoever asks for it.
    ///
    /// A crate may write in pieces, and a piece is not recognized: give it what it writes as one message, and test it.
    /// The error is a [`NetError`] with [`Cause::Withheld`].
    pub fn withhold(&mut self, bytes: impl Into<Vec<u8>>) {
        self.withheld = bytes.into();
    }

    /// Sends what is still to be sent, and ends our side: the peer reads the end, we can still read.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `write`.
    pub fn shutdown(&self) -> io::Result<()> {
        self.connection.shutdown().map_err(|cause| self.error(Phase::Write, cause))
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
        self.upgrade(options, None)
    }

    /// [`start_tls_with`](Self::start_tls_with) that takes no longer than `limit`; without it the handshake may take
    /// what the run has left.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `tls`; [`Cause::Timeout`] when the time is over.
    pub fn start_tls_within(&mut self, options: TlsOptions, limit: Duration) -> io::Result<()> {
        self.upgrade(options, Some(limit))
    }

    fn upgrade(&mut self, options: TlsOptions, limit: Option<Duration>) -> io::Result<()> {
        #[cfg(feature = "tokio")]
        {
            self.waits = Default::default();
        }
        self.connection.start_tls(options, limit).map_err(|cause| self.error(Phase::Tls, cause))?;
        self.withheld = Vec::new();
        Ok(())
    }

    /// What the peer showed in the handshake; none before one.
    pub fn tls(&self) -> Option<TlsPeer> {
        self.connection.tls()
    }

    pub(crate) fn error(&self, phase: Phase, cause: Cause) -> io::Error {
        NetError::new(phase, self.peer.as_str(), cause).into()
    }

    /// Notes what came, for the judgement of later errors.
    pub(crate) fn received(&self, count: usize) -> io::Result<usize> {
        match count {
            0 => contact::ended(&self.peer),
            _ => contact::heard(),
        }
        let room = self.room.load(Ordering::Relaxed);
        self.room.store(room.saturating_sub(count), Ordering::Relaxed);
        if count > room { Err(self.error(Phase::Read, Cause::TooMuch)) } else { Ok(count) }
    }

    pub(crate) fn may_send(&self, bytes: &[u8]) -> io::Result<()> {
        let withheld = self.withheld.as_slice();
        if !withheld.is_empty() && bytes.windows(withheld.len()).any(|part| part == withheld) {
            return Err(self.error(Phase::Write, Cause::Withheld));
        }
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.connection.read(buffer) {
            Ok(count) => self.received(count),
            Err(cause) => Err(self.error(Phase::Read, cause)),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.may_send(bytes)?;
        self.connection.write(bytes).map_err(|cause| self.error(Phase::Write, cause))
    }
}

#[cfg(any(target_family = "wasm", test))]
impl Timings {
    pub(crate) fn from_pairs(pairs: Vec<(String, u64)>) -> Self {
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
    use crate::error::Error;
    use crate::testing::Peer;

    #[test]
    fn timings_keep_what_they_know() {
        let pairs = [("connect", 1_500), ("resolve", 7), ("quic", 3)];
        let timings = Timings::from_pairs(pairs.map(|(name, ns)| (name.to_owned(), ns)).to_vec());
        assert_eq!(timings.connect, Some(Duration::from_nanos(1_500)));
        assert_eq!(timings.resolve, Some(Duration::from_nanos(7)));
        assert_eq!(timings.tls, None);
    }

    fn cause(error: &io::Error) -> Option<Cause> {
        Some(NetError::find(error)?.cause().clone())
    }

    fn connected(peer: &Peer) -> Stream {
        connect_to("127.0.0.1", peer.address().port()).unwrap()
    }

    #[test]
    fn no_more_comes_than_is_allowed() {
        let peer = Peer::script().answer("12345").close().start();
        let mut stream = connected(&peer);
        stream.limit(5);
        stream.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end is no byte");

        let peer = Peer::script().answer("123456").close().start();
        let mut stream = connected(&peer);
        stream.limit(5);
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(cause(&error), Some(Cause::TooMuch));
        assert!(Error::from(error).is_down());
    }

    #[test]
    fn what_is_withheld_is_not_sent() {
        let peer = Peer::script().expect("user\n").answer("ok").close().start();
        let mut stream = connected(&peer);
        stream.withhold("p secret\n");
        stream.write_all(b"user\n").unwrap();
        for bytes in [&b"p secret\n"[..], b"x p secret\nx"] {
            assert_eq!(cause(&stream.write_all(bytes).unwrap_err()), Some(Cause::Withheld));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "ok");
    }

    #[test]
    fn a_stream_can_be_held_by_libraries_that_ask_for_send_and_sync() {
        fn needs<T: Send + Sync + 'static>() {}
        needs::<Stream>();
    }
}
