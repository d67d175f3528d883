//! The leases of a session, and how they are given up: what hangs on one must have a place before it goes.

use etcd_client::LeaseTimeToLiveOptions;

use crate::etcd::{EtcdError, Kind};

use super::super::Mode;
use super::super::desired::agent_key;
use super::super::lease::Lease;
use super::super::session::Lost;
use super::Holding;

impl Holding<'_> {
    /// The keys that hang on a lease of ours; none where etcd's user may not ask for them.
    pub(super) async fn keys_on(&mut self, lease: i64) -> Result<Option<Vec<String>>, Lost> {
        let options = Some(LeaseTimeToLiveOptions::new().with_keys());
        let asked = self.keys.client.lease_time_to_live(lease, options);
        let found = match self.ground.etcd.ask("list the lease's keys", asked).await {
            // Newer etcds want the right to read all of them.
            Err(error) if error.kind() == Kind::Permission => return Ok(None),
            other => other?,
        };
        if found.ttl() <= 0 {
            // Of before: it has ended by itself, and nothing hangs on it.
            return if lease == self.keys.lease { Err(Lost::Lease) } else { Ok(Some(Vec::new())) };
        }
        Ok(Some(found.keys().iter().filter_map(|key| String::from_utf8(key.clone()).ok()).collect()))
    }

    /// Gives up the lease of before, once nothing hangs on it any more.
    pub(super) async fn retire(&mut self) -> Result<(), Lost> {
        let Some(lease) = self.retiring else { return Ok(()) };
        let left = match self.keys_on(lease).await? {
            Some(keys) => !keys.is_empty(),
            None => self.mirror.holds_any(lease) || !self.troubles.refused.is_empty(),
        };
        if left {
            return Ok(());
        }
        let revoked = self.ground.etcd.ask("revoke the lease of before", self.keys.client.lease_revoke(lease)).await;
        // It may be gone already, and goes by itself.
        if let Err(error) = revoked {
            tracing::debug!("the lease of before: {error}");
        }
        self.retiring = None;
        self.ground.identity.retired().await;
        Ok(())
    }

    /// Leaves: the lease goes, and the agent's own key with it. Or hands over: everything stays, for a whole TTL.
    pub async fn end(&mut self, mode: Mode, lease: &mut Lease) -> Result<(), Lost> {
        if mode != Mode::Leave {
            lease.renew_once().await?;
            tracing::info!("handed over: the keys stay for {} s", lease.granted().as_secs());
            return Ok(());
        }
        for id in std::iter::once(self.keys.lease).chain(self.retiring) {
            match self.ground.etcd.ask("revoke the lease", self.keys.client.lease_revoke(id)).await {
                // There are keys on it that the user may not write.
                Err(error) if error.kind() == Kind::Permission => self.leave_without_revoking(&error).await,
                Err(error) if error.kind() != Kind::Lease => return Err(error.into()),
                _ => tracing::info!("lease {id:x} revoked"),
            }
        }
        self.ground.identity.retired().await;
        self.ground.identity.lost_lease().await;
        Ok(())
    }

    /// The lease ends by itself, but the agent's own key need not wait for that.
    async fn leave_without_revoking(&mut self, error: &EtcdError) {
        let ttl = self.ground.config.ttl.as_secs();
        tracing::warn!("the lease is not revoked, what hangs on it goes within {ttl} s: {error}");
        let key = agent_key(self.ground.config);
        if self.mirror.get(&key).is_some_and(|seen| seen.lease == self.keys.lease) {
            let deleted = self.ground.etcd.ask("delete", self.keys.client.delete(key.as_str(), None)).await;
            if let Err(error) = deleted {
                tracing::debug!("{key} goes with the lease: {error}");
            }
        }
    }
}
