//! Keeps this host's well instances registered in etcd, under one lease, for as long as they are well.
//!
//! Losing a lease, a stream, an endpoint or the whole cluster is normal: it is counted, said once, and tried again for
//! ever. Nothing that etcd does changes local health or ends the agent. An instance whose checks are not decided yet
//! stays as it is.

mod address;
mod desired;
mod identity;
mod keys;
mod lease;
mod metrics;
mod plan;
mod session;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::name::Name;
use crate::model::snapshot::HealthSnapshot;
use crate::model::time::brief;
use crate::supervise::{Beat, Stop, Supervisor};
use crate::telemetry::Metrics;

use self::identity::Identity;
use self::metrics::RegistryMetrics;
use self::session::{Lost, Session};

/// etcd rounds shorter leases up, and a hiccup would cost them.
pub const MIN_TTL: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// The address of services that give only a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// Of the route to etcd.
    Auto,
    Interface(String),
    Address(IpAddr),
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
    pub endpoints: Vec<String>,
    pub prefix: String,
    pub agents_prefix: String,
    pub ttl: Duration,
    pub on_stop: OnStop,
    /// Between deleting the keys and stopping.
    pub drain: Duration,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
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

pub struct Registry {
    config: Config,
    supervisor: Supervisor,
    identity: Identity,
    snapshot: watch::Receiver<Arc<HealthSnapshot>>,
    wanted: watch::Receiver<Mode>,
    done: watch::Sender<Mode>,
    metrics: RegistryMetrics,
    /// Since when there is no session, and what was said of it.
    away: Option<Instant>,
}

impl Registry {
    pub fn build(
        config: Config,
        supervisor: Supervisor,
        snapshot: watch::Receiver<Arc<HealthSnapshot>>,
        metrics: &Metrics,
    ) -> (Self, Handle) {
        let identity = Identity::load(&config.state_dir);
        let (wanted_sender, wanted) = watch::channel(Mode::Register);
        let (done, done_receiver) = watch::channel(Mode::Register);
        let metrics = RegistryMetrics::new(metrics);
        let registry = Self { config, supervisor, identity, snapshot, wanted, done, metrics, away: None };
        (registry, Handle { wanted: wanted_sender, done: done_receiver })
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
                stop.wait().await;
                return;
            };
            let pause = self.note_lost(&lost, &mut backoff);
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
        let (advertise, endpoints) = (self.config.advertise.clone(), self.config.endpoints.clone());
        let address = self.supervisor.blocking(move || address::advertised(&advertise, &endpoints));
        let address = beat.during(address).await.map_err(|_| Lost::StreamClosed)??;
        let open = Session::open(&self.config, &mut self.identity, address, &self.metrics);
        let session = beat.during(open).await?;
        self.metrics.up(true);
        *backoff = FIRST_BACKOFF;
        match self.away.take() {
            Some(since) => {
                let away = brief(since.elapsed());
                tracing::info!("etcd is back after {away}, lease {}", session.lease());
            }
            None => tracing::info!("etcd connected, lease {}", session.lease()),
        }
        let inputs = session::Inputs {
            snapshot: &mut self.snapshot,
            wanted: &mut self.wanted,
            done: &self.done,
            beats: self.supervisor.beats(),
        };
        session.hold(inputs, beat).await
    }

    /// Counts and says what was lost, once; returns how long to wait.
    fn note_lost(&mut self, lost: &Lost, backoff: &mut Duration) -> Duration {
        self.metrics.up(false);
        self.metrics.lost(lost);
        // A lost lease is got anew at once.
        if matches!(lost, Lost::Lease) {
            self.metrics.lease_lost();
            self.identity.set_lease(None);
            tracing::warn!("the lease was lost, getting another");
            return Duration::ZERO;
        }
        let longest = (self.config.ttl / 3).min(LONGEST_BACKOFF);
        let pause = backoff.mul_f64(rand::random::<f64>());
        *backoff = (*backoff * 2).min(longest);
        if self.away.is_none() {
            let services = match self.snapshot.borrow().services.len() {
                1 => "1 service".to_owned(),
                count => format!("{count} services"),
            };
            let endpoints = self.config.endpoints.join(", ");
            tracing::warn!(
                "etcd ({endpoints}) cannot be used: {lost}; {services} stay as they are, it is tried again \
                 until it can"
            );
            self.away = Some(Instant::now());
        } else {
            tracing::debug!("etcd still cannot be used: {lost}; retry in {}", brief(pause));
        }
        pause
    }
}
