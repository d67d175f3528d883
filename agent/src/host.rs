//! Samples the host's numbers on a clock, never on request, under node_exporter's names.
//!
//! Each collector is a file of this directory, and fails by itself: an odd file, a panic or a file system that hangs
//! costs that collector's numbers, never the sample (see [`sampler`]). What the last sample was is published, with its
//! age; nobody waits for the next.

mod arp;
mod bcache;
mod bonding;
mod btrfs;
mod cgroup;
mod collector;
mod collectors;
mod conntrack;
mod cpu;
mod cpufreq;
mod diskstats;
mod dmi;
mod edac;
mod entropy;
mod fibrechannel;
mod filefd;
mod filesystem;
mod hwmon;
mod infiniband;
mod ipvs;
mod loadavg;
mod mdadm;
mod meminfo;
mod mounts;
mod netclass;
mod netdev;
mod netstat;
mod nfs;
mod nfsd;
mod nvme;
mod os;
mod powersupplyclass;
mod pressure;
mod process;
mod rapl;
mod sampler;
mod schedstat;
mod selinux;
mod sockstat;
mod softnet;
mod stat;
mod sunrpc;
mod systemd;
mod tapestats;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;
mod xfs;
mod zfs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::exposition::{Demand, HostText};
use crate::model::host::HostSample;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use self::sampler::{Pass, Sampler};

pub use self::collector::{Filter, Roots, Settings};
pub use self::collectors::{COLLECTORS, Entry};

pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// A collector that takes longer than a mount may take and this hangs: the others go on without it.
const DEADLINE: Duration = Duration::from_secs(1);
/// How often a pass is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Config {
    pub interval: Duration,
    /// The collectors that run, by name: see [`COLLECTORS`].
    pub collectors: Vec<&'static str>,
    pub settings: Settings,
}

pub struct Host {
    config: Config,
    supervisor: Supervisor,
    wires: Wires,
    sampler: Arc<Sampler>,
    demand: Arc<Demand>,
    metrics: HostMetrics,
}

/// Where samples go.
pub struct Wires {
    pub sample: watch::Sender<Arc<HostSample>>,
    pub text: watch::Sender<Arc<HostText>>,
}

struct HostMetrics {
    last: Arc<prometheus::Gauge>,
    took: Arc<prometheus::Gauge>,
}

impl Host {
    pub fn build(config: Config, supervisor: Supervisor, wires: Wires, metrics: &Metrics) -> Self {
        let chosen = COLLECTORS.iter().filter(|entry| config.collectors.contains(&entry.name));
        let sampler = Arc::new(Sampler::new(chosen, &config.settings));
        wires.text.send_replace(Arc::new(HostText::of_none(&config.collectors)));
        let metrics = HostMetrics {
            last: metrics.gauge_f64(
                "vitald_host_sample_timestamp_seconds",
                "When the host's numbers were sampled last, in seconds since the Unix epoch.",
            ),
            took: metrics.gauge_f64("vitald_host_sample_duration_seconds", "How long the last sample took."),
        };
        Self { config, supervisor, wires, sampler, demand: Arc::default(), metrics }
    }

    pub async fn run(self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("host");
        let mut ticks = tokio::time::interval(self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = beat.next() => continue,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = stop.wait() => return,
                () = beat.during(self.sample()) => {}
            }
        }
    }

    /// One pass over the collectors. A collector that hangs keeps its thread, and the rest goes on in another one; what
    /// is known by then is published, so that nobody waits for several that hang.
    async fn sample(&self) {
        let pass = Arc::new(Pass::new(self.sampler.clone()));
        let deadline = self.config.settings.mount_timeout + DEADLINE;
        loop {
            let worker = pass.clone();
            let mut working = self.supervisor.blocking(move || worker.work());
            let hangs = async {
                while !pass.give_up(deadline) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            let done = tokio::select! {
                _ = &mut working => true,
                () = hangs => false,
            };
            self.publish(pass.took()).await;
            if done {
                return;
            }
        }
    }

    async fn publish(&self, took: Duration) {
        let (demand, sampler) = (self.demand.clone(), self.sampler.clone());
        // Encoding is no work for a loop.
        if let Ok((sample, text)) = self.supervisor.blocking(move || sampler.assemble(demand)).await {
            self.metrics.last.set(sample.taken.wall.as_secs_f64());
            self.metrics.took.set(took.as_secs_f64());
            self.wires.sample.send_replace(Arc::new(sample));
            self.wires.text.send_replace(Arc::new(text));
        }
    }
}

/// node_exporter's defaults.
pub fn default_settings() -> Settings {
    collectors::default_settings()
}

/// The collectors that are on, after what the configuration says of some.
pub fn chosen(said: &BTreeMap<String, bool>) -> Vec<&'static str> {
    let on = |entry: &&Entry| said.get(entry.name).copied().unwrap_or(entry.on);
    COLLECTORS.iter().filter(on).map(|entry| entry.name).collect()
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
