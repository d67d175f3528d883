//! DNS, by hickory: both families of one name, its search list, and what an answer is worth.
//!
//! Only an authoritative "no" of both families, for every name that was asked, means that there is no such name.
//! Whatever else goes wrong (silence, SERVFAIL, nonsense, a lame server) is no answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::timeout;

use super::LookupError;

const PORT: u16 = 53;
/// One question to one server. resolv.conf's default of 5 s outlasts most checks.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long the addresses of one family wait for those of the other (RFC 8305, section 3).
const OTHER_FAMILY: Duration = Duration::from_millis(50);
/// Names that are remembered for as long as DNS says.
const CACHED: u64 = 1024;

/// The servers and the search list of one resolv.conf.
pub struct Dns {
    resolver: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

type Answer = Result<Lookup, NetError>;

impl Dns {
    /// `servers` take the place of those in the file.
    pub fn new(resolv_conf: &Path, servers: &[SocketAddr]) -> Result<Self, NetError> {
        let (config, mut options) = configuration(resolv_conf)?;
        let (_, search, own) = config.into_parts();
        let chosen = if servers.is_empty() { own } else { servers.iter().copied().map(server).collect() };
        options.timeout = options.timeout.min(ANSWER_WITHIN);
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = CACHED;
        let ndots = options.ndots;
        let config = ResolverConfig::from_name_servers(chosen);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self { resolver: builder.build()?, search, ndots })
    }

    /// The addresses of a name, under the first name of its search list that has some.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        for candidate in self.candidates(name) {
            let found = self.both_families(candidate).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(LookupError::NotFound)
    }

    /// As resolv.conf(5) orders them: a name with enough dots is asked as it is first.
    fn candidates(&self, name: &str) -> Vec<Name> {
        let Ok(mut own) = Name::from_ascii(name) else { return Vec::new() };
        let relative = own.clone();
        own.set_fqdn(true);
        let mut all: Vec<Name> =
            self.search.iter().filter_map(|domain| relative.clone().append_domain(domain).ok()).collect();
        all.iter_mut().for_each(|name| name.set_fqdn(true));
        let at = if name.matches('.').count() >= self.ndots { 0 } else { all.len() };
        all.insert(at, own);
        all
    }

    /// No addresses means that both families said so.
    async fn both_families(&self, name: Name) -> Result<Vec<IpAddr>, LookupError> {
        let v6 = pin!(self.resolver.ipv6_lookup(name.clone()));
        let v4 = pin!(self.resolver.ipv4_lookup(name));
        match select(v6, v4).await {
            Either::Left((first, second)) => joined(first, second).await,
            Either::Right((first, second)) => joined(first, second).await,
        }
    }
}

/// Puts two families together. Who has addresses does not wait long for more.
async fn joined(
    first: Result<impl Into<Lookup>, NetError>,
    second: impl Future<Output = Result<impl Into<Lookup>, NetError>>,
) -> Result<Vec<IpAddr>, LookupError> {
    let first = addresses(first.map(Into::into));
    let mut found = match first {
        Ok(found) if !found.is_empty() => {
            let more = timeout(OTHER_FAMILY, second).await;
            let more = more.ok().and_then(|second| addresses(second.map(Into::into)).ok());
            return Ok(found.into_iter().chain(more.unwrap_or_default()).collect());
        }
        Ok(found) => found,
        Err(error) => {
            let second = addresses(second.await.map(Into::into))?;
            return if second.is_empty() { Err(error) } else { Ok(second) };
        }
    };
    found.extend(addresses(second.await.map(Into::into))?);
    Ok(found)
}

fn addresses(answer: Answer) -> Result<Vec<IpAddr>, LookupError> {
    match answer {
        Ok(lookup) => Ok(lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()),
        Err(error) if is_no(&error) => Ok(Vec::new()),
        Err(_) => Err(LookupError::Unavailable),
    }
}

/// An authoritative "no". One without SOA is what lame servers say.
fn is_no(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            none.response_code == ResponseCode::NXDomain
                || (none.response_code == ResponseCode::NoError && none.soa.is_some())
        }
        _ => false,
    }
}

/// Without the file, the machine itself is asked, as the C library does (resolv.conf(5)).
fn configuration(path: &Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    match std::fs::read(path) {
        Ok(text) => parse_resolv_conf(text),
        Err(_) => {
            let local = server((Ipv4Addr::LOCALHOST, PORT).into());
            Ok((ResolverConfig::from_name_servers(vec![local]), ResolverOpts::default()))
        }
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_list_is_tried_in_its_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("resolv.conf");
        std::fs::write(&path, "nameserver 127.0.0.1\nsearch a.lan b.lan\noptions ndots:2\n").expect("written");
        let dns = Dns::new(&path, &[]).expect("parses");
        let names = |name| dns.candidates(name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("db"), ["db.a.lan.", "db.b.lan.", "db."]);
        assert_eq!(names("db.x.y"), ["db.x.y.", "db.x.y.a.lan.", "db.x.y.b.lan."]);
    }

    #[tokio::test]
    async fn one_family_is_enough_and_two_refusals_are_needed() {
        let no = || Err::<Lookup, _>(NetError::Timeout);
        let silent = joined(no(), async { no() }).await;
        assert_eq!(silent, Err(LookupError::Unavailable));
    }
}
