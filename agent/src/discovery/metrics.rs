//! What the consumer side counts.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use crate::telemetry::Metrics;

use super::Set;

/// Services that get a series of their own: whoever may write to etcd must not fill Prometheus. The others count in the
/// gauges without a label.
const MAX_SERIES: usize = 1000;

pub struct DiscoveryMetrics {
    up: Arc<IntGauge>,
    instances: Arc<IntGaugeVec>,
    suspects: Arc<IntGauge>,
    relists: Arc<IntCounter>,
    skipped: Arc<IntCounter>,
}

impl DiscoveryMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            up: metrics.gauge("vitald_discovery_up", "Whether the registry is watched: 1 or 0."),
            instances: metrics.gauges(
                "vitald_discovery_instances",
                "Instances that are known, suspects included; of the first 1000 services.",
                &["service"],
            ),
            suspects: metrics.gauge(
                "vitald_discovery_suspect_instances",
                "Instances that vanished together with too many others, and are kept for a while.",
            ),
            relists: metrics.counter("vitald_discovery_relists_total", "Lists after the first: each ended a watch."),
            skipped: metrics
                .counter("vitald_discovery_skipped_total", "Keys below the prefix whose value was no instance."),
        }
    }

    pub fn show(&self, set: &Set) {
        self.up.set(i64::from(set.is_known() && set.unconfirmed.is_none()));
        let suspects = set.services.values().flat_map(|found| found.iter()).filter(|found| found.suspect.is_some());
        self.suspects.set(number(suspects.count()));
        self.instances.reset();
        for (service, found) in set.services.iter().take(MAX_SERIES) {
            self.instances.with_label_values(&[service.as_ref()]).set(number(found.len()));
        }
    }

    /// Totals so far.
    pub fn count(&self, relists: u64, skipped: u64) {
        self.relists.inc_by(relists.saturating_sub(self.relists.get()));
        self.skipped.inc_by(skipped.saturating_sub(self.skipped.get()));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_are_gone_leave_no_series() {
        let (metrics, mut set) = (Metrics::default(), Set::default());
        let counts = DiscoveryMetrics::new(&metrics);
        let text = r#"{"id":"a","service":"shop","address":"h","port":1}"#;
        let instance: Arc<_> = Arc::new(serde_json::from_str(text).expect("an instance"));
        let found = |suspect| crate::discovery::Found { instance: Arc::clone(&instance), suspect };
        let shop = "shop".parse().expect("a name");
        let two = [found(None), found(Some(crate::clock::now()))];
        set.services = Arc::new([(shop, Arc::from(two))].into());
        counts.show(&set);
        assert_eq!((counts.up.get(), counts.suspects.get()), (0, 1), "nothing was ever listed");
        assert_eq!(counts.instances.with_label_values(&["shop"]).get(), 2);
        set.revision = 1;
        set.services = Arc::default();
        counts.show(&set);
        assert_eq!((counts.up.get(), counts.suspects.get()), (1, 0));
        assert!(!metrics.gather().iter().any(|family| family.name() == "vitald_discovery_instances"));
        counts.count(3, 5);
        counts.count(4, 5);
        assert_eq!((counts.relists.get(), counts.skipped.get()), (4, 5));
    }
}
