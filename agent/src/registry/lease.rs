//! A lease and its keepalive stream. Renewing goes on beside everything else that a session does: requests that are
//! slow must not cost the lease.

use std::time::Duration;

use etcd_client::{Client, GetOptions, LeaseKeepAliveResponse, LeaseKeepAliveStream, LeaseKeeper};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::etcd::{Etcd, EtcdError, Kind, within};
use crate::model::time::Moment;
use crate::supervise::{Beats, DEAD};

use super::identity::{Identity, Lease as Stored};
use super::session::Lost;
use super::status::Status;

pub struct Lease {
    keeper: LeaseKeeper,
    renewals: LeaseKeepAliveStream,
    granted: Duration,
    /// When it was granted, since the Unix epoch.
    granted_at: Duration,
    continued: bool,
    /// How long an answer may take: so much less than the lease that another endpoint is tried in time.
    answer: Duration,
    renew_at: Instant,
    /// A keepalive that was sent and not answered.
    asked_at: Option<Instant>,
    /// The lease of before, which had another TTL: kept until everything has moved, which may take a while.
    retiring: Option<Retiring>,
}

struct Retiring {
    id: i64,
    keeper: LeaseKeeper,
    renewals: LeaseKeepAliveStream,
    renew_at: Instant,
}

impl Retiring {
    /// A first keepalive; none if it is gone.
    async fn hold(etcd: &Etcd, client: &mut Client, id: i64) -> Result<Option<Self>, EtcdError> {
        Ok(match continued(etcd, client, id).await? {
            Had::Continued(keeper, renewals) => Some(Self { id, keeper, renewals, renew_at: Instant::now() }),
            Had::Gone | Had::None => None,
        })
    }

    /// Renews for as long as it is polled. Returns when it is gone: by itself, or because it was given up.
    async fn keep(&mut self, answer: Duration) -> Result<(), EtcdError> {
        loop {
            tokio::select! {
                () = sleep_until(self.renew_at) => {
                    // Until the first answer tells its TTL.
                    self.renew_at = Instant::now() + pause(super::MIN_TTL);
                    within("keepalive of the lease of before", answer, self.keeper.keep_alive()).await?;
                }
                renewal = self.renewals.message() => {
                    let renewal = renewal.map_err(|error| EtcdError::from_client("keepalive", error))?;
                    let renewal = renewal.ok_or(EtcdError::Closed { doing: "keepalive" })?;
                    let Some(ttl) = u64::try_from(renewal.ttl()).ok().filter(|ttl| *ttl > 0) else { return Ok(()) };
                    self.renew_at = Instant::now() + pause(Duration::from_secs(ttl));
                }
            }
        }
    }
}

/// What a client found of the lease we have.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Had {
    Continued(LeaseKeeper, LeaseKeepAliveStream),
    /// etcd does not know it any more.
    Gone,
    /// There was none to continue.
    None,
}

/// A first keepalive for the lease we have; without one, a read that only a member with a leader answers. `key` is any
/// key: it is the answer that counts.
pub async fn look(etcd: &Etcd, client: &mut Client, lease: Option<i64>, key: &str) -> Result<Had, EtcdError> {
    let Some(lease) = lease else {
        let options = GetOptions::new().with_count_only();
        return match etcd.ask("look for a leader", client.get(key, Some(options))).await {
            Err(error) if error.kind() != Kind::Permission => Err(error),
            _ => Ok(Had::None),
        };
    };
    continued(etcd, client, lease).await
}

/// A first keepalive for a lease.
async fn continued(etcd: &Etcd, client: &mut Client, lease: i64) -> Result<Had, EtcdError> {
    let continuing = within("continue the lease", etcd.config().request_timeout, async {
        match client.lease_keep_alive(lease).await {
            // The client's words for a TTL of zero.
            Err(etcd_client::Error::LeaseKeepAliveError(text)) if text == "lease not found" => Ok(None),
            other => other.map(Some),
        }
    });
    match continuing.await {
        Ok(Some((keeper, renewals))) => Ok(Had::Continued(keeper, renewals)),
        Ok(None) => Ok(Had::Gone),
        Err(error) if error.kind() == Kind::Lease => Ok(Had::Gone),
        Err(error) => Err(error),
    }
}

impl Lease {
    /// Goes on with the lease that was found, or gets another.
    pub async fn hold(
        etcd: &Etcd,
        client: &mut Client,
        had: Had,
        identity: &mut Identity,
        ttl: Duration,
    ) -> Result<Self, EtcdError> {
        let asked_ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let same_ttl = identity.lease().is_some_and(|lease| lease.asked_ttl == asked_ttl);
        let mut continued = matches!(had, Had::Continued(..));
        let mut retiring = match identity.retiring() {
            Some(id) => Retiring::hold(etcd, client, id).await?,
            None => None,
        };
        if retiring.is_none() && identity.retiring().is_some() {
            identity.retired().await;
        }
        let (keeper, renewals) = match had {
            Had::Continued(keeper, renewals) if same_ttl => (keeper, renewals),
            Had::Continued(keeper, renewals) if retiring.is_some() => {
                tracing::warn!("the changed ttl has to wait: keys hang on the lease of before the last change still");
                (keeper, renewals)
            }
            // Another TTL is another lease; the keys move onto it. A full etcd grants none: then the old one goes on.
            Had::Continued(keeper, renewals) => match grant(etcd, client, identity, asked_ttl).await {
                Err(error) if error.kind() == Kind::Space => {
                    tracing::warn!("the changed ttl has to wait for another lease: {error}");
                    (keeper, renewals)
                }
                other => {
                    continued = false;
                    let id = keeper.id();
                    retiring = Some(Retiring { id, keeper, renewals, renew_at: Instant::now() });
                    other?
                }
            },
            Had::Gone | Had::None => grant(etcd, client, identity, asked_ttl).await?,
        };
        let left = etcd.ask("look at the lease", client.lease_time_to_live(keeper.id(), None)).await?;
        let granted = Duration::from_secs(u64::try_from(left.granted_ttl()).unwrap_or(0).max(1));
        Ok(Self {
            keeper,
            renewals,
            granted,
            granted_at: identity.lease().map_or(Duration::ZERO, |lease| lease.granted_at),
            continued,
            answer: etcd.config().request_timeout.min(granted / 5),
            renew_at: Instant::now() + pause(granted),
            asked_at: None,
            retiring,
        })
    }

    pub fn id(&self) -> i64 {
        self.keeper.id()
    }

    pub fn granted(&self) -> Duration {
        self.granted
    }

    /// When it was granted, perhaps to an agent before us.
    pub fn since(&self) -> Moment {
        let now = clock::now();
        let wall = if self.granted_at.is_zero() { now.wall } else { self.granted_at };
        Moment { boot: now.boot.saturating_sub(now.wall.saturating_sub(wall)), wall }
    }

    /// Was it ours before this session?
    pub fn is_continued(&self) -> bool {
        self.continued
    }

    pub fn retiring(&self) -> Option<i64> {
        self.retiring.as_ref().map(|retiring| retiring.id)
    }

    /// Renews for as long as it is polled; returns why that ended. Safe to cancel and to call again.
    pub async fn keep(&mut self, beats: &Beats, status: &Status) -> Lost {
        loop {
            let answer_due = self.asked_at.map(|asked| asked + self.answer);
            tokio::select! {
                () = sleep_until(self.renew_at) => {
                    self.renew_at = Instant::now() + pause(self.granted);
                    if let Err(lost) = self.ask(beats).await {
                        return lost;
                    }
                }
                renewal = self.renewals.message() => match self.note(renewal) {
                    Ok(()) => status.renewed(),
                    Err(lost) => return lost,
                },
                ended = keep_retiring(&mut self.retiring, self.answer) => match ended {
                    Ok(()) => self.retiring = None,
                    Err(error) => return error.into(),
                },
                () = sleep_until(answer_due.unwrap_or(self.renew_at)), if answer_due.is_some() => {
                    return EtcdError::Slow { doing: "keepalive", within: self.answer }.into();
                }
            }
        }
    }

    /// A last keepalive: the keys then stay for a whole TTL.
    pub async fn renew_once(&mut self) -> Result<(), Lost> {
        within("last keepalive", self.answer, self.keeper.keep_alive()).await?;
        let renewal = within("last keepalive", self.answer, self.renewals.message()).await?;
        self.note(Ok(renewal))
    }

    async fn ask(&mut self, beats: &Beats) -> Result<(), Lost> {
        // An agent that does not judge any more must not keep its instances in traffic.
        if beats.age("health").is_some_and(|age| age > DEAD) {
            tracing::error!("the lease is not renewed: health has not beaten for {} s", DEAD.as_secs());
            return Ok(());
        }
        self.asked_at.get_or_insert_with(Instant::now);
        Ok(within("keepalive", self.answer, self.keeper.keep_alive()).await?)
    }

    fn note(&mut self, renewal: Result<Option<LeaseKeepAliveResponse>, etcd_client::Error>) -> Result<(), Lost> {
        let renewal = renewal.map_err(|error| EtcdError::from_client("keepalive", error))?;
        let renewal = renewal.ok_or(EtcdError::Closed { doing: "keepalive" })?;
        if renewal.ttl() <= 0 {
            return Err(Lost::Lease);
        }
        self.asked_at = None;
        Ok(())
    }
}

/// For ever where there is none.
async fn keep_retiring(retiring: &mut Option<Retiring>, answer: Duration) -> Result<(), EtcdError> {
    match retiring {
        Some(retiring) => retiring.keep(answer).await,
        None => std::future::pending().await,
    }
}

/// A new lease, written down before anything hangs on it.
async fn grant(
    etcd: &Etcd,
    client: &mut Client,
    identity: &mut Identity,
    asked_ttl: i64,
) -> Result<(LeaseKeeper, LeaseKeepAliveStream), EtcdError> {
    let granted = etcd.ask("grant a lease", client.lease_grant(asked_ttl, None)).await?;
    identity.set_lease(Stored { id: granted.id(), asked_ttl, granted_at: clock::now().wall }).await;
    etcd.ask("keepalive", client.lease_keep_alive(granted.id())).await
}

/// A third of what was granted, with jitter, so that agents do not renew in step.
fn pause(granted: Duration) -> Duration {
    granted.mul_f64((0.9 + rand::random::<f64>() / 10.0) / 3.0)
}
