//! What the sandbox counts.

use std::sync::Arc;

use prometheus::IntGauge;

use crate::telemetry::Metrics;

pub struct SandboxMetrics {
    pub memory: Arc<IntGauge>,
    pub lateness: Arc<prometheus::Gauge>,
}

impl SandboxMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            memory: metrics.gauge("vitald_sandbox_memory_bytes", "Memory that running guests hold, all together."),
            lateness: metrics.gauge_f64(
                "vitald_sandbox_lateness_seconds",
                "How late the guest runtime woke what was ready, the worst of the last seconds.",
            ),
        }
    }
}
