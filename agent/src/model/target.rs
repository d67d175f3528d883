//! What is checked: `scheme://[user[:password]@]host[:port][,host[:port]]...[/path][?query]`, parsed once, by the host.
//!
//! Hosts and ports come from the text as the operator wrote it, before secrets are put in: a secret can never move a
//! grant. Default ports are the checker's to know, so they are filled in later.

use std::fmt;

use super::grant::Host;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A parsed target. `Display` hides the user's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    written: String,
    resolved: String,
    scheme: String,
    hosts: Vec<(Host, Option<u16>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("it has no scheme; write SCHEME://HOST:PORT")]
    Scheme,
    #[error("a /, ? or # in its user or password must be percent-encoded")]
    Userinfo,
    #[error("{0:?} is no host name or address")]
    Host(String),
    #[error("{0:?} is no port")]
    Port(String),
    #[error("a secret cannot stand in the host or the port: grants come from what is written")]
    SecretHost,
}

impl Target {
    pub fn parse(written: &str) -> Result<Self, InvalidTarget> {
        let (scheme, rest) = written.split_once("://").ok_or(InvalidTarget::Scheme)?;
        let scheme_fits = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if scheme.is_empty() || !scheme_fits(scheme) {
            return Err(InvalidTarget::Scheme);
        }
        let Authority { hosts, after, .. } = split_authority(rest);
        if hosts.contains("${") {
            return Err(InvalidTarget::SecretHost);
        }
        let hosts = hosts.split(',').map(parse_host).collect::<Result<_, _>>().map_err(|error| {
            // What seems to be a host may be a piece of a password, which is not to be quoted.
            if after.contains('@') { InvalidTarget::Userinfo } else { error }
        })?;
        Ok(Self {
            written: written.to_owned(),
            resolved: written.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            hosts,
        })
    }

    /// The same target with the secrets put in.
    pub fn with_secrets(self, resolved: String) -> Self {
        Self { resolved, ..self }
    }

    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// As the checker gets it, secrets included.
    pub fn url(&self) -> &str {
        &self.resolved
    }

    /// The password in the resolved text, as it stands there: still percent-encoded, which a checker does not see.
    pub fn password(&self) -> Option<&str> {
        let rest = self.resolved.split_once("://")?.1;
        split_authority(rest).user?.split_once(':').map(|(_, password)| password)
    }

    /// The endpoints in their order, `default` where none is written; the host without a port where there is neither.
    pub fn endpoints(&self, default: Option<u16>) -> Result<Vec<Endpoint>, Host> {
        let fill = |(host, port): &(Host, Option<u16>)| {
            port.or(default).map(|port| Endpoint { host: host.clone(), port }).ok_or_else(|| host.clone())
        };
        self.hosts.iter().map(fill).collect()
    }
}

/// What follows `://`.
struct Authority<'a> {
    user: Option<&'a str>,
    hosts: &'a str,
    /// Path, query and fragment.
    after: &'a str,
}

/// The userinfo ends at the last `@` before the path.
fn split_authority(rest: &str) -> Authority<'_> {
    let end = find_outside(rest, &['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((user, hosts)) => Authority { user: Some(user), hosts, after },
        None => Authority { user: None, hosts: authority, after },
    }
}

/// The first of these characters outside of placeholders, which may hold anything.
fn find_outside(text: &str, wanted: &[char]) -> Option<usize> {
    let mut from = 0;
    loop {
        let tail = text.get(from..)?;
        let found = tail.find(wanted);
        let open = tail.find("${").filter(|open| found.is_none_or(|found| *open < found));
        let close = open.and_then(|open| Some(open + tail.get(open..)?.find('}')? + 1));
        match close {
            Some(close) => from += close,
            None => return found.map(|found| from + found),
        }
    }
}

fn parse_host(text: &str) -> Result<(Host, Option<u16>), InvalidTarget> {
    let after_bracket = text.rfind(']').map_or(0, |at| at + 1);
    let colon = text.get(after_bracket..).and_then(|tail| tail.rfind(':')).map(|at| at + after_bracket);
    let (host, port) = match colon {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let bad_host = || InvalidTarget::Host(host.to_owned());
    // An IPv6 address needs its brackets here, or its last group would pass for a port.
    if host.contains(':') && !host.starts_with('[') {
        return Err(InvalidTarget::Host(text.to_owned()));
    }
    let host = Host::parse(host).ok_or_else(bad_host)?;
    let port = match port {
        None => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(InvalidTarget::Port(text.to_owned())),
        },
    };
    Ok((host, port))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.written.split_once("://") else { return f.write_str(&self.written) };
        match split_authority(rest).user {
            Some(user) => {
                let colon = find_outside(user, &[':']);
                let name = user.get(..colon.unwrap_or(user.len())).unwrap_or_default();
                let shown = rest.get(user.len()..).unwrap_or_default();
                let secret = if colon.is_some() { ":***" } else { "" };
                write!(f, "{scheme}://{name}{secret}{shown}")
            }
            None => f.write_str(&self.written),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_and_what_is_shown() {
        let cases = [
            ("tcp://db:5432", None, "db:5432", "tcp://db:5432"),
            ("redis://h", Some(6379), "h:6379", "redis://h"),
            ("postgres://u:p@a:1,b:2/db?x=1", None, "a:1 b:2", "postgres://u:***@a:1,b:2/db?x=1"),
            ("postgres://u:${file:x}@a/db", Some(5432), "a:5432", "postgres://u:***@a/db"),
            ("http://[::1]:80/${env:P}", None, "[::1]:80", "http://[::1]:80/${env:P}"),
            ("http://u:p/w@h:80/x", None, "", ""),
            ("http://10.0.0.1/a@b", Some(80), "10.0.0.1:80", "http://10.0.0.1/a@b"),
            ("redis://${env:T}@h", Some(6379), "h:6379", "redis://${env:T}@h"),
            ("redis://${env:U}:${env:T}@h:1", None, "h:1", "redis://${env:U}:***@h:1"),
            ("redis://:${env:K}@h:7391/3?x=${env:K}", None, "h:7391", "redis://:***@h:7391/3?x=${env:K}"),
            ("redis://h:7391/${env:A}/${env:K}?x", None, "h:7391", "redis://h:7391/${env:A}/${env:K}?x"),
        ];
        for (text, default, endpoints, shown) in cases {
            let Ok(target) = Target::parse(text) else {
                assert_eq!(endpoints, "", "{text}");
                continue;
            };
            let found = target.endpoints(default).expect(text);
            let found = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            assert_eq!(found, endpoints, "{text}");
            assert_eq!(target.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn wrong_targets() {
        for text in [
            "db:5432",
            "://x",
            "tcp://",
            "tcp://a:b",
            "tcp://a:0",
            "tcp://::1:80",
            "tcp://[db]:80",
            "tcp://${env:H}:80",
            "t p://a",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        assert_eq!(Target::parse("tcp://h").expect("parses").endpoints(None), Err(Host::Name("h".into())));
    }

    #[test]
    fn no_piece_of_a_password_is_quoted() {
        for text in ["http://u:pass/word@h:80/x", "http://u:pass?word@h", "http://:pass/@h"] {
            let error = Target::parse(text).expect_err(text);
            assert_eq!(error, InvalidTarget::Userinfo, "{text}");
        }
    }

    #[test]
    fn a_wrong_port_is_no_wrong_password() {
        for text in ["redis://:pw@h:99999/0", "redis://u:p%40w@h:x?y=1", "redis://u@h:0/"] {
            assert!(matches!(Target::parse(text), Err(InvalidTarget::Port(_))), "{text}");
        }
    }

    #[test]
    fn a_password_is_found_after_substitution() {
        let target = Target::parse("redis://:${file:r}@h").expect("parses").with_secrets("redis://:s3cret@h".into());
        assert_eq!(target.password(), Some("s3cret"));
        assert_eq!(target.to_string(), "redis://:***@h");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:/@?\\[\\]${},.0-9]{0,40}") {
            if let Ok(target) = Target::parse(&text) {
                let _ = target.to_string();
                let _ = target.password();
                let _ = target.endpoints(Some(1));
            }
        }

        #[test]
        fn no_password_is_ever_shown(
            user in "[a-z0-9%._-]{0,8}", password in "S3cret[A-Za-z0-9!$&'()*+,;=:@%\\[\\]{}.~_-]{0,16}",
            hosts in "h(:[1-9]{1,4})?(,\\[::1\\]:80)?", rest in "(/[a-z@:]{0,8})?(\\?[a-z=@:]{0,8})?",
        ) {
            let text = format!("db://{user}:{password}@{hosts}{rest}");
            match Target::parse(&text) {
                Ok(target) => {
                    prop_assert_eq!(target.password(), Some(password.as_str()));
                    for shown in [target.to_string(), format!("{target:?}")] {
                        prop_assert!(!shown.contains("S3cret"), "{}", shown);
                        prop_assert!(shown.ends_with(&format!("@{hosts}{rest}")), "{}", shown);
                    }
                }
                Err(error) => prop_assert!(!error.to_string().contains("S3cret"), "{}: {}", text, error),
            }
        }
    }
}
