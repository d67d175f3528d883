//! Connections of the interface `net`, as components have them.

use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use crate::bindings::vitald::check::net;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::length::nanos;
use crate::net::Cause;
use crate::stream::Timings;
use crate::tls::{TlsOptions, TlsPeer};

mod datagrams;
mod given;
#[cfg(feature = "tokio")]
mod waits;

pub(crate) use self::datagrams::Socket;
pub(crate) use self::given::{log, samples};
#[cfg(feature = "tokio")]
pub(crate) use self::waits::{Interest, wait};

/// The host copies what it reads into this sandbox; a longer read would only make a larger copy at once.
const MAX_READ: usize = 64 * 1024;

/// What one `blocking-write-and-flush` takes at most (wasi:io).
const MAX_WRITE: usize = 4096;

pub(crate) struct Connection {
    // Dropped in this order: the halves before the connection that they were taken from.
    halves: OnceLock<(InputStream, OutputStream)>,
    connection: net::Connection,
}

impl Connection {
    pub(crate) fn connect(host: &str, port: u16, limit: Option<Duration>) -> Result<Self, Cause> {
        let connection = net::connect(host, port, limit.map(nanos))?;
        Ok(Self { halves: OnceLock::new(), connection })
    }

    pub(crate) fn address(&self) -> String {
        self.connection.address()
    }

    pub(crate) fn timings(&self) -> Timings {
        Timings::from_pairs(self.connection.timings())
    }

    pub(crate) fn shutdown(&self) -> Result<(), Cause> {
        Ok(self.connection.shutdown()?)
    }

    pub(crate) fn start_tls(&mut self, options: TlsOptions, limit: Option<Duration>) -> Result<(), Cause> {
        self.halves = OnceLock::new();
        Ok(self.connection.start_tls(&options.into_wire(), limit.map(nanos))?)
    }

    pub(crate) fn tls(&self) -> Option<TlsPeer> {
        self.connection.tls().map(TlsPeer::from_wire)
    }

    /// The halves are asked for only when something is read or written: a check that only connects pays nothing.
    fn halves(&self) -> Result<&(InputStream, OutputStream), Cause> {
        if let Some(halves) = self.halves.get() {
            return Ok(halves);
        }
        let halves = self.connection.streams()?;
        Ok(self.halves.get_or_init(|| halves))
    }

    /// Waits for bytes; none is the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Cause> {
        let (input, _) = self.halves()?;
        let wanted = buffer.len().min(MAX_READ) as u64;
        loop {
            match input.blocking_read(wanted) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(bytes.as_slice().read(buffer).unwrap_or_default()),
                Err(StreamError::Closed) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a beginning of the bytes, and waits until it is sent.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Cause> {
        let now = bytes.get(..MAX_WRITE).unwrap_or(bytes);
        let (_, output) = self.halves()?;
        output.blocking_write_and_flush(now)?;
        Ok(now.len())
    }
}
