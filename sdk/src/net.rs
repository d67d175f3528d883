//! Why a connection could not be had, or broke: the typed error inside the `std::io::Error` of a [`Stream`].
//!
//! It knows the phase and the address, because "refused" alone helps nobody at night. It does not decide what that
//! means for the check; [`Error`](crate::Error) does.
//!
//! [`Stream`]: crate::Stream

use std::fmt;
use std::io;

use crate::error::{Root, root};

#[cfg(any(target_family = "wasm", test))]
use crate::bindings::vitald::check::net;
#[cfg(target_family = "wasm")]
use crate::bindings::wasi::io::streams::StreamError;

/// What was being done when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The host looked up the name and opened the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Waiting for bytes of the peer.
    Read,
    /// Sending bytes to the peer, or ending what we send.
    Write,
}

/// Why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The check has no grant for this host and port.
    Denied,
    /// The name does not exist, or has no address.
    NameNotFound,
    /// No resolver answered: this says nothing of the target.
    NameUnavailable,
    /// The host is there and the port is closed.
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// The peer broke the connection.
    Reset,
    /// The time of the operation, or of the run, was over.
    Timeout,
    /// The connection is closed.
    Closed,
    /// The TLS handshake failed, and why.
    Tls(String),
    /// The check has no target, or a target without an endpoint.
    NoTarget,
    /// More bytes came than the checker [allows](crate::Stream::limit).
    TooMuch,
    /// What may go over TLS only was to be sent [without](crate::Stream::withhold).
    Withheld,
    /// Anything else, in the host's words.
    Other(String),
}

/// A failed operation on a connection. It prints as one line: `connect 10.0.0.9:5432: refused`.
///
/// Every `std::io::Error` that a [`Stream`](crate::Stream) or a connect gives has one inside
/// ([`NetError::find`]).
#[derive(Clone, PartialEq, Eq)]
pub struct NetError {
    phase: Phase,
    address: String,
    cause: Cause,
}

impl NetError {
    pub(crate) fn new(phase: Phase, address: impl Into<String>, cause: Cause) -> Self {
        let address = address.into();
        #[cfg(not(target_family = "wasm"))]
        if cause == Cause::Timeout {
            crate::sys::stage::ran_out(&format!("{phase} {address}"));
        }
        Self { phase, address, cause }
    }

    /// The one that is behind an error of whatever crate, if there is one.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        match root(error) {
            Root::Net(known) => Some(known),
            _ => None,
        }
    }

    /// What was being done.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// `HOST:PORT`, as it was asked for; empty where there was no target.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Why it failed.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    fn kind(&self) -> io::ErrorKind {
        match (&self.cause, self.phase) {
            (Cause::Denied, _) => io::ErrorKind::PermissionDenied,
            (Cause::NameNotFound, _) => io::ErrorKind::NotFound,
            (Cause::Refused, _) => io::ErrorKind::ConnectionRefused,
            (Cause::Unreachable, _) => io::ErrorKind::HostUnreachable,
            (Cause::Reset, _) => io::ErrorKind::ConnectionReset,
            (Cause::Timeout, _) => io::ErrorKind::TimedOut,
            (Cause::Closed, Phase::Write) => io::ErrorKind::BrokenPipe,
            (Cause::Closed, _) => io::ErrorKind::UnexpectedEof,
            (Cause::NoTarget, _) => io::ErrorKind::InvalidInput,
            (Cause::TooMuch, _) => io::ErrorKind::InvalidData,
            (Cause::Withheld, _) => io::ErrorKind::PermissionDenied,
            (Cause::NameUnavailable | Cause::Tls(_) | Cause::Other(_), _) => io::ErrorKind::Other,
        }
    }
}

impl From<NetError> for io::Error {
    fn from(error: NetError) -> Self {
        io::Error::new(error.kind(), error)
    }
}

impl std::error::Error for NetError {}

impl fmt::Debug for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cause == Cause::NoTarget {
            return write!(f, "{}", self.cause);
        }
        write!(f, "{} {}: {}", self.phase, self.address, self.cause)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connect",
            Phase::Tls => "TLS with",
            Phase::Read => "read",
            Phase::Write => "write",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Denied => "denied",
            Cause::NameNotFound => "name not found",
            Cause::NameUnavailable => "no resolver answered",
            Cause::Refused => "refused",
            Cause::Unreachable => "unreachable",
            Cause::Reset => "connection reset",
            Cause::Timeout => "timeout",
            Cause::Closed => "connection closed",
            Cause::NoTarget => "the check has no target to connect to",
            Cause::TooMuch => "more came than the checker takes",
            Cause::Withheld => "what the server asks for goes over TLS only",
            Cause::Tls(why) | Cause::Other(why) => why,
        })
    }
}

#[cfg(any(target_family = "wasm", test))]
impl From<net::Error> for Cause {
    fn from(error: net::Error) -> Self {
        match error {
            net::Error::Denied => Cause::Denied,
            net::Error::NameNotFound => Cause::NameNotFound,
            net::Error::NameUnavailable => Cause::NameUnavailable,
            net::Error::Refused => Cause::Refused,
            net::Error::Unreachable => Cause::Unreachable,
            net::Error::Reset => Cause::Reset,
            net::Error::Timeout => Cause::Timeout,
            net::Error::Closed => Cause::Closed,
            net::Error::Tls(why) => Cause::Tls(why),
            net::Error::Other(why) => Cause::Other(why),
        }
    }
}

#[cfg(target_family = "wasm")]
impl From<StreamError> for Cause {
    /// Asks the host what a failed stream operation meant; a stream that it does not know speaks for itself.
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Cause::Closed,
            StreamError::LastOperationFailed(error) => match net::error_of(&error) {
                Some(known) => known.into(),
                None => Cause::Other(error.to_debug_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_phase_address_and_cause_on_one_line() {
        let refused = NetError::new(Phase::Connect, "10.0.0.9:5432", Cause::Refused);
        assert_eq!(refused.to_string(), "connect 10.0.0.9:5432: refused");
        let tls = NetError::new(Phase::Tls, "db:5432", Cause::Tls("certificate has expired".into()));
        assert_eq!(tls.to_string(), "TLS with db:5432: certificate has expired");
        let none = NetError::new(Phase::Connect, "", Cause::NoTarget);
        assert_eq!(none.to_string(), "the check has no target to connect to");
    }

    #[test]
    fn travels_inside_an_io_error_of_the_kind_that_callers_look_for() {
        let cases = [
            (Phase::Connect, net::Error::Refused, io::ErrorKind::ConnectionRefused),
            (Phase::Connect, net::Error::Denied, io::ErrorKind::PermissionDenied),
            (Phase::Connect, net::Error::Timeout, io::ErrorKind::TimedOut),
            (Phase::Read, net::Error::Closed, io::ErrorKind::UnexpectedEof),
            (Phase::Write, net::Error::Closed, io::ErrorKind::BrokenPipe),
            (Phase::Read, net::Error::Reset, io::ErrorKind::ConnectionReset),
        ];
        for (phase, cause, kind) in cases {
            let error = NetError::new(phase, "h:1", cause.into());
            let io = io::Error::from(error.clone());
            assert_eq!(io.kind(), kind);
            assert_eq!(NetError::find(&io), Some(&error));
        }
    }
}
