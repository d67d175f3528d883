//! Names to addresses, as the host would look them up: the hosts file, then DNS with resolv.conf's servers or those of
//! `[dns]`. Both files are read again when they change; DNS answers are cached for as long as DNS says.
//!
//! That no resolver answers says nothing of a target, so the last good addresses of a name are kept for an hour and
//! used in its place. What only the C library knows (NSS modules such as mDNS or sssd) is not asked: it blocks, and
//! cannot be given up.

mod dns;
mod hosts;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::files::Stamp;

use self::dns::Dns;
use self::hosts::Hosts;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// How often the two files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Last good addresses are used for so long.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Names whose last good addresses are kept.
const NAMES: usize = 4096;
/// Addresses of one name; whoever answers may send thousands.
const ADDRESSES: usize = 16;
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
    dns: Option<Arc<Dns>>,
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
        match timeout_at(patience.into(), dns.addresses(name)).await.unwrap_or(Err(LookupError::Unavailable)) {
            Ok(addresses) => Ok(self.learned(name, addresses)),
            // Good addresses stay remembered: one wrong "no" must not cost them.
            Err(LookupError::NotFound) => Err(LookupError::NotFound),
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

    fn learned(&self, name: &str, mut addresses: Vec<IpAddr>) -> Found {
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        addresses.truncate(ADDRESSES);
        let mut state = self.lock();
        if state.good.len() >= NAMES && !state.good.contains_key(name) {
            state.forget_oldest();
        }
        let good = Good { addresses: addresses.clone(), when: Instant::now(), unanswered: None };
        state.good.insert(name.to_owned(), good);
        Found { addresses, local: false }
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
    Ask(Option<Arc<Dns>>),
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
            self.hosts = Hosts::parse(&String::from_utf8_lossy(&std::fs::read(HOSTS).unwrap_or_default()));
        }
        if first || self.stamps[1] != stamps[1] {
            match Dns::new(Path::new(RESOLV_CONF), servers) {
                Ok(dns) => self.dns = Some(Arc::new(dns)),
                Err(error) => tracing::warn!("{RESOLV_CONF} cannot be used, names are looked up as before: {error}"),
            }
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
