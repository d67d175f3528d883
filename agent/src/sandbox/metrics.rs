//! What the sandbox counts.

use std::sync::Arc;

use prometheus::{Histogram, IntCounterVec, IntGauge};

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

/// Seconds. A small checker takes half of one, Python's several.
const COMPILE_BUCKETS: [f64; 8] = [0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Of compiling.
pub struct CompileMetrics {
    pub seconds: Arc<Histogram>,
    running: Arc<IntGauge>,
}

impl CompileMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let seconds = "How long it took to compile a plugin, from the start of its process on.";
        Self {
            seconds: metrics.histogram("vitald_compile_seconds", seconds, &COMPILE_BUCKETS),
            running: metrics.gauge("vitald_compiling", "Plugins that are being compiled now."),
        }
    }

    /// Until the answer is dropped.
    pub fn begin(&self) -> Compiling {
        self.running.inc();
        Compiling(self.running.clone())
    }
}

pub struct Compiling(Arc<IntGauge>);

impl Drop for Compiling {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Of the cache of compiled code.
pub struct CacheMetrics(Arc<IntCounterVec>);

impl CacheMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let help = "Looks for the compiled code of a plugin, by what was found.";
        Self(metrics.counters("vitald_compiled_cache_total", help, &["result"]))
    }

    /// `hit`, `miss` or `refused`.
    pub fn count(&self, result: &str) {
        self.0.with_label_values(&[result]).inc();
    }
}
