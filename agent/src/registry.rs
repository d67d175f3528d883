//! Keeps this host's well instances registered in etcd, under one lease, for as long as they are well.
//!
//! Losing a lease, a stream, an endpoint or the whole cluster is normal: it is counted, said once, and tried again for
//! ever. Nothing that etcd does changes local health or ends the agent. An instance whose checks are not decided yet
//! stays as it is.
//!
//! ```text
//! snapshot ─► desired (pure) ─► plan (pure) ─► keys: one guarded transaction per instance ─► etcd
//!                                  ▲                                                          │
//!                               mirror ◄── what was read, what was written, one watch per key ┘
//! ```

mod address;
mod desired;
mod dialect;
mod hold;
mod holding;
mod identity;
mod keys;
mod lease;
mod metrics;
mod mirror;
mod plan;
mod repairs;
mod session;
mod status;
#[cfg(test)]
mod testing;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::clock;
use crate::etcd::{self, Etcd, Kind};
use crate::model::name::Name;
use crate::model::registration::RegistryView;
use crate::model::snapshot::HealthSnapshot;
use crate::model::time::brief;
use crate::supervise::{Beat, Stop, Supervisor};
use crate::telemetry::Metrics;

use self::hold::Holds;
use self::identity::Identity;
use self::metrics::RegistryMetrics;
use self::repairs::Repairs;
use self::session::{Ground, Lost, Session};
use self::status::Status;
use self::troubles::Troubles;

pub use self::desired::{Clash, clashes, nested_prefixes};
pub use self::dialect::Dialect;

/// etcd rounds shorter leases up, and a hiccup would cost them.
pub const MIN_TTL: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// For the address of the route to etcd, whose name may have to be looked up.
const LOOK_UP: Duration = Duration::from_secs(2);

/// The address of services that give only a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// Of the route to etcd.
    Auto,
    Interface(String),
    Address(IpAddr),
}

/// What becomes of the keys of an ill instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    Remove,
    /// Its native key stays and says so.
    Mark {
        /// But not for longer than this.
        remove_after: Option<Duration>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    Remove,
    /// SIGTERM hands over, as SIGUSR2 does.
    Keep,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub agent_id: Name,
    pub advertise: Advertise,
    /// Where the agent answers; the first is advertised in its own key.
    pub listen: Vec<SocketAddr>,
    pub etcd: etcd::Config,
    pub prefix: String,
    pub agents_prefix: String,
    pub ttl: Duration,
    pub dialects: Vec<Dialect>,
    pub on_down: OnDown,
    pub on_stop: OnStop,
    /// Verdicts never take out the last so many instances of a service.
    pub keep_at_least: usize,
    /// Between deleting the keys and stopping.
    pub drain: Duration,
    pub state_dir: PathBuf,
}

/// What the agent wants of the registry; also what has been done of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Register what is well.
    Register,
    /// Delete the instances' keys, keep the lease.
    Withdraw,
    /// Revoke the lease, and end.
    Leave,
    /// Write nothing any more, and keep the lease: what health says while it stops is not to be acted on.
    Freeze,
    /// A last keepalive, and end: keys and lease stay for the next agent.
    HandOver,
}

/// How `app` steers the registry.
pub struct Handle {
    wanted: watch::Sender<Mode>,
    done: watch::Receiver<Mode>,
}

impl Handle {
    /// Asks for a mode and waits until it is reached; false if that took too long.
    pub async fn reach(&mut self, mode: Mode, patience: Duration) -> bool {
        self.wanted.send_replace(mode);
        let reached = self.done.wait_for(|done| *done == mode);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }
}

/// What outlives a session.
#[derive(Debug, Default)]
struct Memory {
    /// Keys that we have written.
    written: BTreeSet<String>,
    /// Dialects that were said to be refused.
    refused: BTreeSet<&'static str>,
    /// Keys that etcd did not take, and what was said of them.
    failed: BTreeMap<String, String>,
    holds: Holds,
    repairs: Repairs,
    troubles: Troubles,
}

/// There is no session.
struct Away {
    since: Instant,
    /// What was said of it: why, and whether the lease has ended. Each is said once.
    said: BTreeSet<(Kind, bool)>,
    reason: String,
}

pub struct Registry {
    config: Config,
    etcd: Etcd,
    supervisor: Supervisor,
    identity: Identity,
    snapshot: watch::Receiver<Arc<HealthSnapshot>>,
    wanted: watch::Receiver<Mode>,
    done: watch::Sender<Mode>,
    metrics: RegistryMetrics,
    status: Status,
    memory: Memory,
    away: Option<Away>,
    /// The address of services that give only a port, as it was found last.
    address: Option<IpAddr>,
    /// Why it could not be found out.
    no_address: Option<String>,
    /// The endpoint to begin with.
    start: usize,
}

/// What the rest of the agent gets of the registry before it runs.
pub struct Built {
    pub registry: Registry,
    pub handle: Handle,
    pub view: watch::Receiver<Arc<RegistryView>>,
}

impl Registry {
    pub fn build(
        config: Config,
        supervisor: Supervisor,
        snapshot: watch::Receiver<Arc<HealthSnapshot>>,
        metrics: &Metrics,
    ) -> Built {
        let identity = Identity::load(&config.state_dir, supervisor.clone());
        let (wanted_sender, wanted) = watch::channel(Mode::Register);
        let (done, done_receiver) = watch::channel(Mode::Register);
        let metrics = RegistryMetrics::new(metrics);
        let (status, view) = Status::new(metrics.clone());
        let registry = Self {
            etcd: Etcd::new(config.etcd.clone()),
            config,
            supervisor,
            identity,
            snapshot,
            wanted,
            done,
            metrics,
            status,
            memory: Memory::default(),
            away: None,
            address: None,
            no_address: None,
            // Agents are not to meet all at one member.
            start: usize::from(rand::random::<u16>()),
        };
        Built { registry, handle: Handle { wanted: wanted_sender, done: done_receiver }, view }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("registry");
        let mut backoff = FIRST_BACKOFF;
        loop {
            let ended = tokio::select! {
                () = stop.wait() => return,
                ended = self.hold_session(&mut beat, &mut backoff) => ended,
            };
            let Err(lost) = ended else {
                // Left or handed over: the end, once the others have ended too.
                drop(beat);
                stop.wait().await;
                return;
            };
            let pause = self.note_lost(&lost, &mut backoff).await;
            tokio::select! {
                () = stop.wait() => return,
                () = beat.during(tokio::time::sleep(pause)) => {}
                // Whoever wants the agent to end does not want to wait.
                Ok(()) = self.wanted.changed() => {}
            }
        }
    }

    /// Connects and goes on until the session is lost (an error) or was ended as wanted.
    async fn hold_session(&mut self, beat: &mut Beat, backoff: &mut Duration) -> Result<(), Lost> {
        // The lease is continued first; what else is wanted is found out beside it.
        let look_up = {
            let (config, supervisor) = (self.config.clone(), self.supervisor.clone());
            move || {
                let (advertise, endpoints) = (config.advertise.clone(), config.etcd.endpoints.clone());
                supervisor.blocking(move || address::advertised(&advertise, &endpoints))
            }
        };
        let address = look_up();
        let ground = Ground {
            config: &self.config,
            etcd: &self.etcd,
            identity: &mut self.identity,
            memory: &mut self.memory,
            metrics: &self.metrics,
            status: &self.status,
        };
        let opening = async { tokio::join!(Session::open(ground, self.start), timeout(LOOK_UP, address)) };
        let (session, address) = beat.during(opening).await;
        let session = session?;
        match address {
            Ok(Ok(Ok(address))) => (self.address, self.no_address) = (Some(address), None),
            Ok(Ok(Err(error))) => {
                note_no_address(&mut self.no_address, self.address, error.gist(), &error.to_string(), &self.status);
            }
            Ok(Err(_)) | Err(_) => {
                let why = "looking it up takes too long";
                note_no_address(&mut self.no_address, self.address, why.to_owned(), why, &self.status);
            }
        }
        // If this one fails, the next one is tried first.
        self.start = session.index.wrapping_add(1);
        let away = &mut self.away;
        let mut established = |endpoint: &str, lease: String| {
            *backoff = FIRST_BACKOFF;
            say_connected(away.take(), endpoint, &lease);
        };
        let inputs = session::Inputs {
            snapshot: &mut self.snapshot,
            wanted: &mut self.wanted,
            done: &self.done,
            beats: self.supervisor.beats(),
            status: &self.status,
            address: &mut self.address,
            look_up: &look_up,
            established: &mut established,
        };
        session.hold(inputs, beat).await
    }

    /// Counts and says what was lost, once per change; returns how long to wait.
    async fn note_lost(&mut self, lost: &Lost, backoff: &mut Duration) -> Duration {
        if matches!(lost, Lost::NoAddress) {
            return Duration::ZERO;
        }
        self.status.lost(lost.to_string());
        self.metrics.error(lost.kind());
        let lease = matches!(lost, Lost::Lease);
        if lease {
            self.metrics.lease_lost();
            self.identity.lost_lease().await;
            tracing::warn!("the lease was lost, getting another");
        }
        let longest = (self.config.ttl / 3).min(LONGEST_BACKOFF);
        let pause = backoff.mul_f64(rand::random::<f64>());
        *backoff = (*backoff * 2).min(longest);
        if lease {
            return pause;
        }
        let now = Instant::now();
        let first = self.away.is_none();
        let away =
            self.away.get_or_insert_with(|| Away { since: now, said: BTreeSet::new(), reason: lost.to_string() });
        let ended = self.status.lease_ends().is_some_and(|ends| clock::now().boot > ends);
        // A session that is lost and had again at once is worth one line, when it is had again.
        let connected_before = self.status.lease_ends().is_some();
        if !(first && connected_before) && away.said.insert((lost.kind(), ended)) {
            tracing::warn!("{}", unreachable(lost, away.since.elapsed(), pause, &self.snapshot.borrow(), ended));
        } else {
            tracing::debug!("etcd still cannot be used: {lost}; retry in {}", brief(pause));
        }
        pause
    }
}

/// Says once that the address is not known, and what is done without it.
fn note_no_address(said: &mut Option<String>, before: Option<IpAddr>, gist: String, why: &str, status: &Status) {
    if said.as_ref() == Some(&gist) {
        return;
    }
    let then = if before.is_some() { "the one of before is used" } else { "what is in etcd stays as it is" };
    tracing::warn!("the address to register is not known: {why}; {then}, it is looked for again");
    status.problem(format!("the address to register is not known: {why}"));
    *said = Some(gist);
}

/// One line for every way to get here.
fn say_connected(away: Option<Away>, endpoint: &str, lease: &str) {
    match away {
        Some(Away { since, said, .. }) if !said.is_empty() => {
            tracing::info!("etcd is back after {}, at {endpoint}, lease {lease}", brief(since.elapsed()));
        }
        Some(Away { since, reason, .. }) => {
            let length = brief(since.elapsed());
            tracing::info!("etcd connected again at {endpoint} after {length}, lease {lease}; it was: {reason}");
        }
        None => tracing::info!("etcd connected at {endpoint}, lease {lease}"),
    }
}

/// `etcd unreachable since 12s, 3 services stay as they are, retry in 2.1s: http://10.0.0.1:2379: connect: refused`
fn unreachable(lost: &Lost, since: Duration, retry: Duration, snapshot: &HealthSnapshot, ended: bool) -> String {
    let services = match snapshot.services.len() {
        0 => "nothing is registered".to_owned(),
        1 => "1 service stays as it is".to_owned(),
        count => format!("{count} services stay as they are"),
    };
    let what = match lost.kind() {
        Kind::Unreachable => "unreachable".to_owned(),
        kind => format!("unreachable ({})", kind.label()),
    };
    let keys =
        if ended { " (but the lease has ended there, and the keys with it unless etcd stands still)" } else { "" };
    let (since, retry) = (brief(since), retry.as_secs_f64().max(0.1));
    format!("etcd {what} since {since}, {services}{keys}, retry in {retry:.1}s: {lost}")
}
