//! The host in a few numbers, from the samples that `/metrics` shows in full. What the host's collectors do not have is
//! left empty, never guessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::host::{HostSample, HostSeries};
use crate::model::time::{Moment, rfc3339};

use super::document::rounded;

/// Two samples between which rates are taken. They are one and the same until there was a second.
#[derive(Debug, Clone, Default)]
pub struct Window {
    earlier: Arc<HostSample>,
    later: Arc<HostSample>,
}

impl Window {
    /// Goes on to a newer sample: rates are those since the last report. A sample that is the same changes nothing, so
    /// that two reports between two samples say the same.
    pub fn advance(&mut self, sample: &Arc<HostSample>) {
        if sample.blocks.is_empty() || sample.taken.boot <= self.later.taken.boot {
            return;
        }
        let later = std::mem::replace(&mut self.later, sample.clone());
        self.earlier = if later.blocks.is_empty() { sample.clone() } else { later };
    }

    pub fn is_empty(&self) -> bool {
        self.later.blocks.is_empty()
    }

    /// None until there were two samples.
    fn seconds(&self) -> Option<f64> {
        let seconds = self.later.taken.since(self.earlier.taken).as_secs_f64();
        (seconds > 0.0).then_some(seconds)
    }

    /// How much of the time between the samples a counter of seconds ran.
    fn ratio(&self, family: &str) -> Option<f64> {
        let (earlier, later) = (self.earlier.value(family)?, self.later.value(family)?);
        let ratio = (later - earlier) / self.seconds()?;
        ratio.is_finite().then(|| rounded(ratio.clamp(0.0, 1.0), 1e4))
    }
}

#[derive(Debug, serde::Serialize)]
pub struct HostSummary {
    /// When the numbers were taken; none before the first sample.
    sampled: Option<String>,
    uptime_seconds: f64,
    kernel: Option<String>,
    os: Option<String>,
    load_1m: Option<f64>,
    load_5m: Option<f64>,
    load_15m: Option<f64>,
    cpus: Option<u64>,
    rates_window_seconds: Option<f64>,
    cpu_used_ratio: Option<f64>,
    cpu_iowait_ratio: Option<f64>,
    memory_total_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    swap_total_bytes: Option<u64>,
    swap_free_bytes: Option<u64>,
    file_systems: Vec<FileSystem>,
    network_receive_bytes_total: Option<u64>,
    network_transmit_bytes_total: Option<u64>,
    pressure: Pressure,
}

#[derive(Debug, serde::Serialize)]
struct FileSystem {
    mount_point: String,
    device: String,
    fs_type: String,
    size_bytes: u64,
    available_bytes: Option<u64>,
    /// As `df` has it: of what users other than root can have.
    used_ratio: Option<f64>,
    read_only: Option<bool>,
}

#[derive(Debug, serde::Serialize)]
struct Pressure {
    cpu_waiting_ratio: Option<f64>,
    io_waiting_ratio: Option<f64>,
    io_stalled_ratio: Option<f64>,
    memory_waiting_ratio: Option<f64>,
    memory_stalled_ratio: Option<f64>,
}

impl HostSummary {
    pub fn new(window: &Window, now: Moment) -> Self {
        let sample = &window.later;
        let [idle, iowait, total] = cpu_seconds(window);
        let used = total.zip(idle).zip(iowait).map(|((total, idle), iowait)| share(total - idle - iowait, total));
        let bytes = |family: &str| sample.value(family).and_then(whole);
        let load = |family: &str| sample.value(family).filter(|load| load.is_finite() && *load >= 0.0);
        Self {
            sampled: (!window.is_empty()).then(|| rfc3339(sample.taken.wall)),
            uptime_seconds: rounded(now.boot.as_secs_f64(), 1e3),
            kernel: label(sample, "node_uname_info", "release"),
            os: label(sample, "node_os_info", "pretty_name"),
            load_1m: load("node_load1"),
            load_5m: load("node_load5"),
            load_15m: load("node_load15"),
            cpus: cpus(sample),
            rates_window_seconds: window.seconds().map(|seconds| rounded(seconds, 1e3)),
            cpu_used_ratio: used.flatten(),
            cpu_iowait_ratio: total.zip(iowait).and_then(|(total, iowait)| share(iowait, total)),
            memory_total_bytes: bytes("node_memory_MemTotal_bytes"),
            memory_available_bytes: bytes("node_memory_MemAvailable_bytes"),
            swap_total_bytes: bytes("node_memory_SwapTotal_bytes"),
            swap_free_bytes: bytes("node_memory_SwapFree_bytes"),
            file_systems: file_systems(sample),
            network_receive_bytes_total: network(sample, "node_network_receive_bytes_total"),
            network_transmit_bytes_total: network(sample, "node_network_transmit_bytes_total"),
            pressure: Pressure {
                cpu_waiting_ratio: window.ratio("node_pressure_cpu_waiting_seconds_total"),
                io_waiting_ratio: window.ratio("node_pressure_io_waiting_seconds_total"),
                io_stalled_ratio: window.ratio("node_pressure_io_stalled_seconds_total"),
                memory_waiting_ratio: window.ratio("node_pressure_memory_waiting_seconds_total"),
                memory_stalled_ratio: window.ratio("node_pressure_memory_stalled_seconds_total"),
            },
        }
    }
}

/// The host's name as the sample has it (of the host, where the agent is in a container), else as the kernel says it.
pub fn name(window: &Window) -> String {
    let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    label(&window.later, "node_uname_info", "nodename").unwrap_or_else(own)
}

fn series<'a>(sample: &'a HostSample, family: &str) -> &'a [HostSeries] {
    sample.family(family).map(|family| family.series.as_slice()).unwrap_or_default()
}

fn label(sample: &HostSample, family: &str, label: &str) -> Option<String> {
    let text = series(sample, family).first()?.labels.get(label)?.into_owned();
    (!text.is_empty()).then_some(text)
}

fn whole(value: f64) -> Option<u64> {
    // Above this a float has no whole numbers any more; no host has so many bytes.
    const LARGEST: f64 = 9.0e15;
    (0.0..=LARGEST).contains(&value).then_some(value as u64)
}

fn share(part: f64, of: f64) -> Option<f64> {
    let share = part / of;
    (of > 0.0 && share.is_finite()).then(|| rounded(share.clamp(0.0, 1.0), 1e4))
}

fn cpus(sample: &HostSample) -> Option<u64> {
    let cpus = series(sample, "node_cpu_seconds_total");
    let count = cpus.iter().filter(|series| series.labels.get("mode").as_deref() == Some("idle")).count();
    u64::try_from(count).ok().filter(|count| *count > 0)
}

/// Seconds of all CPUs between the samples: idle, waiting for I/O, and all together. A CPU that was not in both does
/// not count.
fn cpu_seconds(window: &Window) -> [Option<f64>; 3] {
    if window.seconds().is_none() {
        return [None; 3];
    }
    let family = "node_cpu_seconds_total";
    let before: BTreeMap<_, f64> =
        series(&window.earlier, family).iter().map(|series| (&series.labels, series.value)).collect();
    let (mut idle, mut iowait, mut total) = (0.0, 0.0, 0.0);
    for now in series(&window.later, family) {
        let Some(before) = before.get(&now.labels) else { continue };
        // Counters of idle time may step back (proc(5)).
        let seconds = (now.value - before).max(0.0);
        total += seconds;
        match now.labels.get("mode").as_deref() {
            Some("idle") => idle += seconds,
            Some("iowait") => iowait += seconds,
            _ => {}
        }
    }
    [idle, iowait, total].map(|seconds| Some(seconds).filter(|seconds| seconds.is_finite()))
}

fn network(sample: &HostSample, family: &str) -> Option<u64> {
    let family = sample.family(family)?;
    let real = family.series.iter().filter(|series| series.labels.get("device").as_deref() != Some("lo"));
    whole(real.map(|series| series.value).sum())
}

fn file_systems(sample: &HostSample) -> Vec<FileSystem> {
    let of = |family: &str| -> BTreeMap<_, f64> {
        series(sample, family).iter().map(|series| (&series.labels, series.value)).collect()
    };
    let (free, available) = (of("node_filesystem_free_bytes"), of("node_filesystem_avail_bytes"));
    let read_only = of("node_filesystem_readonly");
    let text = |series: &HostSeries, label| series.labels.get(label).map(|text| text.into_owned()).unwrap_or_default();
    let one = |series: &HostSeries| {
        let labels = &series.labels;
        let available = available.get(labels).copied();
        let used = free.get(labels).zip(available).and_then(|(free, available)| {
            let used = series.value - free;
            share(used, used + available)
        });
        Some(FileSystem {
            mount_point: text(series, "mountpoint"),
            device: text(series, "device"),
            fs_type: text(series, "fstype"),
            size_bytes: whole(series.value)?,
            available_bytes: available.and_then(whole),
            used_ratio: used,
            read_only: read_only.get(labels).map(|value| *value > 0.0),
        })
    };
    series(sample, "node_filesystem_size_bytes").iter().filter_map(one).collect()
}
