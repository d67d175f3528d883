//! What the schedule counts.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{CounterVec, Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use crate::model::name::Name;
use crate::model::outcome::{Ending, RunReport, Skipped};
use crate::telemetry::Metrics;

const DURATION_BUCKETS: [f64; 9] = [0.005, 0.025, 0.1, 0.3, 0.5, 0.8, 1.0, 2.5, 10.0];
const LATENESS_BUCKETS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
const ENDINGS: [&str; 13] = [
    "up",
    "degraded",
    "down",
    "timeout",
    "cpu",
    "idle",
    "limit",
    "trap",
    "denied",
    "invalid-params",
    "no-checker",
    "resolver",
    "internal",
];
const SKIPS: [Skipped; 3] = [Skipped::Overloaded, Skipped::Overlap, Skipped::Cancelled];

pub struct ScheduleMetrics {
    due: Arc<IntCounterVec>,
    runs: Arc<IntCounterVec>,
    skipped: Arc<IntCounterVec>,
    duration: Arc<HistogramVec>,
    cpu: Arc<CounterVec>,
    memory: Arc<IntGaugeVec>,
    denied: Arc<IntCounterVec>,
    lateness: Arc<Histogram>,
    in_flight: Arc<IntGauge>,
}

impl ScheduleMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            due: metrics.counters(
                "vitald_schedule_due_total",
                "Runs that came due: those that ran and those that were skipped.",
                &["check"],
            ),
            runs: metrics.counters(
                "vitald_check_runs_total",
                "Runs that ended, by what they gave: up, degraded, down, or the fault.",
                &["check", "checker", "result"],
            ),
            skipped: metrics.counters(
                "vitald_check_skipped_total",
                "Due runs that were not made, or whose result was of no use, by reason.",
                &["check", "reason"],
            ),
            duration: metrics.histograms(
                "vitald_check_duration_seconds",
                "How long runs took.",
                &DURATION_BUCKETS,
                &["check"],
            ),
            cpu: metrics.counters_f64(
                "vitald_check_cpu_seconds_total",
                "CPU time that the runs of a check used, host calls included.",
                &["check"],
            ),
            memory: metrics.gauges(
                "vitald_check_memory_peak_bytes",
                "The most memory that the last run of a check held.",
                &["check"],
            ),
            denied: metrics.counters(
                "vitald_egress_denied_total",
                "Connections that were refused for want of a grant.",
                &["check"],
            ),
            lateness: metrics.histogram(
                "vitald_schedule_lateness_seconds",
                "How late runs were started.",
                &LATENESS_BUCKETS,
            ),
            in_flight: metrics.gauge("vitald_runs_in_flight", "Runs that are going on."),
        }
    }

    pub fn due(&self, check: &Name, late: Duration) {
        self.due.with_label_values(&[check]).inc();
        self.lateness.observe(late.as_secs_f64());
    }

    pub fn skipped(&self, check: &Name, why: Skipped) {
        self.skipped.with_label_values(&[&**check, why.label()]).inc();
    }

    pub fn ran(&self, check: &Name, checker: &Name, report: &RunReport) {
        let result = match &report.ending {
            Ending::Judged(outcome) => outcome.status.label(),
            Ending::Faulted(fault) => fault.kind.label(),
            Ending::NotRun(why) => return self.skipped(check, *why),
        };
        self.runs.with_label_values(&[&**check, &**checker, result]).inc();
        self.duration.with_label_values(&[check]).observe(report.duration.as_secs_f64());
        self.cpu.with_label_values(&[check]).inc_by(report.cpu.as_secs_f64());
        self.memory.with_label_values(&[check]).set(i64::try_from(report.memory_peak).unwrap_or(i64::MAX));
        if report.denied > 0 {
            self.denied.with_label_values(&[check]).inc_by(report.denied);
        }
    }

    pub fn in_flight(&self, count: usize) {
        self.in_flight.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A check that is gone leaves no series behind. `checker` is part of one name, so all of its endings go.
    pub fn forget(&self, check: &Name) {
        let _ = self.due.remove_label_values(&[check]);
        let _ = self.duration.remove_label_values(&[check]);
        let _ = self.cpu.remove_label_values(&[check]);
        let _ = self.memory.remove_label_values(&[check]);
        let _ = self.denied.remove_label_values(&[check]);
        for why in SKIPS {
            let _ = self.skipped.remove_label_values(&[&**check, why.label()]);
        }
        self.forget_runs(check);
    }

    fn forget_runs(&self, check: &Name) {
        use prometheus::core::Collector as _;
        let label = |metric: &prometheus::proto::Metric, name: &str| {
            metric.get_label().iter().find(|pair| pair.name() == name).map(|pair| pair.value().to_owned())
        };
        let mut checkers: Vec<String> = Vec::new();
        for family in self.runs.collect() {
            let own = family.get_metric().iter().filter(|m| label(m, "check").as_deref() == Some(&**check));
            checkers.extend(own.filter_map(|metric| label(metric, "checker")));
        }
        for checker in &checkers {
            for result in ENDINGS {
                let _ = self.runs.remove_label_values(&[&**check, checker.as_str(), result]);
            }
        }
    }
}
