//! What the server counts of itself.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use crate::telemetry::Metrics;

const BUCKETS: [f64; 6] = [0.0001, 0.001, 0.005, 0.025, 0.1, 1.0];

pub struct HttpMetrics {
    requests: Arc<IntCounterVec>,
    duration: Arc<HistogramVec>,
}

impl HttpMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let labels = ["method", "path", "status"];
        Self {
            requests: metrics.counters("vitald_http_requests_total", "Requests, by route, method and status.", &labels),
            duration: metrics.histograms(
                "vitald_http_request_duration_seconds",
                "How long answers took to make.",
                &BUCKETS,
                &labels,
            ),
        }
    }

    /// Counts and logs one request. `route` is the pattern, so that no stranger can make series.
    pub fn answered(&self, method: &str, route: &str, path: &str, status: u16, took: Duration) {
        let code = status.to_string();
        let labels = [method, route, code.as_str()];
        self.requests.with_label_values(&labels).inc();
        self.duration.with_label_values(&labels).observe(took.as_secs_f64());
        let latency_us = took.as_micros();
        tracing::debug!(method, path, status, latency_us, "{method} {path} {status} {latency_us} us");
    }
}
