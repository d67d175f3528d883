//! One session with etcd: a client, a lease that is kept alive, and our keys under it. It lasts until something is
//! lost; then it is dropped whole, and the next one begins by continuing the lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, LeaseTimeToLiveOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::snapshot::HealthSnapshot;
use crate::model::time::Moment;
use crate::supervise::{Beat, Beats};

use super::address::AddressError;
use super::desired::{Desired, Who, agent_key, desired, instance_key};
use super::identity::Identity;
use super::keys;
use super::lease::Lease;
use super::metrics::RegistryMetrics;
use super::plan::{Step, plan};
use super::{Config, Mode};

/// How often our keys are compared with what etcd has; jittered by a quarter.
const COMPARE: Duration = Duration::from_secs(60);

/// Until another look at what changed under us.
const RETRY: Duration = Duration::from_secs(1);

/// Why there is no session any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("{doing}: {}", brief(source))]
    Etcd { doing: &'static str, source: etcd_client::Error },
    #[error("{doing}: no answer within {} ms", within.as_millis())]
    Slow { doing: &'static str, within: Duration },
    #[error("the lease is gone")]
    Lease,
    #[error("the keepalive stream was closed")]
    StreamClosed,
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// The error without the library's layers: for a person, and on one line.
fn brief(error: &etcd_client::Error) -> String {
    match error {
        etcd_client::Error::GRpcStatus(status) => format!("{} ({})", status.message(), status.code()),
        other => other.to_string(),
    }
}

impl Lost {
    /// The metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Etcd { .. } => "etcd",
            Self::Slow { .. } => "timeout",
            Self::Lease => "lease",
            Self::StreamClosed => "stream",
            Self::Address(_) => "address",
        }
    }
}

/// Gives a request its name and its time.
pub async fn within<T>(
    doing: &'static str,
    within: Duration,
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Lost> {
    match timeout(within, request).await {
        Ok(result) => result.map_err(|source| Lost::Etcd { doing, source }),
        Err(_) => Err(Lost::Slow { doing, within }),
    }
}

/// What a session works with while it lasts.
pub struct Inputs<'a> {
    pub snapshot: &'a mut watch::Receiver<Arc<HealthSnapshot>>,
    pub wanted: &'a mut watch::Receiver<Mode>,
    pub done: &'a watch::Sender<Mode>,
    pub beats: &'a Beats,
}

pub struct Session<'a> {
    lease: Lease,
    keys: Keys<'a>,
}

impl<'a> Session<'a> {
    pub async fn open(
        config: &'a Config,
        identity: &'a mut Identity,
        address: IpAddr,
        metrics: &'a RegistryMetrics,
    ) -> Result<Self, Lost> {
        let options = ConnectOptions::new()
            .with_connect_timeout(config.connect_timeout)
            .with_keep_alive(config.ttl / 3, config.request_timeout)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        let connecting = Client::connect(&config.endpoints, Some(options));
        let mut client = within("connect", config.connect_timeout, connecting).await?;
        let (lease, old_lease) = Lease::hold(&mut client, identity, config, metrics).await?;
        let keys = Keys {
            config,
            identity,
            metrics,
            address,
            client,
            lease: lease.id(),
            old_lease,
            last: None,
            conflicts: BTreeSet::new(),
        };
        Ok(Self { lease, keys })
    }

    /// The lease and where it is from, for a log line.
    pub fn lease(&self) -> String {
        format!("{:x} ({})", self.lease.id(), self.lease.origin())
    }

    /// Goes on until the session is lost, or left as wanted.
    pub async fn hold(self, inputs: Inputs<'_>, beat: &mut Beat) -> Result<(), Lost> {
        let Self { mut lease, mut keys } = self;
        let mut compare_at = Instant::now();
        loop {
            let mode = *inputs.wanted.borrow_and_update();
            let snapshot = inputs.snapshot.borrow_and_update().clone();
            if may_write(&snapshot, mode) {
                let whole = Instant::now() >= compare_at;
                if whole {
                    compare_at = Instant::now() + COMPARE.mul_f64(0.75 + rand::random::<f64>() / 2.0);
                }
                let bringing = keys.bring_about(&snapshot, mode, whole);
                let settled = keeping(&mut lease, &inputs, beat, bringing).await?;
                if !settled {
                    compare_at = compare_at.min(Instant::now() + RETRY);
                } else if !keys.conflicts.is_empty() {
                    compare_at = compare_at.min(Instant::now() + lease.granted());
                }
            }
            if matches!(mode, Mode::Leave | Mode::HandOver) {
                keys.end(mode, &mut lease).await?;
                inputs.done.send_replace(mode);
                return Ok(());
            }
            inputs.done.send_if_modified(|done| std::mem::replace(done, mode) != mode);
            tokio::select! {
                () = beat.next() => {}
                Ok(()) = inputs.snapshot.changed() => {}
                Ok(()) = inputs.wanted.changed() => {}
                () = sleep_until(compare_at), if may_write(&snapshot, mode) => {}
                lost = lease.keep(inputs.beats) => return Err(lost),
            }
        }
    }
}

/// Does something while the lease is kept and the loop beats.
async fn keeping<T>(
    lease: &mut Lease,
    inputs: &Inputs<'_>,
    beat: &mut Beat,
    work: impl Future<Output = Result<T, Lost>>,
) -> Result<T, Lost> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            lost = lease.keep(inputs.beats) => return Err(lost),
            () = beat.next() => {}
        }
    }
}

/// Our keys, as far as this session knows them.
struct Keys<'a> {
    config: &'a Config,
    identity: &'a mut Identity,
    metrics: &'a RegistryMetrics,
    address: IpAddr,
    client: Client,
    lease: i64,
    /// A lease with another TTL, given up once the keys have moved.
    old_lease: Option<i64>,
    last: Option<Desired>,
    conflicts: BTreeSet<String>,
}

impl Keys<'_> {
    /// Makes etcd have what should be there: the keys whose desire changed, or all of them. False if something changed
    /// under us and is to be looked at again.
    async fn bring_about(&mut self, snapshot: &HealthSnapshot, mode: Mode, whole: bool) -> Result<bool, Lost> {
        let who = Who { config: self.config, owner: self.identity.owner(), address: self.address };
        let next = desired(snapshot, &who, mode);
        let mut keys = changed_keys(self.last.as_ref(), &next);
        if whole {
            keys.extend(next.keys().cloned());
            keys.extend(self.keys_on_lease().await?);
        }
        if keys.is_empty() {
            return Ok(true);
        }
        let actual = keys::read(&mut self.client, &keys, self.config.request_timeout).await?;
        let steps = plan(&next, &actual, self.identity.owner(), self.lease);
        self.count_repairs(&steps, &next);
        self.note_conflicts(&steps, &keys);
        let failed =
            keys::apply(&mut self.client, &steps, self.lease, self.config.request_timeout, self.metrics).await?;
        if whole
            && failed.is_empty()
            && let Some(old) = self.old_lease.take()
        {
            let revoked = within("revoke the old lease", self.config.request_timeout, self.client.lease_revoke(old));
            // It may be gone already, and goes by itself.
            let _ = revoked.await;
        }
        self.show_registered(snapshot, &next, &failed);
        self.last = Some(next.into_iter().filter(|(key, _)| !failed.contains(key)).collect());
        Ok(failed.is_empty())
    }

    async fn keys_on_lease(&mut self) -> Result<Vec<String>, Lost> {
        let options = Some(LeaseTimeToLiveOptions::new().with_keys());
        let asked = self.client.lease_time_to_live(self.lease, options);
        let found = within("list the lease's keys", self.config.request_timeout, asked).await?;
        if found.ttl() <= 0 {
            return Err(Lost::Lease);
        }
        Ok(found.keys().iter().filter_map(|key| String::from_utf8(key.clone()).ok()).collect())
    }

    /// What was as desired before and is to be put again had been altered by somebody.
    fn count_repairs(&self, steps: &[Step], next: &Desired) {
        let Some(last) = &self.last else { return };
        for step in steps {
            if let Step::Put { key, .. } = step
                && last.get(key) == next.get(key)
            {
                tracing::warn!("{key} had gone or been altered in etcd: it is put again");
                self.metrics.repaired();
            }
        }
    }

    fn note_conflicts(&mut self, steps: &[Step], looked_at: &BTreeSet<String>) {
        let before = self.conflicts.clone();
        self.conflicts.retain(|key| !looked_at.contains(key));
        for step in steps {
            if let Step::Conflict { key, holder } = step {
                self.conflicts.insert(key.clone());
                if before.contains(key) {
                    continue;
                }
                let (ours, id) = (&self.config.agent_id, self.identity.owner());
                tracing::error!(
                    "{key} is held by another owner, it is left alone: give one of the two another id; agent {ours}, \
                     owner {id}, against {holder}"
                );
            }
        }
        self.metrics.conflicts(self.conflicts.len());
    }

    fn show_registered(&self, snapshot: &HealthSnapshot, next: &Desired, failed: &BTreeSet<String>) {
        let registered = snapshot.services.iter().map(|(name, view)| {
            let key = instance_key(self.config, view);
            let there = next.contains_key(&key) && (view.registrable || !view.decided);
            (&**name, there && !failed.contains(&key) && !self.conflicts.contains(&key))
        });
        self.metrics.registered(registered);
    }

    /// Leaves: the lease goes, and the agent's own key with it. Or hands over: everything stays, for a whole TTL.
    async fn end(&mut self, mode: Mode, lease: &mut Lease) -> Result<(), Lost> {
        let limit = self.config.request_timeout;
        if mode == Mode::Leave {
            within("revoke the lease", limit, self.client.lease_revoke(self.lease)).await?;
            self.identity.set_lease(None);
            tracing::info!("lease revoked, {} is gone", agent_key(self.config));
        } else {
            lease.renew_once().await?;
            tracing::info!("handed over: the keys stay for {} s", lease.granted().as_secs());
        }
        Ok(())
    }
}

/// Before health has said anything nothing may be brought about: a key that nobody mentions would be deleted. Handing
/// over leaves everything as it is.
fn may_write(snapshot: &HealthSnapshot, mode: Mode) -> bool {
    match mode {
        Mode::Register => snapshot.at != Moment::default(),
        Mode::Withdraw | Mode::Leave => true,
        Mode::HandOver => false,
    }
}

/// Keys whose desire is another than before; none before means that nothing is known of any.
fn changed_keys(last: Option<&Desired>, next: &Desired) -> BTreeSet<String> {
    let Some(last) = last else { return next.keys().cloned().collect() };
    let all = last.keys().chain(next.keys());
    all.filter(|key| last.get(*key) != next.get(*key)).cloned().collect()
}
