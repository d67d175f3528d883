//! One session with etcd: a client, a lease that is kept alive, and our keys under it. It lasts until something is
//! lost; then it is dropped whole, and the next one begins by continuing the lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, LeaseKeepAliveStream, LeaseKeeper, LeaseTimeToLiveOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::snapshot::HealthSnapshot;
use crate::model::time::Moment;
use crate::supervise::{Beat, Beats, DEAD};

use super::address::AddressError;
use super::desired::{Desired, Who, agent_key, desired, instance_key};
use super::identity::{Identity, Lease};
use super::keys;
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
    config: &'a Config,
    identity: &'a mut Identity,
    metrics: &'a RegistryMetrics,
    address: IpAddr,
    client: Client,
    lease: i64,
    continued: bool,
    granted: Duration,
    /// A lease with another TTL, given up once the keys have moved.
    old_lease: Option<i64>,
    keeper: LeaseKeeper,
    renewals: LeaseKeepAliveStream,
    /// A keepalive that was sent and not answered.
    asked_at: Option<Instant>,
    last: Option<Desired>,
    conflicts: BTreeSet<String>,
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
        let asked_ttl = i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX);
        let stored = identity.lease();
        let same = stored.filter(|lease| lease.asked_ttl == asked_ttl);
        let old_lease = stored.filter(|lease| lease.asked_ttl != asked_ttl).map(|lease| lease.id);
        let continued = match same {
            Some(lease) => continue_lease(&mut client, lease.id, config).await?,
            None => None,
        };
        let was_continued = continued.is_some();
        if same.is_some() && !was_continued {
            metrics.lease_lost();
            tracing::warn!("the lease of before is gone, getting another");
        }
        let (keeper, renewals) = match continued {
            Some(kept) => kept,
            None => grant(&mut client, asked_ttl, identity, config).await?,
        };
        let lease = keeper.id();
        let left = within("look at lease", config.request_timeout, client.lease_time_to_live(lease, None)).await?;
        metrics.granted(left.granted_ttl());
        metrics.renewed();
        let granted = Duration::from_secs(u64::try_from(left.granted_ttl()).unwrap_or(0).max(1));
        Ok(Self {
            config,
            identity,
            metrics,
            address,
            client,
            lease,
            continued: was_continued,
            granted,
            old_lease,
            keeper,
            renewals,
            asked_at: None,
            last: None,
            conflicts: BTreeSet::new(),
        })
    }

    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// Is the lease a new one?
    pub fn origin(&self) -> &'static str {
        if self.continued { "continued" } else { "new" }
    }

    /// Goes on until the session is lost, or left as wanted.
    pub async fn hold(mut self, inputs: Inputs<'_>, beat: &mut Beat) -> Result<(), Lost> {
        let mut renew_at = self.next_renewal();
        let mut compare_at = Instant::now();
        loop {
            let mode = *inputs.wanted.borrow_and_update();
            let snapshot = inputs.snapshot.borrow_and_update().clone();
            if may_write(&snapshot, mode) {
                let whole = Instant::now() >= compare_at;
                if whole {
                    compare_at = Instant::now() + COMPARE.mul_f64(0.75 + rand::random::<f64>() / 2.0);
                }
                let settled = self.bring_about(&snapshot, mode, whole).await?;
                if !settled {
                    compare_at = compare_at.min(Instant::now() + RETRY);
                } else if !self.conflicts.is_empty() {
                    compare_at = compare_at.min(Instant::now() + self.granted);
                }
            }
            if matches!(mode, Mode::Leave | Mode::HandOver) {
                self.end(mode).await?;
                inputs.done.send_replace(mode);
                return Ok(());
            }
            inputs.done.send_if_modified(|done| std::mem::replace(done, mode) != mode);
            let answer_due = self.asked_at.map(|asked| asked + self.config.request_timeout);
            tokio::select! {
                () = beat.next() => {}
                Ok(()) = inputs.snapshot.changed() => {}
                Ok(()) = inputs.wanted.changed() => {}
                () = sleep_until(compare_at), if may_write(&snapshot, mode) => {}
                () = sleep_until(renew_at) => {
                    renew_at = self.next_renewal();
                    self.ask_renewal(inputs.beats).await?;
                }
                renewal = self.renewals.message() => self.note_renewal(renewal)?,
                () = sleep_until(answer_due.unwrap_or(renew_at)), if answer_due.is_some() => {
                    return Err(Lost::Slow { doing: "keepalive", within: self.config.request_timeout });
                }
            }
        }
    }

    /// A third of what was granted, with jitter, so that agents do not renew in step.
    fn next_renewal(&self) -> Instant {
        Instant::now() + self.granted.mul_f64((0.9 + rand::random::<f64>() / 10.0) / 3.0)
    }

    async fn ask_renewal(&mut self, beats: &Beats) -> Result<(), Lost> {
        // An agent that does not judge any more must not keep its instances in traffic.
        if beats.age("health").is_some_and(|age| age > DEAD) {
            tracing::error!("the lease is not renewed: health has not beaten for {} s", DEAD.as_secs());
            return Ok(());
        }
        within("keepalive", self.config.request_timeout, self.keeper.keep_alive()).await?;
        self.asked_at.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn note_renewal(
        &mut self,
        renewal: Result<Option<etcd_client::LeaseKeepAliveResponse>, etcd_client::Error>,
    ) -> Result<(), Lost> {
        let renewal = renewal.map_err(|source| Lost::Etcd { doing: "keepalive", source })?;
        let renewal = renewal.ok_or(Lost::StreamClosed)?;
        if renewal.ttl() <= 0 {
            self.identity.set_lease(None);
            return Err(Lost::Lease);
        }
        self.asked_at = None;
        self.metrics.renewed();
        Ok(())
    }

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
        if whole && let Some(old) = self.old_lease.take() {
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
            self.identity.set_lease(None);
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
    async fn end(&mut self, mode: Mode) -> Result<(), Lost> {
        let limit = self.config.request_timeout;
        if mode == Mode::Leave {
            within("revoke the lease", limit, self.client.lease_revoke(self.lease)).await?;
            self.identity.set_lease(None);
            tracing::info!("lease revoked, {} is gone", agent_key(self.config));
        } else {
            within("last keepalive", limit, self.keeper.keep_alive()).await?;
            let renewal = within("last keepalive", limit, self.renewals.message()).await;
            self.note_renewal(Ok(renewal?))?;
            tracing::info!("handed over: the keys stay for {} s", self.granted.as_secs());
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

type Kept = (LeaseKeeper, LeaseKeepAliveStream);

/// A first keepalive for the lease we have; none if etcd does not know it.
async fn continue_lease(client: &mut Client, lease: i64, config: &Config) -> Result<Option<Kept>, Lost> {
    match within("continue lease", config.request_timeout, client.lease_keep_alive(lease)).await {
        Ok(kept) => Ok(Some(kept)),
        // The client's words for a TTL of zero.
        Err(Lost::Etcd { source: etcd_client::Error::LeaseKeepAliveError(text), .. }) if text == "lease not found" => {
            Ok(None)
        }
        Err(lost) => Err(lost),
    }
}

async fn grant(client: &mut Client, ttl: i64, identity: &mut Identity, config: &Config) -> Result<Kept, Lost> {
    let granted = within("grant a lease", config.request_timeout, client.lease_grant(ttl, None)).await?;
    identity.set_lease(Some(Lease { id: granted.id(), asked_ttl: ttl }));
    within("keepalive", config.request_timeout, client.lease_keep_alive(granted.id())).await
}
