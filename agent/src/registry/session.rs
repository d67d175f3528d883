//! One session with etcd: a client, a lease that is kept alive, and our keys under it. It lasts until something is
//! lost; then it is dropped whole, and the next one begins by continuing the lease.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::etcd::{Etcd, EtcdError, Kind, NoEndpoint};
use crate::model::snapshot::HealthSnapshot;
use crate::model::time::Moment;
use crate::supervise::{Beat, Beats};

use super::address::AddressError;
use super::desired::agent_key;
use super::holding::Holding;
use super::identity::Identity;
use super::keys::Keys;
use super::lease::{Had, Lease, look};
use super::metrics::RegistryMetrics;
use super::status::Status;
use super::{Config, Memory, Mode};

/// How often our keys are compared with what etcd has; jittered by a quarter.
const COMPARE: Duration = Duration::from_secs(60);

/// Until another look at what changed under us, or was not taken; at most, and jittered.
const RETRY: Duration = Duration::from_secs(2);

/// Until the address is looked for again.
const ADDRESS: Duration = Duration::from_secs(5);

/// Finds out the address to register.
pub type LookUp = JoinHandle<Result<IpAddr, AddressError>>;

/// Why there is no session any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    #[error("{endpoint}: {source}")]
    At { endpoint: String, source: EtcdError },
    #[error(transparent)]
    NoEndpoint(#[from] NoEndpoint),
    #[error("the lease is gone")]
    Lease,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the address to register is not known yet")]
    NoAddress,
}

impl Lost {
    /// Says which endpoint it was.
    fn at(self, endpoint: &str) -> Self {
        match self {
            Self::Etcd(source) => Self::At { endpoint: endpoint.to_owned(), source },
            other => other,
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Etcd(error) | Self::At { source: error, .. } => error.kind(),
            Self::NoEndpoint(error) => error.kind(),
            Self::Lease => Kind::Lease,
            Self::Address(_) | Self::NoAddress => Kind::Other,
        }
    }
}

/// What a session works with while it lasts.
pub struct Inputs<'a> {
    pub snapshot: &'a mut watch::Receiver<Arc<HealthSnapshot>>,
    pub wanted: &'a mut watch::Receiver<Mode>,
    pub done: &'a watch::Sender<Mode>,
    pub beats: &'a Beats,
    pub status: &'a Status,
    /// None: it could not be found out, now or before.
    pub address: &'a mut Option<IpAddr>,
    /// Finds it out, on a thread of its own.
    pub look_up: &'a (dyn Fn() -> LookUp + Send + Sync),
    /// Called once the session has shown that it can read and write.
    pub established: &'a mut (dyn FnMut(&str, String) + Send),
}

/// What every session of one registry shares.
pub struct Ground<'a> {
    pub config: &'a Config,
    pub etcd: &'a Etcd,
    pub identity: &'a mut Identity,
    pub memory: &'a mut Memory,
    pub metrics: &'a RegistryMetrics,
    pub status: &'a Status,
}

pub struct Session<'a> {
    lease: Lease,
    holding: Holding<'a>,
    /// The place of the endpoint in use.
    pub index: usize,
    endpoint: String,
}

impl<'a> Session<'a> {
    /// Connects to the first endpoint that has a leader, beginning with that of this place.
    pub async fn open(ground: Ground<'a>, start: usize) -> Result<Self, Lost> {
        let Ground { config, etcd, identity, .. } = &ground;
        let ours = identity.lease().map(|lease| lease.id);
        let key = agent_key(config);
        let answered = etcd
            .first(start, |mut client| {
                let key = key.clone();
                async move {
                    let had = look(etcd, &mut client, ours, &key).await?;
                    Ok((client, had))
                }
            })
            .await?;
        let (mut client, had) = answered.value;
        if matches!(had, Had::Gone) {
            ground.metrics.lease_lost();
            ground.identity.lost_lease().await;
            tracing::warn!("the lease of before is gone, getting another");
        }
        let lease = Lease::hold(ground.etcd, &mut client, had, ground.identity, ground.config.ttl).await;
        let lease = lease.map_err(|error| Lost::from(error).at(&answered.endpoint))?;
        ground.status.renewed();
        let keys = Keys { client, etcd: ground.etcd, metrics: ground.metrics, lease: lease.id() };
        let holding = Holding::new(ground, keys, lease.retiring());
        Ok(Self { lease, holding, index: answered.index, endpoint: answered.endpoint })
    }

    /// The lease and where it is from, for a log line.
    fn lease(&self) -> String {
        format!("{:x} ({})", self.lease.id(), if self.lease.is_continued() { "continued" } else { "new" })
    }

    /// Goes on until the session is lost, or left as wanted.
    pub async fn hold(self, inputs: Inputs<'_>, beat: &mut Beat) -> Result<(), Lost> {
        let endpoint = self.endpoint.clone();
        self.go_on(inputs, beat).await.map_err(|lost| lost.at(&endpoint))
    }

    async fn go_on(self, inputs: Inputs<'_>, beat: &mut Beat) -> Result<(), Lost> {
        let said = self.lease();
        let Self { mut lease, mut holding, endpoint, .. } = self;
        let mut established = false;
        let mut compare_at = Instant::now();
        // Without an address nothing can be written; but the lease goes on, and the keys stay.
        let (known, give_up) = (holding.find_address(*inputs.address), Instant::now() + ADDRESS);
        let mut looking: Option<LookUp> = None;
        let mut seen = *inputs.address;
        loop {
            let mode = *inputs.wanted.borrow_and_update();
            let snapshot = inputs.snapshot.borrow_and_update().clone();
            let mut look_at = compare_at;
            let mut reached = true;
            // What is to go is found by its lease too.
            let acts = (known || matches!(mode, Mode::Withdraw | Mode::Leave)) && may_write(&snapshot, mode);
            if acts {
                let whole = Instant::now() >= compare_at;
                if whole {
                    compare_at = Instant::now() + jittered(COMPARE);
                    if established && looking.is_none() {
                        looking = Some((inputs.look_up)());
                    }
                }
                let bringing = holding.bring_about(&snapshot, mode, whole);
                let brought = keeping(&mut lease, (inputs.beats, inputs.status), beat, bringing).await?;
                if !std::mem::replace(&mut established, true) {
                    inputs.status.connected(&endpoint, lease.id(), lease.granted(), lease.since());
                    (inputs.established)(&endpoint, said.clone());
                }
                // Whoever waits for instances to be withdrawn wants them gone.
                reached = brought.withdrawn || mode == Mode::Register;
                let again = holding.look_at(mode, brought.settled, lease.granted());
                look_at = again.map_or(compare_at, |at| at.min(compare_at));
                if holding.must_compare() {
                    compare_at = look_at;
                }
            }
            if matches!(mode, Mode::Leave | Mode::HandOver) {
                beat.during(holding.end(mode, &mut lease)).await?;
                inputs.done.send_replace(mode);
                return Ok(());
            }
            if reached {
                inputs.done.send_if_modified(|done| std::mem::replace(done, mode) != mode);
            }
            tokio::select! {
                () = beat.next() => {}
                Ok(()) = inputs.snapshot.changed() => {}
                Ok(()) = inputs.wanted.changed() => {}
                () = sleep_until(look_at), if acts => {}
                () = sleep_until(give_up), if !known => return Err(Lost::NoAddress),
                Some(found) = ended(&mut looking) => {
                    // What cannot be found out now stays as it was found before, and a hiccup moves nobody.
                    let before = std::mem::replace(&mut seen, found.ok());
                    if let Some(address) = seen
                        && before == seen
                        && holding.moves_to(address)
                    {
                        (*inputs.address, compare_at) = (Some(address), Instant::now());
                    }
                }
                news = holding.news() => news?,
                lost = lease.keep(inputs.beats, inputs.status) => return Err(lost),
            }
        }
    }
}

/// The address that was looked for; for ever where none is. Safe to cancel.
async fn ended(looking: &mut Option<LookUp>) -> Option<Result<IpAddr, AddressError>> {
    let Some(task) = looking else { return std::future::pending().await };
    let found = task.await.ok();
    *looking = None;
    found
}

/// Does something while the lease is kept and the loop beats.
async fn keeping<T>(
    lease: &mut Lease,
    (beats, status): (&Beats, &Status),
    beat: &mut Beat,
    work: impl Future<Output = Result<T, Lost>>,
) -> Result<T, Lost> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            lost = lease.keep(beats, status) => return Err(lost),
            () = beat.next() => {}
        }
    }
}

/// Soon again, but not in step with others.
pub fn retry() -> Instant {
    Instant::now() + RETRY.mul_f64(0.1 + 0.9 * rand::random::<f64>())
}

pub fn jittered(length: Duration) -> Duration {
    length.mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

/// Before health has said anything nothing may be brought about: a key that nobody mentions would be deleted. Handing
/// over leaves everything as it is.
fn may_write(snapshot: &HealthSnapshot, mode: Mode) -> bool {
    match mode {
        Mode::Register => snapshot.at != Moment::default(),
        Mode::Withdraw | Mode::Leave => true,
        Mode::Freeze | Mode::HandOver => false,
    }
}
