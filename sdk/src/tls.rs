//! What a checker may ask of a TLS handshake, and what it learns of the peer. The handshake itself, the roots, the
//! client certificate and its key are the host's: the operator sets them with `tls` in the check.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(target_family = "wasm")]
use crate::bindings::vitald::check::net;

/// Schemes whose ports speak TLS from the first byte, as IANA has them registered or clients commonly write them.
const SCHEMES: [&str; 12] =
    ["https", "wss", "tls", "rediss", "ldaps", "imaps", "pop3s", "smtps", "amqps", "mqtts", "nntps", "ftps"];

pub(crate) fn is_tls_scheme(scheme: &str) -> bool {
    SCHEMES.contains(&scheme)
}

/// How to shake hands; the default verifies the peer against the name that was connected to.
///
/// What the operator sets in the check's `tls` comes first: a `server_name` there replaces the one here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    server_name: Option<String>,
    alpn: Vec<String>,
    inspect_only: bool,
}

impl TlsOptions {
    /// The default: see [`TlsOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The name to ask for and to verify.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Application protocols to offer, most wanted first: `["h2", "http/1.1"]`. At most 16.
    #[must_use]
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: Into<String>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Finish the handshake with a peer that does not verify, to look at its certificates. Such a connection carries no
    /// data: reads and writes fail.
    #[must_use]
    pub fn inspect_only(mut self) -> Self {
        self.inspect_only = true;
        self
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_wire(self) -> net::TlsOptions {
        net::TlsOptions {
            server_name: self.server_name,
            alpn: self.alpn,
            inspect_only: self.inspect_only,
            attributes: Vec::new(),
        }
    }
}

/// What the peer showed in the handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsPeer {
    /// `TLSv1.3`
    pub version: String,
    /// As IANA names it: `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The application protocol that the peer chose.
    pub alpn: Option<String>,
    /// The chain that the peer sent, DER, its own certificate first.
    pub certificates: Vec<Vec<u8>>,
    /// Why the chain does not verify; none where it does.
    pub verify_error: Option<String>,
    attributes: Vec<(String, String)>,
}

impl TlsPeer {
    #[cfg(target_family = "wasm")]
    pub(crate) fn from_wire(peer: net::TlsPeer) -> Self {
        let net::TlsPeer { version, cipher, alpn, certificates, verify_error, attributes } = peer;
        Self { version, cipher, alpn, certificates, verify_error, attributes }
    }

    /// Whom the peer's own certificate names, as in `CN=db.internal`; none where it cannot be read.
    pub fn subject(&self) -> Option<&str> {
        self.attribute("subject")
    }

    /// Who signed the peer's own certificate.
    pub fn issuer(&self) -> Option<&str> {
        self.attribute("issuer")
    }

    /// The end of the peer's own certificate; none where it cannot be read.
    pub fn not_after(&self) -> Option<SystemTime> {
        let seconds = self.attribute("not-after")?.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    #[expect(clippy::disallowed_methods, reason = "a guest has no other clock than WASI's")]
    fn now() -> SystemTime {
        SystemTime::now()
    }

    /// How long the peer's own certificate is still valid, in seconds; negative once it has expired. None where it
    /// cannot be read.
    pub fn seconds_left(&self) -> Option<f64> {
        let end = self.not_after()?;
        Some(match end.duration_since(Self::now()) {
            Ok(left) => left.as_secs_f64(),
            Err(past) => -past.duration().as_secs_f64(),
        })
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_certificate() {
        let with = |attributes: &[(&str, String)]| TlsPeer {
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            ..TlsPeer::default()
        };
        let now = TlsPeer::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let soon = with(&[("not-after", (now + 3600).to_string()), ("subject", "CN=db".into())]);
        let left = soon.seconds_left().unwrap();
        assert!((3590.0..=3600.0).contains(&left), "{left}");
        assert_eq!(soon.subject(), Some("CN=db"));
        assert!(with(&[("not-after", (now - 60).to_string())]).seconds_left().unwrap() <= -60.0);
        assert_eq!(with(&[("not-after", "never".into())]).seconds_left(), None);
        assert_eq!(with(&[]).not_after(), None);
    }

    #[test]
    fn schemes_that_speak_tls_at_once() {
        assert!(is_tls_scheme("https") && is_tls_scheme("rediss"));
        assert!(!is_tls_scheme("http") && !is_tls_scheme("postgres") && !is_tls_scheme(""));
    }
}
