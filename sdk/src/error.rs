//! What a checker gives back when it cannot go on, and the one place that decides whether that is the target's fault.
//!
//! The conversion itself never fails and never hides the reason. Messages are one line.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::bindings::vitald::check::types;
use crate::contact;
use crate::net::{Cause, NetError, Phase};

/// The result of a checker and of what it calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run stopped early: the target is down, or the run could not judge it.
///
/// Like `anyhow::Error` it is made from any error by `?`, and therefore is no `std::error::Error` itself.
/// What `?` makes of an error depends on what failed and on what the target has said so far:
///
/// | what failed | becomes |
/// |---|---|
/// | an operation on a connection: refused, reset, closed, timeout, unreachable, no such name, TLS | `down` |
/// | anything, after the target's first byte or its end of the connection | `down` |
/// | a connection that the operator did not grant | `error::denied` |
/// | no resolver answered | `error::other("resolver: ...")` |
/// | a target that the checker needs and the check does not have | `error::invalid-params` |
/// | a connection that the host could not open for a reason that it cannot name | `error::other` |
/// | anything else before contact | `error::internal` |
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    verdict: Verdict,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Down,
    InvalidParams,
    Denied,
    Internal,
    Other,
}

impl Error {
    /// The target is down: what `Ok(down(message))` says, for helpers that are called with `?`.
    pub fn down(message: impl AsRef<str>) -> Self {
        Self::new(Verdict::Down, message.as_ref())
    }

    /// The parameters or the target make no sense; running again cannot help.
    pub fn invalid_params(reason: impl AsRef<str>) -> Self {
        Self::new(Verdict::InvalidParams, reason.as_ref())
    }

    /// The host refused something that the checker needs.
    pub fn denied(reason: impl AsRef<str>) -> Self {
        Self::new(Verdict::Denied, reason.as_ref())
    }

    /// A fault of the checker itself: it could not judge.
    pub fn internal(reason: impl AsRef<str>) -> Self {
        Self::new(Verdict::Internal, reason.as_ref())
    }

    pub(crate) fn other(reason: impl AsRef<str>) -> Self {
        Self::new(Verdict::Other, reason.as_ref())
    }

    /// The reason, one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether it says that the target is down. Otherwise the run could not judge.
    pub fn is_down(&self) -> bool {
        self.verdict == Verdict::Down
    }

    fn new(verdict: Verdict, message: &str) -> Self {
        Self { verdict, message: one_line(message) }
    }

    /// The message of a target that is down, or the error for the host.
    pub(crate) fn into_wire(self) -> std::result::Result<String, types::Error> {
        match self.verdict {
            Verdict::Down => Ok(self.message),
            Verdict::InvalidParams => Err(types::Error::InvalidParams(self.message)),
            Verdict::Denied => Err(types::Error::Denied(self.message)),
            Verdict::Internal => Err(types::Error::Internal(self.message)),
            Verdict::Other => Err(types::Error::Other(self.message)),
        }
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        judge(&error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.verdict, self.message)
    }
}

fn judge(error: &(dyn StdError + 'static)) -> Error {
    let kind = match root(error) {
        Root::Net(known) => return judge_net(known),
        Root::Io(io) => Some(io.kind()),
        Root::Unknown => None,
    };
    if kind == Some(io::ErrorKind::UnexpectedEof)
        && let Some(peer) = contact::last_ended()
    {
        return Error::down(NetError::new(Phase::Read, peer, Cause::Closed).to_string());
    }
    let message = with_sources(error);
    match kind {
        _ if contact::was_heard() => Error::down(message),
        Some(kind) if is_of_the_network(kind) => Error::down(message),
        Some(io::ErrorKind::PermissionDenied) => Error::denied(message),
        _ => Error::internal(message),
    }
}

fn judge_net(error: &NetError) -> Error {
    let message = error.to_string();
    match (error.cause(), error.phase()) {
        (Cause::Denied, _) => Error::denied(message),
        (Cause::NameUnavailable, _) => Error::other(format!("resolver: {message}")),
        (Cause::NoTarget, _) => Error::invalid_params(message),
        // Nothing is known of the target: the host had no socket, or offers no TLS.
        (Cause::Other(_), Phase::Connect | Phase::Tls) => Error::other(message),
        _ => Error::down(message),
    }
}

/// Kinds that only a network gives, for crates that bring their own sockets.
fn is_of_the_network(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable,
        NotConnected, TimedOut,
    };
    matches!(
        kind,
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
            | NotConnected
            | TimedOut
    )
}

type Shared = Arc<dyn StdError + Send + Sync>;

/// What is inside the `Arc` that crates whose errors are `Clone` put around an error.
fn unshared<'a>(link: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    if let Some(shared) = link.downcast_ref::<Shared>() {
        return shared.as_ref();
    }
    match link.downcast_ref::<Arc<io::Error>>() {
        Some(shared) => shared.as_ref(),
        None => link,
    }
}

/// What an error and its sources come from.
pub(crate) enum Root<'a> {
    Net(&'a NetError),
    Io(&'a io::Error),
    Unknown,
}

/// `io::Error::source` skips the error that it carries, so that is looked into by hand.
pub(crate) fn root<'a>(error: &'a (dyn StdError + 'static)) -> Root<'a> {
    let mut found = Root::Unknown;
    let mut next = Some(error);
    while let Some(link) = next {
        let link = unshared(link);
        if let Some(known) = link.downcast_ref() {
            return Root::Net(known);
        }
        let io = link.downcast_ref::<io::Error>();
        if let (Some(io), Root::Unknown) = (io, &found) {
            found = Root::Io(io);
        }
        next = match io.and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => link.source(),
        };
    }
    found
}

/// The error and its sources, without those that it already ends with.
fn with_sources(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = source.source();
    }
    text
}

/// Long enough for a reason, short enough for a pager.
const MAX_MESSAGE: usize = 300;

/// One line without control characters, cut where it gets too long.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_control() || c == ' ') {
        if !line.is_empty() && !word.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.len() > MAX_MESSAGE {
        line.truncate(line.floor_char_boundary(MAX_MESSAGE));
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapper<E>(E);
    impl<E: fmt::Debug> fmt::Display for Wrapper<E> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the library failed")
        }
    }
    impl<E: StdError + 'static> StdError for Wrapper<E> {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    fn net(phase: Phase, cause: Cause) -> io::Error {
        NetError::new(phase, "db:1", cause).into()
    }

    fn judged(error: impl StdError + 'static) -> (Verdict, String) {
        let Error { verdict, message } = error.into();
        (verdict, message)
    }

    fn not_a_number() -> std::num::ParseIntError {
        "x".parse::<u8>().unwrap_err()
    }

    #[test]
    fn failed_connections_are_judged_by_their_cause() {
        contact::reset();
        let cases = [
            (Cause::Refused, Verdict::Down, "connect db:1: refused"),
            (Cause::Reset, Verdict::Down, "connect db:1: connection reset"),
            (Cause::Timeout, Verdict::Down, "connect db:1: timeout"),
            (Cause::Unreachable, Verdict::Down, "connect db:1: unreachable"),
            (Cause::NameNotFound, Verdict::Down, "connect db:1: name not found"),
            (Cause::Denied, Verdict::Denied, "connect db:1: denied"),
            (Cause::NoTarget, Verdict::InvalidParams, "the check has no target to connect to"),
            (Cause::NameUnavailable, Verdict::Other, "resolver: connect db:1: no resolver answered"),
            (Cause::Other("too many open files".into()), Verdict::Other, "connect db:1: too many open files"),
        ];
        for (cause, verdict, message) in cases {
            assert_eq!(judged(net(Phase::Connect, cause)), (verdict, message.to_owned()));
        }
    }

    #[test]
    fn a_broken_connection_is_down_whatever_broke_it() {
        contact::reset();
        let read = net(Phase::Read, Cause::Other("strange".into()));
        assert_eq!(judged(read), (Verdict::Down, "read db:1: strange".into()));
        assert_eq!(judged(net(Phase::Write, Cause::Closed)).0, Verdict::Down);
    }

    #[test]
    fn the_reason_is_found_inside_other_errors() {
        contact::reset();
        let refused = || net(Phase::Connect, Cause::Refused);
        assert_eq!(judged(Wrapper(refused())).1, "connect db:1: refused");
        assert_eq!(judged(Wrapper(Arc::new(refused()))).1, "connect db:1: refused");
        let shared: Shared = Arc::new(refused());
        assert_eq!(judged(Wrapper(shared)).1, "connect db:1: refused");
        let nested = io::Error::other(Wrapper(refused()));
        assert_eq!(judged(nested), (Verdict::Down, "connect db:1: refused".into()));
    }

    #[test]
    fn before_contact_other_errors_are_the_checkers() {
        contact::reset();
        assert_eq!(judged(not_a_number()).0, Verdict::Internal);
        assert_eq!(judged(io::Error::from(io::ErrorKind::UnexpectedEof)).0, Verdict::Internal);
        assert_eq!(judged(io::Error::from(io::ErrorKind::PermissionDenied)).0, Verdict::Denied);
        assert_eq!(judged(io::Error::from(io::ErrorKind::ConnectionRefused)).0, Verdict::Down);
        let wrapped = judged(Wrapper(not_a_number()));
        assert_eq!(wrapped.1, "the library failed: invalid digit found in string");
    }

    #[test]
    fn after_the_first_byte_they_are_the_targets() {
        contact::reset();
        contact::heard();
        assert_eq!(judged(not_a_number()), (Verdict::Down, "invalid digit found in string".into()));
        assert_eq!(judged(net(Phase::Connect, Cause::Denied)).0, Verdict::Denied);
        contact::reset();
        assert_eq!(judged(not_a_number()).0, Verdict::Internal);
    }

    #[test]
    fn an_early_end_names_who_ended() {
        contact::reset();
        contact::ended("db:1");
        let early = judged(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!(early, (Verdict::Down, "read db:1: connection closed".into()));
        contact::reset();
    }

    #[test]
    fn messages_are_one_short_line() {
        assert_eq!(Error::internal(" a\r\n\tb  c\u{7} ").message(), "a b c");
        let long = Error::internal("é".repeat(400));
        assert!(long.message().len() <= MAX_MESSAGE + 3 && long.message().ends_with("..."));
    }
}
