//! What the plugins count.

use std::sync::Arc;

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::model::checkset::PluginInfo;
use crate::model::name::Name;
use crate::telemetry::Metrics;

pub struct PluginMetrics {
    info: Arc<IntGaugeVec>,
    reloads: Arc<IntCounterVec>,
}

impl PluginMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            info: metrics.gauges(
                "vitald_plugin_info",
                "1 for every plugin that is loaded, with the version that runs.",
                &["plugin", "version", "digest"],
            ),
            reloads: metrics.counters(
                "vitald_plugin_reloads_total",
                "Versions that were looked at: swapped in (success) or not used (failure).",
                &["plugin", "result"],
            ),
        }
    }

    pub fn reloaded(&self, plugin: &Name, used: bool) {
        let result = if used { "success" } else { "failure" };
        self.reloads.with_label_values(&[&**plugin, result]).inc();
    }

    pub fn forget(&self, plugin: &Name) {
        for result in ["success", "failure"] {
            let _ = self.reloads.remove_label_values(&[&**plugin, result]);
        }
    }

    pub fn publish(&self, infos: &[PluginInfo]) {
        self.info.reset();
        for info in infos.iter().filter(|info| matches!(info.state, "ready" | "kept")) {
            let version = info.version.as_deref().unwrap_or_default();
            let digest = info.digest.as_deref().unwrap_or_default();
            self.info.with_label_values(&[&*info.name, version, digest]).set(1);
        }
    }
}
