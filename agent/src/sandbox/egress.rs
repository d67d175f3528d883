//! The one way out: whatever a guest connects to, looks up or sends to is held against the grants of its check here,
//! whichever interface it came through.
//!
//! A name is looked up only if a grant covers it, once per run; what it resolved to is kept for the run, so that a
//! second answer cannot lead elsewhere. Addresses that a name may not lead to are dropped (see [`crate::model::address`]).

mod seen;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::model::address::address_of_name_passes;
use crate::model::check::TlsDef;
use crate::model::checkset::Binding;
use crate::model::grant::{Grants, Host, Protocol};
use crate::model::secret::Masker;
use crate::tls::{self, Peer, Tls, TlsError, Wish};

use super::activity::{Activity, Step};
use super::eyeballs;
use super::observer::{Observer, Step as Shown, Way};
use super::resolver::{LookupError, Resolver};
use super::wire::{Socket, Wire, WireError};

pub use self::seen::{Attempt, Denial, MAX_NAMES, Seen};

/// Open sockets of one run, unless its check says otherwise: each is a file descriptor of the agent.
pub const DEFAULT_SOCKETS: usize = 32;
/// Addresses tried for one name.
const MAX_ADDRESSES: usize = 4;

/// What all runs reach the network with.
pub struct Network {
    pub resolver: Resolver,
    pub tls: Tls,
    /// Looks on; an agent has none.
    pub observer: Option<Arc<dyn Observer>>,
}

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
    #[error("this run has {0} sockets open already, which is all it may have")]
    TooMany(usize),
    #[error("this run has looked up {MAX_NAMES} names already, which is all it may")]
    TooManyNames,
    #[error(transparent)]
    Setup(#[from] TlsError),
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<LookupError> for ConnectError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::NotFound => Self::NameNotFound,
            LookupError::Unavailable => Self::NameUnavailable,
        }
    }
}

/// Of what a guest gives for a host, and is none: so many bytes are shown.
const ODD_HOST: usize = 64;

/// What one run may reach, and what it did.
pub struct Egress {
    /// None while the plugin only describes itself: nothing may be reached.
    binding: Option<Arc<Binding>>,
    deadline: Instant,
    network: Arc<Network>,
    max_sockets: usize,
    open: AtomicUsize,
    pub activity: Activity,
    seen: Mutex<Seen>,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("open", &self.open).finish_non_exhaustive()
    }
}

/// A new connection.
pub struct Opened {
    pub wire: Wire,
    /// The host that was asked for, in its normal form.
    pub host: String,
    pub timings: Vec<(&'static str, Duration)>,
}

/// One of the run's sockets, from before it is opened until it is closed.
#[derive(Debug)]
pub struct Slot {
    pub egress: Arc<Egress>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.egress.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Egress {
    pub fn new(binding: Option<Arc<Binding>>, deadline: Instant, network: Arc<Network>) -> Arc<Self> {
        let max_sockets = binding.as_ref().and_then(|binding| binding.definition.limits.sockets);
        Arc::new(Self {
            binding,
            deadline,
            network,
            max_sockets: max_sockets.unwrap_or(DEFAULT_SOCKETS),
            open: AtomicUsize::new(0),
            activity: Activity::default(),
            seen: Mutex::default(),
        })
    }

    /// Sockets that are open or opening, those of `wasi:sockets` apart.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub fn max_sockets(&self) -> usize {
        self.max_sockets
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever looks on.
    pub fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.network.observer.as_ref()
    }

    /// Bytes went over a connection, as they are inside of TLS.
    pub fn moved(&self, way: Way, bytes: &[u8]) {
        if let Some(observer) = self.observer() {
            observer.moved(way, bytes);
        }
    }

    /// A connection failed under a guest that used it.
    pub fn broke(&self, error: &WireError) {
        if let Some(observer) = self.observer() {
            observer.broke(&error.to_string());
        }
    }

    /// Tells the observer what came of a step.
    fn show<T>(
        &self,
        phase: &'static str,
        of: &dyn std::fmt::Display,
        begun: Instant,
        result: Result<&T, &ConnectError>,
        words: impl Fn(&T) -> String,
    ) {
        if let Some(observer) = self.observer() {
            let result = result.map(words).map_err(ToString::to_string);
            observer.step(&Shown { phase, of: &of.to_string(), took: begun.elapsed(), result });
        }
    }

    fn grants(&self) -> Option<&Grants> {
        self.binding.as_ref().map(|binding| &binding.grants)
    }

    fn until(&self, limit: Option<Duration>) -> tokio::time::Instant {
        let own = limit.and_then(|limit| Instant::now().checked_add(limit));
        own.map_or(self.deadline, |own| own.min(self.deadline)).into()
    }

    /// What keeps the check's secrets out of the guest's words.
    pub fn masker(&self) -> &Masker {
        self.binding.as_ref().map_or(Masker::of_nothing(), |binding| &binding.definition.masker)
    }

    fn odd(&self, host: &str) -> Denial {
        Denial::odd(&self.masker().line(host, ODD_HOST))
    }

    /// Opens a TCP connection. No longer than `limit` or the run's deadline.
    pub async fn connect(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        limit: Option<Duration>,
    ) -> Result<Opened, ConnectError> {
        let Some(host) = Host::parse(host) else { return Err(self.deny(self.odd(host))) };
        let allowed = self.grants().is_some_and(|grants| match &host {
            Host::Name(name) => grants.allows_name(Protocol::Tcp, name, port),
            Host::Address(address) => grants.allows_address(Protocol::Tcp, *address, port),
        });
        if !allowed {
            return Err(self.deny(Denial::connect(Protocol::Tcp, format!("{host}:{port}"))));
        }
        let slot = self.take_slot()?;
        let (begun, until) = (Instant::now(), self.until(limit));
        self.activity.peer(format!("{host}:{port}"));
        let addresses = self.addresses(&host, port, until.into()).await?;
        let resolved = begun.elapsed();
        self.activity.step(Step::Connect);
        self.seen().last = Attempt::Made;
        let connected = timeout_at(until, eyeballs::connect(&addresses, port)).await;
        // At the deadline the step stays what it was, for the message.
        let connected = connected.map_err(|_| ConnectError::Timeout).and_then(|connected| {
            self.activity.step(Step::Open);
            Ok(connected.map_err(WireError::Io).inspect_err(|_| self.activity.rest())?)
        });
        self.show("connect", &format_args!("{host}:{port}"), begun + resolved, connected.as_ref(), |(_, peer)| {
            peer.to_string()
        });
        let (stream, peer) = connected?;
        // A check sends small messages and waits for the answer.
        let _ = stream.set_nodelay(true);
        let timings = vec![("resolve", resolved), ("connect", begun.elapsed().saturating_sub(resolved))];
        self.seen().phases.clone_from(&timings);
        let wire = Wire::plain(Arc::new(Socket { stream, peer, slot }));
        Ok(Opened { wire, host: host.to_string().trim_matches(['[', ']']).to_owned(), timings })
    }

    /// Puts TLS upon a connection, as the check's `tls` has it.
    pub async fn start_tls(
        &self,
        wire: &Wire,
        wish: Wish<'_>,
        limit: Option<Duration>,
    ) -> Result<(Wire, Peer, Duration), ConnectError> {
        let (begun, until) = (Instant::now(), self.until(limit));
        let plain = TlsDef::default();
        let def = self.binding.as_ref().map_or(&plain, |binding| &binding.definition.tls);
        let begin = self.network.tls.begin(def, wish).inspect_err(|error| {
            // A name may be the guest's own choice; the files are the operator's.
            if !matches!(error, TlsError::ServerName(_)) {
                self.seen().setup = Some(error.to_string());
            }
        })?;
        let (connection, witness) = begin.into_parts();
        self.activity.step(Step::Tls);
        let shaken = timeout_at(until, wire.handshake(connection)).await.map_err(|_| ConnectError::Timeout);
        if shaken.is_ok() {
            self.activity.step(Step::Open);
        }
        let shaken = shaken.and_then(|shaken| Ok(shaken?));
        let version = |wire: &Wire| {
            wire.with_tls(|spoken| spoken.protocol_version().map(tls::version)).flatten().unwrap_or_default()
        };
        self.show("tls", &wire.socket.peer, begun, shaken.as_ref(), version);
        let wire = shaken?;
        let took = begun.elapsed();
        self.seen().phase("tls", took);
        let peer = wire.with_tls(|connection| witness.peer(connection)).unwrap_or_default();
        Ok((wire, peer, took))
    }

    /// Looks up a name for a guest that connects by itself. An address is its own answer.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let Some(host) = Host::parse(name) else { return Err(self.deny(self.odd(name))) };
        if let Host::Name(name) = &host {
            if !self.grants().is_some_and(|grants| grants.allows_lookup(name)) {
                return Err(self.deny(Denial::lookup(name)));
            }
            self.activity.peer(name.clone());
        }
        self.addresses(&host, 0, self.deadline).await
    }

    /// Notes that something was refused which no grant allows.
    pub fn refuse(&self, what: String) {
        let advice = "no grant allows this: a check serves nobody".to_owned();
        self.deny(Denial { what, advice, allow: None });
    }

    /// May a datagram of this address be taken? That a stranger sends one is not the check's doing.
    pub fn takes_from(&self, address: SocketAddr) -> bool {
        self.granted(Protocol::Udp, address).is_some()
    }

    /// May a guest's own socket use this address? Either it is granted itself, or it is what a granted name led to in
    /// this run.
    pub fn permits(&self, protocol: Protocol, address: SocketAddr) -> bool {
        let port = address.port();
        let name = self.granted(protocol, address);
        match name {
            Some(name) => {
                self.activity.peer(format!("{name}:{port}"));
                self.activity.step(Step::Wait);
                self.seen().last = Attempt::Made;
                true
            }
            None => {
                self.deny(Denial::connect(protocol, address.to_string()));
                false
            }
        }
    }

    /// The granted name or address that stands for this one.
    fn granted(&self, protocol: Protocol, address: SocketAddr) -> Option<String> {
        let (grants, ip, port) = (self.grants()?, address.ip(), address.port());
        if grants.allows_address(protocol, ip, port) {
            return Some(ip.to_string());
        }
        let seen = self.seen();
        let mut pins = seen.pins.iter();
        let pinned = pins.find(|(name, pins)| pins.contains(&ip) && grants.allows_name(protocol, name, port));
        pinned.map(|(name, _)| name.clone())
    }

    fn deny(&self, denial: Denial) -> ConnectError {
        self.seen().deny(denial);
        ConnectError::Denied
    }

    /// All sockets that the run may have are open.
    pub fn full(&self) -> ConnectError {
        self.seen().last = Attempt::Capped;
        ConnectError::TooMany(self.max_sockets)
    }

    fn take_slot(self: &Arc<Self>) -> Result<Slot, ConnectError> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let slot = Slot { egress: self.clone() };
        if self.connections() > self.max_sockets {
            return Err(self.full());
        }
        Ok(slot)
    }

    /// What a host leads to in this run. `port` is for the message of a refusal; 0 where it is not known yet.
    async fn addresses(&self, host: &Host, port: u16, until: Instant) -> Result<Vec<IpAddr>, ConnectError> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        if let Some((_, pinned)) = self.seen().pins.iter().find(|(pinned, _)| pinned == name) {
            return Ok(pinned.clone());
        }
        let begun = Instant::now();
        // RFC 6761: `localhost` is never asked of a resolver.
        let kept = match host.is_localhost() {
            true => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            false => self.resolved(name, port, until).await,
        };
        self.show("resolve", name, begun, kept.as_ref(), |all| {
            all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
        });
        Ok(self.seen().pin(name, kept?))
    }

    async fn resolved(&self, name: &str, port: u16, until: Instant) -> Result<Vec<IpAddr>, ConnectError> {
        if !self.seen().begin_lookup() {
            return Err(ConnectError::TooManyNames);
        }
        self.activity.step(Step::Resolve);
        let found = self.network.resolver.lookup(name, until).await;
        // At the deadline the step stays what it was, for the message.
        if Instant::now() < self.deadline {
            self.activity.rest();
        }
        let found = found.inspect_err(|error| {
            let unanswered = *error == LookupError::Unavailable;
            self.seen().last = if unanswered { Attempt::Unresolved } else { Attempt::Made };
        })?;
        let passes = |address: &IpAddr| address_of_name_passes(*address, found.local);
        let kept: Vec<IpAddr> = found.addresses.iter().copied().filter(passes).take(MAX_ADDRESSES).collect();
        if kept.is_empty() {
            return Err(self.deny(Denial::name_leads_to(name, port, &found.addresses)));
        }
        Ok(kept)
    }
}
