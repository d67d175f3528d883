//! Names to addresses, as the host would look them up: the hosts file, then DNS with resolv.conf's servers or those of
//! `[dns]`. Both files are read again when they change; DNS answers are cached for as long as DNS says.
//!
//! That no resolver answers says nothing of a target, so the last good addresses of a name are kept for an hour and
//! used in its place. What only the C library knows (NSS modules such as mDNS or sssd) is not asked: it blocks, and
//! cannot be given up.

mod hosts;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::timeout_at;

use crate::files::Stamp;

use self::hosts::Hosts;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const DNS_PORT: u16 = 53;
/// How often the two files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// One question to one server. resolv.conf's default of 5 s outlasts most checks.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Last good addresses are used for so long.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Names whose last good addresses are kept.
const NAMES: usize = 4096;
/// After a question that nobody answered, the remembered addresses are used at once for so long.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("name not found")]
    NotFound,
    #[error("no resolver answered")]
    Unavailable,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub addresses: Vec<IpAddr>,
    /// From the hosts file, which the operator controls.
    pub local: bool,
}

pub struct Resolver {
    servers: Vec<SocketAddr>,
    state: Mutex<State>,
}

/// The files as they were read last, and what was learned since.
#[derive(Default)]
struct State {
    looked: Option<Instant>,
    stamps: [Option<Stamp>; 2],
    hosts: Hosts,
    dns: Option<Arc<TokioResolver>>,
    good: HashMap<String, Good>,
}

/// The last good answer for a name.
struct Good {
    addresses: Vec<IpAddr>,
    when: Instant,
    /// When nobody answered, if that was after it.
    unanswered: Option<Instant>,
}

impl Resolver {
    /// `servers` take the place of resolv.conf's.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, state: Mutex::default() }
    }

    /// What a name leads to, known by the deadline.
    pub async fn lookup(&self, name: &str, deadline: Instant) -> Result<Found, LookupError> {
        let dns = match self.known(name) {
            Known::Found(found) => return Ok(found),
            Known::Ask(dns) => dns,
        };
        let dns = dns.ok_or(LookupError::Unavailable)?;
        // Who can be helped from memory keeps half of the time for the target.
        let patience = match self.remembered(name) {
            Some(_) => Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2,
            None => deadline,
        };
        let answer = timeout_at(patience.into(), dns.lookup_ip(name)).await;
        match answer.map_err(|_| LookupError::Unavailable).and_then(|answer| answer.map_err(|error| cause(&error))) {
            Ok(answer) => self.learned(name, answer.iter().collect()),
            Err(LookupError::NotFound) => {
                self.lock().good.remove(name);
                Err(LookupError::NotFound)
            }
            Err(LookupError::Unavailable) => self.unanswered(name),
        }
    }

    fn known(&self, name: &str) -> Known {
        let mut state = self.lock();
        state.look_again(&self.servers);
        if let Some(addresses) = state.hosts.get(name) {
            return Known::Found(Found { addresses: addresses.to_vec(), local: true });
        }
        match state.good.get(name) {
            Some(good) if good.is_used() && good.unanswered.is_some_and(|when| when.elapsed() < PAUSE) => {
                Known::Found(Found { addresses: good.addresses.clone(), local: false })
            }
            _ => Known::Ask(state.dns.clone()),
        }
    }

    fn remembered(&self, name: &str) -> Option<Vec<IpAddr>> {
        let state = self.lock();
        state.good.get(name).filter(|good| good.is_used()).map(|good| good.addresses.clone())
    }

    fn learned(&self, name: &str, mut addresses: Vec<IpAddr>) -> Result<Found, LookupError> {
        let mut seen = std::collections::BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        if addresses.is_empty() {
            return Err(LookupError::NotFound);
        }
        let mut state = self.lock();
        if state.good.len() >= NAMES && !state.good.contains_key(name) {
            state.forget_oldest();
        }
        let good = Good { addresses: addresses.clone(), when: Instant::now(), unanswered: None };
        state.good.insert(name.to_owned(), good);
        Ok(Found { addresses, local: false })
    }

    fn unanswered(&self, name: &str) -> Result<Found, LookupError> {
        let mut state = self.lock();
        let good = state.good.get_mut(name).filter(|good| good.is_used()).ok_or(LookupError::Unavailable)?;
        good.unanswered = Some(Instant::now());
        Ok(Found { addresses: good.addresses.clone(), local: false })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Known {
    Found(Found),
    /// None where no DNS can be had.
    Ask(Option<Arc<TokioResolver>>),
}

impl Good {
    fn is_used(&self) -> bool {
        self.when.elapsed() < REMEMBERED
    }
}

impl State {
    fn look_again(&mut self, servers: &[SocketAddr]) {
        if self.looked.is_some_and(|when| when.elapsed() < LOOK_AGAIN) {
            return;
        }
        let first = self.looked.is_none();
        self.looked = Some(Instant::now());
        let stamps = [HOSTS, RESOLV_CONF].map(|path| Stamp::of(Path::new(path)));
        if first || self.stamps[0] != stamps[0] {
            self.hosts = Hosts::parse(&std::fs::read_to_string(HOSTS).unwrap_or_default());
        }
        if first || self.stamps[1] != stamps[1] {
            self.dns = dns(servers)
                .map(Arc::new)
                .inspect_err(|error| tracing::warn!("no names can be looked up: {error}"))
                .ok();
        }
        self.stamps = stamps;
    }

    fn forget_oldest(&mut self) {
        let oldest = self.good.iter().min_by_key(|(_, good)| good.when).map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.good.remove(&name);
        }
    }
}

fn dns(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    // Without the file, the C library asks the machine itself (resolv.conf(5)).
    let local = || {
        let servers = vec![server((Ipv4Addr::LOCALHOST, DNS_PORT).into())];
        (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
    };
    let parsed = std::fs::read(RESOLV_CONF).ok().and_then(|text| parse_resolv_conf(text).ok());
    let (mut config, mut options) = parsed.unwrap_or_else(local);
    if !servers.is_empty() {
        let (domain, search, _) = config.into_parts();
        config = ResolverConfig::from_parts(domain, search, servers.iter().copied().map(server).collect());
    }
    options.timeout = options.timeout.min(ANSWER_WITHIN);
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 1024;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

fn server(address: SocketAddr) -> NameServerConfig {
    let port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())])
}

/// That there is no such name is an answer; everything else is none.
fn cause(error: &NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            LookupError::NotFound
        }
        // A name that DNS cannot even spell.
        NetError::Proto(_) => LookupError::NotFound,
        _ => LookupError::Unavailable,
    }
}
