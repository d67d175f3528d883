//! Samples the host's numbers on a clock, never on request, under node_exporter's names.
//!
//! A sample may hang (a file system that is gone): it is taken beside this loop, and while one hangs no other is
//! begun; the last one stays, with its age.

mod cpu;
mod disk;
mod memory;
mod network;
mod process;
mod system;

use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::MetricFamily;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::model::host::{HostFamily, HostSample, HostSeries};
use crate::model::outcome::Kind;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::{FamilyBuilder, MetricSource};

pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Config {
    pub interval: Duration,
}

pub struct Host {
    config: Config,
    supervisor: Supervisor,
    publish: watch::Sender<Arc<HostSample>>,
}

impl Host {
    pub fn build(config: Config, supervisor: Supervisor, publish: watch::Sender<Arc<HostSample>>) -> Self {
        Self { config, supervisor, publish }
    }

    pub async fn run(self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("host");
        let mut ticks = tokio::time::interval(self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut idle = Some(Collectors::new());
        let mut sampling: Option<JoinHandle<(Collectors, HostSample)>> = None;
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = beat.next() => {}
                _ = ticks.tick() => match idle.take() {
                    Some(collectors) => sampling = Some(self.supervisor.blocking(move || collectors.sample())),
                    None => tracing::warn!("the host's numbers are late: the last sample has not been finished"),
                },
                done = finished(&mut sampling) => {
                    sampling = None;
                    // A sample that panicked took its collectors with it.
                    let (collectors, sample) = done.map_or_else(|_| (Collectors::new(), None), |(c, s)| (c, Some(s)));
                    idle = Some(collectors);
                    if let Some(sample) = sample {
                        self.publish.send_replace(Arc::new(sample));
                    }
                }
            }
        }
    }
}

async fn finished<T>(sampling: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match sampling {
        Some(handle) => handle.await,
        None => std::future::pending().await,
    }
}

/// The collectors and what they keep between samples.
struct Collectors {
    memory: memory::Collector,
    disk: disk::Collector,
    network: network::Collector,
}

impl Collectors {
    fn new() -> Self {
        Self {
            memory: memory::Collector::default(),
            disk: disk::Collector::default(),
            network: network::Collector::default(),
        }
    }

    fn sample(mut self) -> (Self, HostSample) {
        let mut families = cpu::collect();
        families.extend(self.memory.collect());
        families.extend(self.disk.collect());
        families.extend(self.network.collect());
        families.extend(system::collect());
        families.extend(process::collect());
        families.retain(|family| !family.series.is_empty());
        (self, HostSample { taken: clock::now(), families: families.into() })
    }
}

/// A family with one series.
fn single(name: &'static str, help: &'static str, kind: Kind, value: f64) -> HostFamily {
    HostFamily { name, help, kind, series: vec![HostSeries { labels: Vec::new(), value }] }
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> HostFamily {
    single(name, help, Kind::Gauge, value)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles; counters lose nothing below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

/// The latest sample as metrics.
pub fn metric_source(sample: watch::Receiver<Arc<HostSample>>) -> Arc<dyn MetricSource> {
    Arc::new(Source(sample))
}

struct Source(watch::Receiver<Arc<HostSample>>);

impl MetricSource for Source {
    fn families(&self) -> Vec<MetricFamily> {
        let sample = self.0.borrow().clone();
        let family = |family: &HostFamily| {
            let mut builder = FamilyBuilder::new(family.name, family.help, family.kind);
            for series in &family.series {
                builder.add(series.labels.iter().map(|(name, value)| (*name, value.as_str())), series.value);
            }
            builder.build()
        };
        sample.families.iter().map(family).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_numbers_that_dashboards_ask_for() {
        let (_, sample) = Collectors::new().sample();
        let names: Vec<&str> = sample.families.iter().map(|family| family.name).collect();
        for wanted in [
            "node_cpu_seconds_total",
            "node_memory_MemTotal_bytes",
            "node_memory_MemAvailable_bytes",
            "node_load1",
            "node_filesystem_avail_bytes",
            "node_network_receive_bytes_total",
            "node_boot_time_seconds",
            "process_resident_memory_bytes",
        ] {
            assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
        }
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len(), "a family stands twice");
        for family in sample.families.iter() {
            let mut labels: Vec<_> = family.series.iter().map(|series| &series.labels).collect();
            labels.sort();
            labels.dedup();
            assert_eq!(labels.len(), family.series.len(), "{} has a series twice", family.name);
        }
    }
}
