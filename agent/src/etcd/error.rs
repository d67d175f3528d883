//! What goes wrong with etcd, sorted by what can be done about it.

use std::time::Duration;

use tonic::{Code, Status};

use crate::tls::TlsError;

/// What sort of failure it is; the first are those that wait for a person. Also the `reason` of
/// `vitald_registry_errors_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// User, password or client certificate are refused.
    Credentials,
    /// The operator's certificate files, or a peer that does not verify.
    Tls,
    /// The user may not do this.
    Permission,
    /// etcd's database is full (the alarm NOSPACE).
    Space,
    /// The lease is gone.
    Lease,
    /// The token has expired; a new client gets another.
    Token,
    /// The cluster, or this member, has no leader.
    NoLeader,
    /// etcd has more to do than it can.
    Busy,
    /// Nobody answers, or not in time.
    Unreachable,
    Other,
}

impl Kind {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Tls => "tls",
            Self::Permission => "permission",
            Self::Space => "space",
            Self::Lease => "lease",
            Self::Token => "token",
            Self::NoLeader => "no-leader",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Other => "other",
        }
    }
}

/// Of a server's words, in characters.
const LONGEST: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    #[error("{doing}: {}", words(status))]
    Refused { doing: &'static str, status: Status },
    #[error("{doing}: no answer within {} ms", within.as_millis())]
    Slow { doing: &'static str, within: Duration },
    #[error("connect: {0}")]
    Connect(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("TLS handshake: {0}")]
    Handshake(String),
    #[error("{doing}: the stream was closed")]
    Closed { doing: &'static str },
    #[error("{doing}: {text}")]
    Other { doing: &'static str, text: String },
}

impl EtcdError {
    pub fn from_client(doing: &'static str, error: etcd_client::Error) -> Self {
        match error {
            etcd_client::Error::GRpcStatus(status) => Self::Refused { doing, status },
            etcd_client::Error::WatchError(text) if text.contains("closed") => Self::Closed { doing },
            other => Self::Other { doing, text: harmless(&other.to_string()) },
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused { status, .. } => kind_of(status),
            Self::Slow { .. } | Self::Connect(_) | Self::Closed { .. } => Kind::Unreachable,
            Self::Tls(_) | Self::Handshake(_) => Kind::Tls,
            Self::Other { .. } => Kind::Other,
        }
    }
}

impl EtcdError {
    /// Would etcd say the same of this request for ever, and take others?
    pub fn is_of_the_request(&self) -> bool {
        use Code::{FailedPrecondition, InvalidArgument, OutOfRange, ResourceExhausted};
        match self {
            Self::Refused { status, .. } => {
                let code =
                    matches!(status.code(), FailedPrecondition | InvalidArgument | OutOfRange | ResourceExhausted);
                code && self.kind() == Kind::Other
            }
            _ => false,
        }
    }
}

/// etcd's own texts are stable parts of its API: `api/v3rpc/rpctypes/error.go` in etcd's repository. Codes alone do
/// not tell a full database from a busy one, nor a wrong password from a wrong request.
fn kind_of(status: &Status) -> Kind {
    let text = status.message();
    let says = |part: &str| text.contains(part);
    match status.code() {
        _ if says("database space exceeded") => Kind::Space,
        _ if says("requested lease not found") => Kind::Lease,
        _ if says("authentication failed") || says("user name is empty") || says("user name not found") => {
            Kind::Credentials
        }
        _ if says("invalid auth token") || says("revision of auth store is old") => Kind::Token,
        _ if says("no leader") || says("leader changed") || says("not leader") => Kind::NoLeader,
        _ if says("too many requests") => Kind::Busy,
        Code::Unauthenticated => Kind::Token,
        Code::PermissionDenied => Kind::Permission,
        // etcd's "request timed out" is what a member without quorum says.
        Code::Unavailable if says("timed out") => Kind::NoLeader,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => Kind::Unreachable,
        _ => Kind::Other,
    }
}

/// What etcd said, and what to do about it where that is known.
fn words(status: &Status) -> String {
    let text = status.message();
    let text = text.strip_prefix("etcdserver: ").unwrap_or(text);
    let advice = match kind_of(status) {
        Kind::Credentials if text.contains("user name is empty") => {
            "; etcd wants a user: set username and password in [registry], or mend them"
        }
        Kind::Credentials => "; look at username and password in [registry]",
        Kind::Permission => "; the user lacks a permission: the README has the lines that grant it",
        Kind::Space => "; compact and defragment etcd, then `etcdctl alarm disarm`",
        _ => "",
    };
    let text = if text.is_empty() { "no reason was given" } else { text };
    format!("{} ({}){advice}", harmless(text), status.code())
}

/// A server's words end in logs and terminals: nothing in them steers those, nor fills them.
fn harmless(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_steer_no_terminal() {
        let status = Status::new(Code::Internal, format!("\u{1b}]0;pwned\u{7}\n{}", "x".repeat(5000)));
        let text = EtcdError::Refused { doing: "put", status }.to_string();
        assert!(!text.contains(char::is_control) && text.contains("pwned") && text.len() < 1200, "{text:?}");
    }

    #[test]
    fn kinds_and_words() {
        let cases = [
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", Kind::Space, "alarm disarm"),
            (Code::ResourceExhausted, "etcdserver: too many requests", Kind::Busy, "too many requests"),
            (Code::NotFound, "etcdserver: requested lease not found", Kind::Lease, "not found"),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                Kind::Credentials,
                "username and password",
            ),
            (Code::InvalidArgument, "etcdserver: user name is empty", Kind::Credentials, "etcd wants a user"),
            (Code::Unauthenticated, "etcdserver: invalid auth token", Kind::Token, "token"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old", Kind::Token, "old"),
            (Code::PermissionDenied, "etcdserver: permission denied", Kind::Permission, "lacks a permission"),
            (Code::Unavailable, "etcdserver: no leader", Kind::NoLeader, "no leader"),
            (Code::Unavailable, "etcdserver: request timed out", Kind::NoLeader, "timed out"),
            (Code::Unavailable, "tcp connect error", Kind::Unreachable, "connect"),
            (Code::Internal, "", Kind::Other, "no reason"),
        ];
        for (code, text, kind, says) in cases {
            let error = EtcdError::Refused { doing: "put", status: Status::new(code, text) };
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_told_from_what_is_wrong_with_etcd() {
        let cases = [
            (Code::InvalidArgument, "etcdserver: request is too large", true),
            (Code::ResourceExhausted, "grpc: received message larger than max (3000000 vs. 2097152)", true),
            (Code::ResourceExhausted, "etcdserver: too many requests", false),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", false),
            (Code::Unavailable, "etcdserver: request timed out", false),
            (Code::Internal, "etcdserver: internal", false),
            (Code::DataLoss, "etcdserver: corrupt cluster", false),
        ];
        for (code, text, expected) in cases {
            let error = EtcdError::Refused { doing: "put", status: Status::new(code, text) };
            assert_eq!(error.is_of_the_request(), expected, "{text}");
        }
    }
}
