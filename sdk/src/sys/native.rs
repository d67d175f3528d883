//! Natively, in a checker's own tests: sockets of this machine, under the [`stage`] that a trial has set.
//!
//! Each failure has the same cause as the host would give. TLS is the host's part (its roots, its client certificate), so
//! there is none here, and the error says so.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::Cause;
use crate::stream::Timings;
use crate::tls::{TlsOptions, TlsPeer};

mod datagrams;
pub(crate) mod stage;
#[cfg(feature = "tokio")]
mod waits;

pub(crate) use self::datagrams::Socket;
pub(crate) use self::stage::{log, samples};
#[cfg(feature = "tokio")]
pub(crate) use self::waits::{Interest, wait};

const NO_TLS: &str = "TLS is done by the host of a plugin, and a native test has none: test with a plain target, and the \
                      plugin itself with `vitald try`";

pub(crate) struct Connection {
    /// Shared with what waits for it.
    stream: Arc<TcpStream>,
    timings: Timings,
}

impl Connection {
    pub(crate) fn connect(host: &str, port: u16, limit: Option<Duration>) -> Result<Self, Cause> {
        let begun = Instant::now();
        in_time()?;
        let addresses = addresses(host, port)?;
        let resolved = begun.elapsed();
        let mut failed = Cause::NameNotFound;
        for address in addresses {
            let Some(left) = left(begun, limit) else { return Err(Cause::Timeout) };
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    // A check sends small messages and waits for the answer.
                    let _ = stream.set_nodelay(true);
                    let connect = Some(begun.elapsed().saturating_sub(resolved));
                    let timings = Timings { resolve: Some(resolved), connect, tls: None };
                    return Ok(Self { stream: Arc::new(stream), timings });
                }
                Err(error) => failed = cause(&error),
            }
        }
        Err(failed)
    }

    pub(crate) fn address(&self) -> String {
        self.stream.peer_addr().map_or_else(|_| String::new(), |address| address.to_string())
    }

    pub(crate) fn timings(&self) -> Timings {
        self.timings
    }

    pub(crate) fn shutdown(&self) -> Result<(), Cause> {
        in_time()?;
        self.stream.shutdown(std::net::Shutdown::Write).map_err(|error| cause(&error))
    }

    pub(crate) fn start_tls(&mut self, _options: TlsOptions, _limit: Option<Duration>) -> Result<(), Cause> {
        in_time()?;
        Err(Cause::Other(NO_TLS.into()))
    }

    pub(crate) fn tls(&self) -> Option<TlsPeer> {
        None
    }

    /// Waits for bytes, no longer than the run may take; none is the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Cause> {
        patiently(|| {
            self.stream.set_read_timeout(Some(stage::left()?))?;
            (&*self.stream).read(buffer)
        })
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Cause> {
        patiently(|| {
            self.stream.set_write_timeout(Some(stage::left()?))?;
            (&*self.stream).write(bytes)
        })
    }
}

/// Does it over where a signal broke in.
fn patiently<T>(mut operation: impl FnMut() -> io::Result<T>) -> Result<T, Cause> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map_err(|error| cause(&error)),
        }
    }
}

/// An operation that is no socket's, or whose socket does not wait, begins in time or not at all.
fn in_time() -> Result<(), Cause> {
    stage::left().map(drop).map_err(|error| cause(&error))
}

/// What is left of an operation's own limit and of the run; none where that is over.
fn left(begun: Instant, limit: Option<Duration>) -> Option<Duration> {
    let of_run = stage::left().ok()?;
    let left = limit.map_or(of_run, |limit| of_run.min(limit.saturating_sub(begun.elapsed())));
    (!left.is_zero()).then_some(left)
}

fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|_| Cause::NameNotFound)?.collect();
    if found.is_empty() { Err(Cause::NameNotFound) } else { Ok(found) }
}

/// What the host would say of it.
fn cause(error: &io::Error) -> Cause {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Cause::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Cause::Reset,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => Cause::Unreachable,
        // A socket whose time is over says that it would block.
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Cause::Timeout,
        ErrorKind::BrokenPipe | ErrorKind::NotConnected => Cause::Closed,
        _ => Cause::Other(error.to_string()),
    }
}
