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
    protocol: Protocol,
    pattern: Pattern,
    ports: RangeInclusive<u16>,
}

impl NetGrant {
    /// The grant that a target's endpoint carries.
    pub fn endpoint(host: &Host, port: u16) -> Self {
        let pattern = match host {
            Host::Address(address) => Pattern::Net(IpNet::from(*address)),
            Host::Name(name) => Pattern::Name(name.clone()),
        };
        Self { protocol: Protocol::Tcp, pattern, ports: port..=port }
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
        Ok(Self::Net(NetGrant { protocol, pattern, ports }))
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
        self.net.iter().filter(move |grant| grant.protocol == protocol && grant.ports.contains(&port))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::model::address::address_of_name_passes;

    fn grants(texts: &[&str]) -> Grants {
        texts.iter().map(|text| text.parse::<Grant>().expect(text)).collect()
    }

    #[test]
    fn texts_that_are_no_grants() {
        for text in [
            "tcp://*:80",
            "tcp://db",
            "tcp://db:0",
            "tcp://db:9-2",
            "tcp://db:http",
            "db:80",
            "http://db:80",
            "unix:/run/x",
            "read:/etc",
            "icmp:db",
            "tcp://a b:1",
            "tcp://10.0.0.0/33:1",
            "tcp://127.1:80",
            "tcp://*.:80",
            "tcp://[db]:80",
            // Fuzzing found it.
            "udp://[f]:53",
            "",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_ports() {
        let all = grants(&["tcp://db.internal:5432", "tcp://*.example.org:80-90", "udp://ns:53"]);
        let cases = [
            ("db.internal", 5432, true),
            ("db.internal", 5433, false),
            ("x.db.internal", 5432, false),
            ("a.example.org", 85, true),
            ("example.org", 85, false),
            ("badexample.org", 85, false),
            ("ns", 53, false),
        ];
        for (name, port, allowed) in cases {
            assert_eq!(all.allows_name(Protocol::Tcp, name, port), allowed, "{name}:{port}");
        }
        assert!(all.allows_name(Protocol::Udp, "ns", 53));
        assert!(!all.host_numbers());
        assert!(grants(&["host"]).host_numbers());
    }

    #[test]
    fn addresses() {
        let all =
            grants(&["tcp://10.0.0.0/8:1-65535", "tcp://[fd00::/8]:1", "tcp://127.0.0.1:80", "tcp://0.0.0.0/0:7"]);
        let cases = [
            ("10.1.2.3", 80, true),
            ("11.1.2.3", 80, false),
            ("::ffff:10.1.2.3", 80, true),
            ("fd00::1", 1, true),
            ("127.0.0.1", 80, true),
            ("::ffff:127.0.0.1", 80, true),
            ("127.0.0.2", 80, false),
            ("8.8.8.8", 7, true),
            ("127.0.0.1", 7, false),
            ("169.254.169.254", 7, false),
            ("255.255.255.255", 7, false),
            ("224.0.0.1", 7, false),
            ("0.0.0.0", 7, false),
            ("64:ff9b::a9fe:a9fe", 7, false),
        ];
        for (address, port, allowed) in cases {
            let ip = address.parse().expect(address);
            assert_eq!(all.allows_address(Protocol::Tcp, ip, port), allowed, "{address}:{port}");
        }
        assert!(grants(&["tcp://169.254.169.254:80"]).allows_address(
            Protocol::Tcp,
            "169.254.169.254".parse().expect("address"),
            80
        ));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_grants_allow_nothing(text in ".{0,40}", address: [u8; 16], port: u16) {
            let _ = text.parse::<Grant>();
            let ip = IpAddr::from(address);
            prop_assert!(!Grants::default().allows_address(Protocol::Tcp, ip, port));
            prop_assert!(!Grants::default().allows_name(Protocol::Tcp, &text, port));
        }

        #[test]
        fn a_network_grant_never_reaches_special_addresses(last: [u8; 2], port in 1u16..) {
            let wide = grants(&["tcp://0.0.0.0/0:1-65535", "tcp://[::/0]:1-65535"]);
            for ip in [Ipv4Addr::new(127, 0, last[0], last[1]), Ipv4Addr::new(169, 254, last[0], last[1])] {
                prop_assert!(!wide.allows_address(Protocol::Tcp, IpAddr::V4(ip), port));
                prop_assert!(!wide.allows_address(Protocol::Tcp, IpAddr::V6(ip.to_ipv6_mapped()), port));
            }
        }

        #[test]
        fn a_network_grant_allows_nothing_beyond_its_text(
            net: [u8; 4], length in 0u32..=32, first in 1u16..65_000, more in 0u16..500,
            // An address that often lies in the network, a port that often lies in the range.
            noise: u32, shift in 0u32..32, port_noise in 0u16..1000, udp: bool,
        ) {
            let (own, last) = (u32::from_be_bytes(net), first + more);
            let grants = grants(&[&format!("tcp://{}/{length}:{first}-{last}", Ipv4Addr::from(own))]);
            let address = own ^ (noise >> shift);
            let port = first.saturating_add(port_noise).saturating_sub(300);
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            let inside = length == 0 || (own ^ address) >> (32 - length) == 0;
            let ip = Ipv4Addr::from(address);
            for wrapped in [IpAddr::V4(ip), IpAddr::V6(ip.to_ipv6_mapped())] {
                let allowed = grants.allows_address(protocol, wrapped, port);
                prop_assert!(!allowed || (inside && !udp && (first..=last).contains(&port)), "{wrapped}:{port}");
                prop_assert!(!allowed || length == 32 || address_of_name_passes(wrapped, false), "{wrapped}:{port}");
            }
        }

        #[test]
        fn a_name_grant_allows_nothing_beyond_its_text(
            own in "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}", other in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}",
            below: bool, port in 1u16..4, address: [u8; 4],
        ) {
            let star = if below { "*." } else { "" };
            let grants = grants(&[&format!("tcp://{star}{own}:2")]);
            let covered = if below { other.ends_with(&format!(".{own}")) } else { other == own };
            prop_assert_eq!(grants.allows_name(Protocol::Tcp, &other, port), covered && port == 2);
            prop_assert_eq!(grants.allows_lookup(&other), covered);
            prop_assert!(!grants.allows_name(Protocol::Udp, &other, port));
            prop_assert!(!grants.allows_address(Protocol::Tcp, IpAddr::from(address), 2));
            prop_assert!(!grants.host_numbers());
        }
    }
}
