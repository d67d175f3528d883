//! What a check may reach: pure rules, no lookups. Nothing is granted by default; a check has its target's endpoints
//! and what its `allow` lists.
//!
//! A grant for a name allows looking that name up and connecting to the ordinary addresses it gives; whoever controls
//! the name's DNS must not reach the host's own loopback or a cloud's metadata service through it. Those pass only
//! where the operator wrote the very address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

use super::address::{Class, class_of, unwrap};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A host as a check or an operator names it: an address, or a name in lower case without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    /// Accepts `name`, `1.2.3.4`, `::1` and `[::1]`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return inner.parse().ok().map(|address: Ipv6Addr| Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        is_host_name(&name).then_some(Self::Name(name))
    }

    /// True for `localhost` and what is below it (RFC 6761).
    pub fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Letters, digits, `-`, `_` in labels of 1 to 63 characters, 253 in all; the last label is no number, so that no
/// odd spelling of an address (`0x7f.1`, `127.1`) passes for a name.
fn is_host_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let numeric = |l: &str| l.bytes().all(|b| b.is_ascii_digit()) || l.starts_with("0x");
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_none_or(numeric)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    /// `*.example.org`, kept as `.example.org`.
    Below(String),
    Net(IpNet),
}

/// One entry of `allow`, or one endpoint of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetGrant {
    /// None for both.
    protocol: Option<Protocol>,
    pattern: Pattern,
    ports: RangeInclusive<u16>,
}

impl NetGrant {
    /// The grant that a target's endpoint carries: of the check's own target the URL alone says where it is, and the checker
    /// what it speaks there.
    pub fn endpoint(host: &Host, port: u16) -> Self {
        let pattern = match host {
            Host::Address(address) => Pattern::Net(IpNet::from(*address)),
            Host::Name(name) => Pattern::Name(name.clone()),
        };
        Self { protocol: None, pattern, ports: port..=port }
    }

    fn covers_name(&self, name: &str) -> bool {
        match &self.pattern {
            Pattern::Name(own) => own == name,
            Pattern::Below(suffix) => name.ends_with(suffix.as_str()),
            Pattern::Net(_) => false,
        }
    }

    /// Special addresses need a grant of exactly that address: a wide network never includes them.
    fn covers_address(&self, address: IpAddr) -> bool {
        match &self.pattern {
            Pattern::Net(net) if class_of(address) == Class::Ordinary => {
                net.contains(&address) || net.contains(&unwrap(address))
            }
            Pattern::Net(net) => net.prefix_len() == net.max_prefix_len() && unwrap(net.addr()) == unwrap(address),
            _ => false,
        }
    }
}

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    Net(NetGrant),
    /// The host's numbers.
    Host,
}

/// Why a text is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    #[error("{0:?} is no grant: write tcp://HOST:PORT, udp://HOST:PORT or host")]
    Form(String),
    #[error("{0:?}: grants of this kind are reserved and do not exist yet")]
    Reserved(String),
    #[error("{0:?}: the port is missing; write HOST:PORT or HOST:PORT-PORT")]
    Port(String),
    #[error("{0:?}: a bare * would allow every host; name a host, *.DOMAIN, an address or a network")]
    Everything(String),
    #[error("{0:?}: {1:?} is no host name, address or network")]
    Host(String, String),
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        if text == "host" {
            return Ok(Self::Host);
        }
        if ["unix:", "read:", "icmp:"].iter().any(|kind| text.starts_with(kind)) {
            return Err(InvalidGrant::Reserved(text.into()));
        }
        let (protocol, rest) = match text.split_once("://") {
            Some(("tcp", rest)) => (Protocol::Tcp, rest),
            Some(("udp", rest)) => (Protocol::Udp, rest),
            _ => return Err(InvalidGrant::Form(text.into())),
        };
        let (host, ports) = rest.rsplit_once(':').ok_or_else(|| InvalidGrant::Port(text.into()))?;
        let ports = parse_ports(ports).ok_or_else(|| InvalidGrant::Port(text.into()))?;
        let pattern = parse_pattern(text, host)?;
        Ok(Self::Net(NetGrant { protocol: Some(protocol), pattern, ports }))
    }
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

fn parse_pattern(text: &str, host: &str) -> Result<Pattern, InvalidGrant> {
    let wrong = || InvalidGrant::Host(text.into(), host.into());
    if host == "*" {
        return Err(InvalidGrant::Everything(text.into()));
    }
    if let Some(suffix) = host.strip_prefix("*.") {
        return match Host::parse(suffix) {
            Some(Host::Name(name)) => Ok(Pattern::Below(format!(".{name}"))),
            _ => Err(wrong()),
        };
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if bare.contains('/') {
        return bare.parse::<IpNet>().map(|net| Pattern::Net(net.trunc())).map_err(|_| wrong());
    }
    match Host::parse(host).ok_or_else(wrong)? {
        Host::Address(address) => Ok(Pattern::Net(IpNet::from(address))),
        Host::Name(name) => Ok(Pattern::Name(name)),
    }
}

/// All that one check may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    net: Vec<NetGrant>,
    host: bool,
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut all = Self::default();
        for grant in grants {
            match grant {
                Grant::Net(net) => all.net.push(net),
                Grant::Host => all.host = true,
            }
        }
        all
    }
}

impl Grants {
    pub fn add(&mut self, grant: NetGrant) {
        self.net.push(grant);
    }

    /// May the host's numbers be read?
    pub fn host_numbers(&self) -> bool {
        self.host
    }

    /// May this name be looked up, and its addresses be connected to on this port?
    pub fn allows_name(&self, protocol: Protocol, name: &str, port: u16) -> bool {
        self.matching(protocol, port).any(|grant| grant.covers_name(name))
    }

    /// May this name be looked up at all? What its addresses may be used for is decided at their use.
    pub fn allows_lookup(&self, name: &str) -> bool {
        self.net.iter().any(|grant| grant.covers_name(name))
    }

    /// May this address, which the checker gave as such, be connected to on this port?
    pub fn allows_address(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        self.matching(protocol, port).any(|grant| grant.covers_address(address))
    }

    fn matching(&self, protocol: Protocol, port: u16) -> impl Iterator<Item = &NetGrant> {
        let fits = move |own: Option<Protocol>| own.is_none_or(|own| own == protocol);
        self.net.iter().filter(move |grant| fits(grant.protocol) && grant.ports.contains(&port))
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
