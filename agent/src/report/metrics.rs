//! What reports count. Every series is there from the start, at 0, so that an alert on it works before the first fault.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::clock;
use crate::model::name::Name;
use crate::telemetry::Metrics;

/// Why a try to deliver failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection, or it broke.
    Io,
    Tls,
    Timeout,
    /// The token file cannot be read.
    Token,
    /// 401 or 403.
    Unauthorized,
    /// 429.
    Throttled,
    /// 5xx.
    Server,
    /// 400, 413 or 422: it would never pass, and is dropped.
    Refused,
    /// Any other status.
    Status,
    /// The report cannot be read back from the buffer now.
    Disk,
}

impl Failure {
    const ALL: [Self; 10] = [
        Self::Io,
        Self::Tls,
        Self::Timeout,
        Self::Token,
        Self::Unauthorized,
        Self::Throttled,
        Self::Server,
        Self::Refused,
        Self::Status,
        Self::Disk,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Token => "token",
            Self::Unauthorized => "unauthorized",
            Self::Throttled => "throttled",
            Self::Server => "server",
            Self::Refused => "refused",
            Self::Status => "status",
            Self::Disk => "disk",
        }
    }
}

/// Why a report was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The oldest, to make room on disk.
    Buffer,
    /// The oldest, to make room in memory while the disk takes nothing.
    Memory,
    /// The receiver will never take it.
    Refused,
    /// Its file is torn or corrupt.
    Damaged,
    /// Larger than any receiver must take, or than the whole buffer.
    TooLarge,
}

impl Dropped {
    const ALL: [Self; 5] = [Self::Buffer, Self::Memory, Self::Refused, Self::Damaged, Self::TooLarge];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Buffer => "buffer",
            Self::Memory => "memory",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::TooLarge => "too-large",
        }
    }
}

pub struct ReportMetrics {
    sent: Arc<IntCounterVec>,
    failures: Arc<IntCounterVec>,
    dropped: Arc<IntCounterVec>,
    buffered: Arc<IntGaugeVec>,
    buffered_bytes: Arc<IntGaugeVec>,
    last_success: Arc<IntGaugeVec>,
}

impl ReportMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            sent: metrics.counters("vitald_report_sent_total", "Reports that were delivered.", &["report"]),
            failures: metrics.counters(
                "vitald_report_failures_total",
                "Tries to deliver a report that failed, by why.",
                &["report", "reason"],
            ),
            dropped: metrics.counters(
                "vitald_report_dropped_total",
                "Reports that were given up and will never be delivered, by why.",
                &["report", "reason"],
            ),
            buffered: metrics.gauges("vitald_report_buffered", "Reports that wait to be delivered.", &["report"]),
            buffered_bytes: metrics.gauges(
                "vitald_report_buffered_bytes",
                "Room that the waiting reports take, in whole blocks of 4 KiB.",
                &["report"],
            ),
            last_success: metrics.gauges(
                "vitald_report_last_success_timestamp_seconds",
                "When a report was last delivered, in seconds since the Unix epoch; 0 before the first.",
                &["report"],
            ),
        }
    }

    pub fn of(&self, report: &Name) -> TargetMetrics {
        let own = TargetMetrics {
            report: report.clone(),
            sent: self.sent.with_label_values(&[report]),
            failures: self.failures.clone(),
            dropped: self.dropped.clone(),
            buffered: self.buffered.with_label_values(&[report]),
            buffered_bytes: self.buffered_bytes.with_label_values(&[report]),
            last_success: self.last_success.with_label_values(&[report]),
        };
        for failure in Failure::ALL {
            own.failures.with_label_values(&[report, failure.label()]).inc_by(0);
        }
        for dropped in Dropped::ALL {
            own.dropped.with_label_values(&[report, dropped.label()]).inc_by(0);
        }
        own
    }
}

/// The series of one `[[report]]`.
pub struct TargetMetrics {
    report: Name,
    sent: IntCounter,
    failures: Arc<IntCounterVec>,
    dropped: Arc<IntCounterVec>,
    buffered: IntGauge,
    buffered_bytes: IntGauge,
    last_success: IntGauge,
}

impl TargetMetrics {
    pub fn sent(&self) {
        self.sent.inc();
        self.last_success.set(i64::try_from(clock::now().wall.as_secs()).unwrap_or(i64::MAX));
    }

    pub fn failed(&self, failure: Failure) {
        self.failures.with_label_values(&[&self.report, failure.label()]).inc();
    }

    pub fn dropped(&self, why: Dropped, count: u64) {
        self.dropped.with_label_values(&[&self.report, why.label()]).inc_by(count);
    }

    /// What waits now.
    pub fn buffered(&self, count: usize, bytes: u64) {
        self.buffered.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.buffered_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
