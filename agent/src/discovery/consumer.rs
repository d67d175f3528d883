//! The agent's part: follows the registry and gives each new set away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use tokio::time::sleep;

use crate::clock;
use crate::model::name::Name;
use crate::model::time::brief;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use super::follow::Follower;
use super::metrics::DiscoveryMetrics;
use super::{Config, Discovery, Found, SUSPECT_FOR, Set};

/// After a new set the next is not made for so long: a fleet that changes a thousand times a second must not take the
/// CPU from those who keep leases. What happens meanwhile waits at etcd, and becomes one set.
const SETTLE: Duration = Duration::from_millis(50);

pub struct Consumer {
    supervisor: Supervisor,
    follower: Follower,
    ttl: Duration,
    publish: watch::Sender<Arc<Set>>,
    metrics: DiscoveryMetrics,
    /// What was given away last.
    last: Set,
    /// How many suspects were said of each service.
    said: BTreeMap<Name, usize>,
}

impl Consumer {
    pub fn build(config: Config, supervisor: Supervisor, publish: watch::Sender<Arc<Set>>, metrics: &Metrics) -> Self {
        let ttl = config.ttl;
        let follower = Follower::new(Discovery::new(config));
        let metrics = DiscoveryMetrics::new(metrics);
        Self { supervisor, follower, ttl, publish, metrics, last: Set::default(), said: BTreeMap::new() }
    }

    pub async fn run(mut self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("discovery");
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = beat.during(self.step()) => {}
            }
        }
    }

    async fn step(&mut self) {
        let set = self.follower.next().await;
        self.metrics.count(self.follower.relists(), self.follower.skipped());
        if let Some(set) = set {
            self.take(set);
            sleep(SETTLE).await;
        }
    }

    fn take(&mut self, set: Set) {
        self.say_confirmed(&set);
        self.say_suspects(&set);
        self.metrics.show(&set);
        self.publish.send_replace(Arc::new(set.clone()));
        self.last = set;
    }

    /// One line per change of state.
    fn say_confirmed(&self, set: &Set) {
        let endpoint = self.follower.endpoint().unwrap_or("etcd");
        let count: usize = set.services.values().map(|found| found.len()).sum();
        let found = format!("{count} instances of {} services", set.services.len());
        match (&self.last.unconfirmed, &set.unconfirmed) {
            (_, None) if !self.last.is_known() => tracing::info!("discovery: {endpoint} is watched, {found}"),
            (Some(away), None) => {
                let away = brief(clock::now().since(away.since));
                tracing::info!("discovery: {endpoint} is watched again after {away}, {found}");
            }
            (None, Some(unconfirmed)) => tracing::warn!(
                "discovery: etcd is not watched: {}; {found} stay as they were, it is tried until it can be",
                unconfirmed.why
            ),
            _ => {}
        }
    }

    /// Again only once they are twice as many: a mass that vanishes bit by bit is a few lines.
    fn say_suspects(&mut self, set: &Set) {
        self.said.retain(|service, _| suspects(set.instances(service)) > 0);
        for (service, found) in set.services.iter() {
            let (said, now) = (self.said.get(service).copied().unwrap_or(0), suspects(found));
            if now == 0 || now < said * 2 {
                continue;
            }
            self.said.insert(service.clone(), now);
            tracing::warn!(
                service = %service,
                "discovery: {now} of {} instances of {service} vanished within {}: they are kept as suspect, for {} at most",
                found.len(),
                brief(self.ttl),
                brief(SUSPECT_FOR)
            );
        }
    }
}

fn suspects(found: &[Found]) -> usize {
    found.iter().filter(|found| found.suspect.is_some()).count()
}
