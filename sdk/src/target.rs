//! The target of a check, as the host parsed it.
//!
//! `scheme://[user[:password]@]host[:port][,host[:port]]...[/path][?query]`. The hosts and ports are the host's
//! (default ports filled in) and never parsed here a second time: what is granted and what is connected to must be the
//! same. The rest of the URL is split here, for the checker's own use. Splitting cannot fail; what is missing is empty.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::datagrams::Datagrams;
use crate::net::{Cause, NetError, Phase};
use crate::stream::{self, Stream, connect_to};
use crate::tls::{self, TlsOptions};

/// A host and a port. Prints as `HOST:PORT`, IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// A host and a port; `host` without brackets. A grant is still needed to connect to it.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// A name or an address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Opens a TCP connection to it.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `connect`.
    pub fn connect(&self) -> io::Result<Stream> {
        connect_to(&self.host, self.port)
    }

    /// [`connect`](Self::connect) that takes no longer than `limit`; without it a connect may take what the run has
    /// left. For checks that go on with the next endpoint.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `connect`; [`Cause::Timeout`] when the time is over.
    pub fn connect_within(&self, limit: Duration) -> io::Result<Stream> {
        stream::connect(&self.host, self.port, Some(limit))
    }

    /// Opens a socket for UDP to it.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `connect`: no grant, or a name that leads nowhere. Whether anybody listens there shows
    /// with the first answer.
    pub fn datagrams(&self) -> io::Result<Datagrams> {
        Datagrams::open(&self.host, self.port, self.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What to check. It has no credentials in its `Debug` form.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: String,
    endpoints: Vec<Endpoint>,
}

impl Target {
    /// The host makes the targets of runs; this is for a checker's own tests. Nothing is checked.
    pub fn new(url: impl Into<String>, endpoints: Vec<Endpoint>) -> Self {
        Self { url: url.into(), endpoints }
    }

    /// The whole URL, as the operator wrote it and with its credentials: nothing for a message. Empty where the check
    /// has no target.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `tcp` in `tcp://host:1`.
    pub fn scheme(&self) -> &str {
        self.url.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The host of the first endpoint: a name or an address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        self.endpoints.first().map_or("", Endpoint::host)
    }

    /// The port of the first endpoint; the scheme's default where the operator named none. 0 without a target.
    pub fn port(&self) -> u16 {
        self.endpoints.first().map_or(0, Endpoint::port)
    }

    /// Every host and port that the target names, in its order.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The user, percent-decoded; none where the target has none.
    pub fn user(&self) -> Option<String> {
        let (user, _) = self.userinfo()?;
        Some(percent_decode(user))
    }

    /// The password, percent-decoded; none where the target has none.
    pub fn password(&self) -> Option<String> {
        let (_, password) = self.userinfo()?;
        password.map(percent_decode)
    }

    /// The path as written, with its leading slash; empty where there is none.
    pub fn path(&self) -> &str {
        let rest = self.after_authority();
        rest.split_once('?').map_or(rest, |(path, _)| path)
    }

    /// What stands behind `?`, as written.
    pub fn query(&self) -> Option<&str> {
        self.after_authority().split_once('?').map(|(_, query)| query)
    }

    /// The first value of a key of the query, percent-decoded: `require` for `sslmode` in `?sslmode=require`.
    pub fn query_value(&self, key: &str) -> Option<String> {
        self.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The keys and values of the query, percent-decoded.
    pub(crate) fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        let pairs = self.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.map(|(key, value)| (percent_decode(key), percent_decode(value)))
    }

    /// Opens a connection to the first endpoint: TCP, and TLS upon it where the scheme says so (`https`, `rediss`, `tls`,
    /// `ldaps`, `imaps`, `smtps`, `amqps`, `mqtts` ...). The others are for protocols that know what to do with them:
    /// each [`Endpoint`] connects as well, without TLS.
    ///
    /// # Errors
    /// A [`NetError`] in the phase `connect` or `tls`.
    pub fn connect(&self) -> io::Result<Stream> {
        self.connect_with(TlsOptions::default())
    }

    /// Whether the scheme says that the target speaks TLS from the first byte.
    pub fn is_tls(&self) -> bool {
        tls::is_tls_scheme(self.scheme())
    }

    /// [`connect`](Self::connect) with a say in the handshake, if there is one.
    ///
    /// # Errors
    /// As `connect`.
    pub fn connect_with(&self, options: TlsOptions) -> io::Result<Stream> {
        let endpoint = self.endpoint()?;
        let mut stream = endpoint.connect()?;
        if self.is_tls() {
            stream.start_tls_with(options)?;
        }
        Ok(stream)
    }

    /// [`connect`](Self::connect) that takes no longer than `limit`, the handshake included; without it a connect may
    /// take what the run has left.
    ///
    /// # Errors
    /// As `connect`; [`Cause::Timeout`] when the time is over.
    pub fn connect_within(&self, limit: Duration) -> io::Result<Stream> {
        let begun = Instant::now();
        let mut stream = self.endpoint()?.connect_within(limit)?;
        if self.is_tls() {
            stream.start_tls_within(TlsOptions::default(), limit.saturating_sub(begun.elapsed()))?;
        }
        Ok(stream)
    }

    /// Opens a socket for UDP to the first endpoint.
    ///
    /// # Errors
    /// As [`Endpoint::datagrams`].
    pub fn datagrams(&self) -> io::Result<Datagrams> {
        self.endpoint()?.datagrams()
    }

    fn endpoint(&self) -> io::Result<&Endpoint> {
        self.endpoints.first().ok_or_else(|| NetError::new(Phase::Connect, "", Cause::NoTarget).into())
    }

    fn after_scheme(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, rest)| rest)
    }

    fn authority(&self) -> &str {
        let rest = self.after_scheme();
        rest.find(['/', '?']).and_then(|end| rest.get(..end)).unwrap_or(rest)
    }

    fn after_authority(&self) -> &str {
        let rest = self.after_scheme();
        rest.find(['/', '?']).and_then(|start| rest.get(start..)).unwrap_or("")
    }

    fn userinfo(&self) -> Option<(&str, Option<&str>)> {
        let (userinfo, _) = self.authority().rsplit_once('@')?;
        Some(match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (userinfo, None),
        })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("scheme", &self.scheme())
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

/// RFC 3986, section 2.1. A `%` without two hexadecimal digits stands for itself; what is no UTF-8 is replaced.
pub(crate) fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(nibble(*high) << 4 | nibble(*low));
                after
            }
            [byte, after @ ..] => {
                decoded.push(*byte);
                after
            }
        };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(url, vec![Endpoint::new("db", 5432), Endpoint::new("::1", 1)])
    }

    #[test]
    fn splits_a_whole_url() {
        let target = target("postgres://health:p%40ss%2Fw@db,[::1]:1/orders?sslmode=require&a=%20b&flag");
        assert_eq!(target.scheme(), "postgres");
        assert_eq!(target.user().as_deref(), Some("health"));
        assert_eq!(target.password().as_deref(), Some("p@ss/w"));
        assert_eq!((target.host(), target.port()), ("db", 5432));
        assert_eq!(target.endpoints()[1].to_string(), "[::1]:1");
        assert_eq!(target.path(), "/orders");
        assert_eq!(target.query(), Some("sslmode=require&a=%20b&flag"));
        assert_eq!(target.query_value("sslmode").as_deref(), Some("require"));
        assert_eq!(target.query_value("a").as_deref(), Some(" b"));
        assert_eq!(target.query_value("flag").as_deref(), Some(""));
        assert_eq!(target.query_value("none"), None);
    }

    #[test]
    fn what_is_missing_is_empty() {
        let bare = target("tcp://db:1");
        assert_eq!((bare.path(), bare.query()), ("", None));
        assert_eq!((bare.user(), bare.password()), (None, None));
        let query = target("redis://only-user@db?x=1");
        assert_eq!((query.path(), query.query()), ("", Some("x=1")));
        assert_eq!(query.user().as_deref(), Some("only-user"));
        assert_eq!(query.password(), None);
        assert_eq!(target("redis://:pw@db").password().as_deref(), Some("pw"));
    }

    #[test]
    fn no_target_has_nothing_and_connects_to_nothing() {
        let none = Target::new("", Vec::new());
        assert_eq!((none.scheme(), none.host(), none.port(), none.path()), ("", "", 0, ""));
        let error = none.connect().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_at_sign_in_the_path_is_no_user() {
        assert_eq!(target("http://db/@me?u=a@b").user(), None);
    }

    #[test]
    fn debug_shows_no_credentials() {
        let shown = format!("{:?}", target("redis://me:secret@db/secret?secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn percent_signs_that_decode_to_nothing_stay() {
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
        assert_eq!(percent_decode("%C3%a9"), "é");
        assert_eq!(percent_decode("%ff"), "\u{fffd}");
    }
}
