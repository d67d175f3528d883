//! What the plugins count.

use std::sync::Arc;

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::model::checkset::PluginInfo;
use crate::model::name::Name;
use crate::telemetry::Metrics;

/// What became of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    Success,
    Failure,
    Parked,
}

impl Reload {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Parked => "parked",
        }
    }
}

pub struct PluginMetrics {
    info: Arc<IntGaugeVec>,
    pending: Arc<IntGaugeVec>,
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
            pending: metrics.gauges(
                "vitald_plugin_pending",
                "1 for every plugin of which a version waits for approval.",
                &["plugin"],
            ),
            reloads: metrics.counters(
                "vitald_plugin_reloads_total",
                "Versions that were looked at: swapped in (success), not used (failure) or waiting for approval (parked).",
                &["plugin", "result"],
            ),
        }
    }

    pub fn reloaded(&self, plugin: &Name, result: Reload) {
        self.reloads.with_label_values(&[&**plugin, result.label()]).inc();
    }

    pub fn forget(&self, plugin: &Name) {
        let _ = self.pending.remove_label_values(&[&**plugin]);
        for result in [Reload::Success, Reload::Failure, Reload::Parked] {
            let _ = self.reloads.remove_label_values(&[&**plugin, result.label()]);
        }
    }

    pub fn publish(&self, infos: &[PluginInfo]) {
        self.info.reset();
        // Not all at once as below: an alert waits for this to hold without a gap.
        for info in infos {
            if info.pending.is_some() {
                self.pending.with_label_values(&[&*info.name]).set(1);
            } else {
                let _ = self.pending.remove_label_values(&[&*info.name]);
            }
        }
        for info in infos.iter().filter(|info| info.state != "unused" && info.version.is_some()) {
            let version = info.version.as_deref().unwrap_or_default();
            let digest = info.digest.as_deref().unwrap_or_default();
            self.info.with_label_values(&[&*info.name, version, digest]).set(1);
        }
    }
}
