//! The one way out: every connection of a guest is opened here, held against the grants of its check.
//!
//! A name is looked up only if a grant covers it, once per run; what it resolved to is kept for the run, so that a
//! second answer cannot lead elsewhere. Addresses that a name may not lead to are dropped (see [`crate::model::grant`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::model::checkset::Binding;
use crate::model::grant::{Host, Protocol, address_of_name_passes};

use super::activity::{Activity, Step};

/// Open sockets of one run: each is a file descriptor of the agent.
const MAX_SOCKETS: usize = 32;
/// Refused destinations that are remembered: a guest may ask as often as it likes.
const MAX_DENIED: usize = 16;
/// Addresses tried for one name.
const MAX_ADDRESSES: usize = 8;

/// Why a connection could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("denied")]
    Denied,
    #[error("name not found")]
    NameNotFound,
    #[error("no resolver answered")]
    NameUnavailable,
    #[error("timeout")]
    Timeout,
    #[error("this run has {MAX_SOCKETS} sockets open already")]
    TooMany,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What one run may reach, and what it did.
#[derive(Debug)]
pub struct Egress {
    /// None while the plugin only describes itself: nothing may be reached.
    binding: Option<Arc<Binding>>,
    deadline: Instant,
    open: Arc<AtomicUsize>,
    pub activity: Arc<Activity>,
    pins: Vec<(String, Vec<IpAddr>)>,
    /// Destinations refused for want of a grant: the first of them, and how many in all.
    pub denied: Vec<String>,
    pub denials: u64,
    /// A name could not be looked up because no resolver answered.
    pub resolver_failed: bool,
    pub phases: Vec<(&'static str, Duration)>,
}

/// A connected socket, shared by its connection and the two streams.
#[derive(Debug)]
pub struct Socket {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub activity: Arc<Activity>,
    pub timings: Vec<(&'static str, Duration)>,
    _slot: Slot,
}

/// One of the run's sockets, from before it is opened until it is closed.
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Egress {
    pub fn new(binding: Option<Arc<Binding>>, deadline: Instant) -> Self {
        Self {
            binding,
            deadline,
            open: Arc::default(),
            activity: Arc::default(),
            pins: Vec::new(),
            denied: Vec::new(),
            denials: 0,
            resolver_failed: false,
            phases: Vec::new(),
        }
    }

    /// Connections that are open or opening.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Opens a TCP connection. No longer than `limit` or the run's deadline.
    pub async fn connect(
        &mut self,
        host: &str,
        port: u16,
        limit: Option<Duration>,
    ) -> Result<Arc<Socket>, ConnectError> {
        let Some(host) = Host::parse(host) else { return Err(ConnectError::NameNotFound) };
        self.hold_against_grants(&host, port)?;
        let slot = self.take_slot()?;
        let begun = Instant::now();
        let deadline = limit.map_or(self.deadline, |limit| self.deadline.min(begun + limit));
        self.activity.peer(format!("{host}:{port}"));
        let addresses = self.addresses(&host, deadline).await?;
        let resolved = begun.elapsed();
        self.activity.step(Step::Connect);
        let (stream, peer) = connect_any(&addresses, port, deadline).await?;
        // A check sends small messages and waits for the answer.
        let _ = stream.set_nodelay(true);
        let timings = vec![("resolve", resolved), ("connect", begun.elapsed().saturating_sub(resolved))];
        self.phases.clone_from(&timings);
        Ok(Arc::new(Socket { stream, peer, activity: self.activity.clone(), timings, _slot: slot }))
    }

    fn hold_against_grants(&mut self, host: &Host, port: u16) -> Result<(), ConnectError> {
        let allowed = self.binding.as_ref().is_some_and(|binding| match host {
            Host::Name(name) => binding.grants.allows_name(Protocol::Tcp, name, port),
            Host::Address(address) => binding.grants.allows_address(Protocol::Tcp, *address, port),
        });
        if allowed { Ok(()) } else { Err(self.deny(format!("{host}:{port}"))) }
    }

    fn deny(&mut self, destination: String) -> ConnectError {
        self.denials += 1;
        if self.denied.len() < MAX_DENIED {
            self.denied.push(destination);
        }
        ConnectError::Denied
    }

    fn take_slot(&self) -> Result<Slot, ConnectError> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(self.open.clone());
        if self.connections() > MAX_SOCKETS { Err(ConnectError::TooMany) } else { Ok(slot) }
    }

    async fn addresses(&mut self, host: &Host, deadline: Instant) -> Result<Vec<IpAddr>, ConnectError> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            // RFC 6761: never asked of a resolver.
            Host::Name(_) if host.is_localhost() => {
                return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
            }
            Host::Name(name) => name,
        };
        if let Some((_, pinned)) = self.pins.iter().find(|(pinned, _)| pinned == name) {
            return Ok(pinned.clone());
        }
        self.activity.step(Step::Resolve);
        let found = match timeout_at(deadline.into(), lookup(name)).await {
            Ok(Err(ConnectError::NameUnavailable)) | Err(_) => {
                self.resolver_failed = true;
                return Err(ConnectError::NameUnavailable);
            }
            Ok(found) => found?,
        };
        let kept = filter(name, &found);
        if kept.is_empty() {
            let addresses = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(self.deny(format!("{name}, which resolves to {addresses}")));
        }
        self.pins.push((name.clone(), kept.clone()));
        Ok(kept)
    }
}

/// Drops the addresses that a name must not lead to.
fn filter(name: &str, found: &[IpAddr]) -> Vec<IpAddr> {
    let local = found.iter().any(|address| address.is_loopback()) && in_hosts_file(name);
    found.iter().copied().filter(|address| address_of_name_passes(*address, local)).take(MAX_ADDRESSES).collect()
}

/// Did the operator write this name into the hosts file?
fn in_hosts_file(name: &str) -> bool {
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_whitespace().skip(1)).any(|word| word.eq_ignore_ascii_case(name))
}

async fn lookup(name: &str) -> Result<Vec<IpAddr>, ConnectError> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.dedup();
            if addresses.is_empty() { Err(ConnectError::NameNotFound) } else { Ok(addresses) }
        }
        // getaddrinfo says EAI_AGAIN where no resolver answered; std hands on its text alone.
        Err(error) if error.to_string().contains("emporary failure") => Err(ConnectError::NameUnavailable),
        Err(_) => Err(ConnectError::NameNotFound),
    }
}

/// Tries one address after the other, each with its share of the time that is left.
async fn connect_any(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut last = ConnectError::NameNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let peer = SocketAddr::new(*address, port);
        let left = u32::try_from(addresses.len() - index).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout_at((Instant::now() + share).into(), TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => return Ok((stream, peer)),
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = ConnectError::Timeout,
        }
    }
    Err(last)
}
