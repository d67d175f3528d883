//! A lease and its keepalive stream. Renewing goes on beside everything else that a session does: requests that are
//! slow must not cost the lease.

use std::time::Duration;

use etcd_client::{Client, LeaseKeepAliveResponse, LeaseKeepAliveStream, LeaseKeeper};
use tokio::time::{Instant, sleep_until};

use crate::supervise::{Beats, DEAD};

use super::Config;
use super::identity::{Identity, Lease as Stored};
use super::metrics::RegistryMetrics;
use super::session::{Lost, within};

pub struct Lease {
    keeper: LeaseKeeper,
    renewals: LeaseKeepAliveStream,
    granted: Duration,
    continued: bool,
    request_timeout: Duration,
    renew_at: Instant,
    /// A keepalive that was sent and not answered.
    asked_at: Option<Instant>,
    metrics: RegistryMetrics,
}

impl Lease {
    /// Continues the lease we have, or gets another. With it, the lease of before if it had another TTL and is to be
    /// given up once its keys have moved.
    pub async fn hold(
        client: &mut Client,
        identity: &mut Identity,
        config: &Config,
        metrics: &RegistryMetrics,
    ) -> Result<(Self, Option<i64>), Lost> {
        let limit = config.request_timeout;
        let asked_ttl = i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX);
        let (same, other) = match identity.lease() {
            Some(lease) if lease.asked_ttl == asked_ttl => (Some(lease.id), None),
            other => (None, other.map(|lease| lease.id)),
        };
        let continued = match same {
            Some(id) => continued(client, id, limit).await?,
            None => None,
        };
        let was_continued = continued.is_some();
        if same.is_some() && !was_continued {
            metrics.lease_lost();
            tracing::warn!("the lease of before is gone, getting another");
        }
        let (keeper, renewals) = match continued {
            Some(kept) => kept,
            None => {
                let granted = within("grant a lease", limit, client.lease_grant(asked_ttl, None)).await?;
                identity.set_lease(Some(Stored { id: granted.id(), asked_ttl }));
                within("keepalive", limit, client.lease_keep_alive(granted.id())).await?
            }
        };
        let left = within("look at lease", limit, client.lease_time_to_live(keeper.id(), None)).await?;
        metrics.granted(left.granted_ttl());
        metrics.renewed();
        let granted = Duration::from_secs(u64::try_from(left.granted_ttl()).unwrap_or(0).max(1));
        let lease = Self {
            keeper,
            renewals,
            granted,
            continued: was_continued,
            request_timeout: limit,
            renew_at: Instant::now() + pause(granted),
            asked_at: None,
            metrics: metrics.clone(),
        };
        Ok((lease, other))
    }

    pub fn id(&self) -> i64 {
        self.keeper.id()
    }

    pub fn granted(&self) -> Duration {
        self.granted
    }

    /// Was it ours before this session?
    pub fn origin(&self) -> &'static str {
        if self.continued { "continued" } else { "new" }
    }

    /// Renews for as long as it is polled; returns why that ended. Safe to cancel and to call again.
    pub async fn keep(&mut self, beats: &Beats) -> Lost {
        loop {
            let answer_due = self.asked_at.map(|asked| asked + self.request_timeout);
            tokio::select! {
                () = sleep_until(self.renew_at) => {
                    self.renew_at = Instant::now() + pause(self.granted);
                    if let Err(lost) = self.ask(beats).await {
                        return lost;
                    }
                }
                renewal = self.renewals.message() => {
                    if let Err(lost) = self.note(renewal) {
                        return lost;
                    }
                }
                () = sleep_until(answer_due.unwrap_or(self.renew_at)), if answer_due.is_some() => {
                    return Lost::Slow { doing: "keepalive", within: self.request_timeout };
                }
            }
        }
    }

    /// A last keepalive: the keys then stay for a whole TTL.
    pub async fn renew_once(&mut self) -> Result<(), Lost> {
        within("last keepalive", self.request_timeout, self.keeper.keep_alive()).await?;
        let renewal = within("last keepalive", self.request_timeout, self.renewals.message()).await?;
        self.note(Ok(renewal))
    }

    async fn ask(&mut self, beats: &Beats) -> Result<(), Lost> {
        // An agent that does not judge any more must not keep its instances in traffic.
        if beats.age("health").is_some_and(|age| age > DEAD) {
            tracing::error!("the lease is not renewed: health has not beaten for {} s", DEAD.as_secs());
            return Ok(());
        }
        self.asked_at.get_or_insert_with(Instant::now);
        within("keepalive", self.request_timeout, self.keeper.keep_alive()).await
    }

    fn note(&mut self, renewal: Result<Option<LeaseKeepAliveResponse>, etcd_client::Error>) -> Result<(), Lost> {
        let renewal = renewal.map_err(|source| Lost::Etcd { doing: "keepalive", source })?;
        let renewal = renewal.ok_or(Lost::StreamClosed)?;
        if renewal.ttl() <= 0 {
            return Err(Lost::Lease);
        }
        self.asked_at = None;
        self.metrics.renewed();
        Ok(())
    }
}

/// A third of what was granted, with jitter, so that agents do not renew in step.
fn pause(granted: Duration) -> Duration {
    granted.mul_f64((0.9 + rand::random::<f64>() / 10.0) / 3.0)
}

/// A first keepalive for the lease we have; none if etcd does not know it.
async fn continued(
    client: &mut Client,
    lease: i64,
    limit: Duration,
) -> Result<Option<(LeaseKeeper, LeaseKeepAliveStream)>, Lost> {
    match within("continue lease", limit, client.lease_keep_alive(lease)).await {
        Ok(kept) => Ok(Some(kept)),
        // The client's words for a TTL of zero.
        Err(Lost::Etcd { source: etcd_client::Error::LeaseKeepAliveError(text), .. }) if text == "lease not found" => {
            Ok(None)
        }
        Err(lost) => Err(lost),
    }
}
