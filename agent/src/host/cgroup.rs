//! What the agent's own control group uses, may use, and was denied: memory, CPU, processes, I/O and pressure
//! (Documentation/admin-guide/cgroup-v2.rst). The names are ours; node_exporter has nothing of the kind.
//!
//! Only version 2 is shown. On a hybrid host its tree is at `unified`, without the controllers that version 1 has; in a
//! private namespace (`0::/`) the group is the tree's top. A limit that is `max` has no series, nor has a file that the
//! group lacks: the top of the host's tree lacks most.

mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, FirstFault, Settings, float, read};
use super::pressure::{self, is_off, seconds};
use place::Place;

/// File, family and help. The files have one number, or `max`.
const GAUGES: [(&str, &str, &str); 6] = [
    ("memory.current", "vitald_cgroup_memory_bytes", "Memory that the agent's control group uses, in bytes."),
    ("memory.high", "vitald_cgroup_memory_high_bytes", "Above this, in bytes, the group is slowed down."),
    ("memory.max", "vitald_cgroup_memory_max_bytes", "The group's limit of memory, in bytes."),
    ("memory.swap.current", "vitald_cgroup_memory_swap_bytes", "Swap that the group uses, in bytes."),
    ("pids.current", "vitald_cgroup_pids", "Processes and threads in the group."),
    ("pids.max", "vitald_cgroup_pids_max", "The group's limit of processes and threads."),
];

/// Of `memory.events`.
const MEMORY_EVENTS: [&str; 4] = ["high", "max", "oom", "oom_kill"];

/// Key of `cpu.stat`, family, help, and how much one is.
const CPU_COUNTERS: [(&str, &str, &str, f64); 6] = [
    ("usage_usec", "vitald_cgroup_cpu_usage_seconds_total", "CPU time that the group used, in seconds.", 1e6),
    ("user_usec", "vitald_cgroup_cpu_user_seconds_total", "CPU time in user mode, in seconds.", 1e6),
    ("system_usec", "vitald_cgroup_cpu_system_seconds_total", "CPU time in the kernel, in seconds.", 1e6),
    ("nr_periods", "vitald_cgroup_cpu_periods_total", "Periods of the CPU limit in which the group ran.", 1.0),
    ("nr_throttled", "vitald_cgroup_cpu_throttled_periods_total", "Periods in which the limit was reached.", 1.0),
    ("throttled_usec", "vitald_cgroup_cpu_throttled_seconds_total", "Time lost to the CPU limit, in seconds.", 1e6),
];

/// Key of `io.stat`, family and help.
const IO_COUNTERS: [(&str, &str, &str); 4] = [
    ("rbytes", "vitald_cgroup_io_read_bytes_total", "Bytes that the group read from the device."),
    ("wbytes", "vitald_cgroup_io_written_bytes_total", "Bytes that the group wrote to the device."),
    ("rios", "vitald_cgroup_io_reads_total", "Reads from the device by the group."),
    ("wios", "vitald_cgroup_io_writes_total", "Writes to the device by the group."),
];

pub struct Cgroup {
    place: Place,
    /// Links from a device's number to its directory.
    block: PathBuf,
}

impl Cgroup {
    pub fn new(settings: &Settings) -> Self {
        Self { place: Place::new(&settings.roots), block: settings.roots.sys("dev/block") }
    }

    fn io(&self, dir: &Path, out: &mut Families) -> Result<(), CollectError> {
        let Some(text) = optional(&dir.join("io.stat"))? else { return Ok(()) };
        let mut devices: BTreeMap<String, [u64; IO_COUNTERS.len()]> = BTreeMap::new();
        for (number, counts) in text.lines().filter_map(io_line) {
            let sums = devices.entry(self.device(number)).or_default();
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(count);
            }
        }
        for (index, (_, name, help)) in IO_COUNTERS.iter().enumerate() {
            let family = out.family(HostKind::Counter, *name, *help);
            for (device, counts) in &devices {
                let count = counts.get(index).copied().unwrap_or_default();
                family.add(&[("device", device)], float(count));
            }
        }
        Ok(())
    }

    /// The kernel's name of a device, `sda` of `8:0`; the number where it has none any more.
    fn device(&self, number: &str) -> String {
        let link = std::fs::read_link(self.block.join(number)).unwrap_or_default();
        link.file_name().and_then(|name| name.to_str()).unwrap_or(number).to_owned()
    }
}

impl Collector for Cgroup {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let dir = self.place.find()?;
        let mut faults = FirstFault::default();
        for (file, name, help) in GAUGES {
            if let Some(Some(value)) = faults.keep(gauge(&dir.join(file))) {
                out.gauge(name, help, float(value));
            }
        }
        faults.keep(memory_events(&dir, out));
        faults.keep(cpu(&dir, out));
        faults.keep(cpu_limit(&dir, out));
        faults.keep(self.io(&dir, out));
        faults.keep(pressures(&dir, out));
        faults.into_result()
    }
}

/// A file that not every group has.
fn optional(path: &Path) -> Result<Option<String>, CollectError> {
    match read(path) {
        Err(error) if is_off(&error) => Ok(None),
        text => text.map(Some),
    }
}

/// One number; None where there is no file, or no limit.
fn gauge(path: &Path) -> Result<Option<u64>, CollectError> {
    let Some(text) = optional(path)? else { return Ok(None) };
    match text.trim() {
        "max" => Ok(None),
        number => match number.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(CollectError::odd(path, format!("{number:?} is neither a number nor max"))),
        },
    }
}

fn memory_events(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    let Some(text) = optional(&dir.join("memory.events"))? else { return Ok(()) };
    let help =
        "How often the group reached a limit of memory: high, max, oom (none was left), oom_kill (killed for it).";
    let family = out.family(HostKind::Counter, "vitald_cgroup_memory_events_total", help);
    for event in MEMORY_EVENTS {
        if let Some(count) = keyed(&text, event) {
            family.add(&[("event", event)], float(count));
        }
    }
    Ok(())
}

fn cpu(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    let Some(text) = optional(&dir.join("cpu.stat"))? else { return Ok(()) };
    for (key, name, help, one) in CPU_COUNTERS {
        if let Some(count) = keyed(&text, key) {
            out.counter(name, help, float(count) / one);
        }
    }
    Ok(())
}

/// `cpu.max` is quota and period in microseconds, `max 100000` where there is no limit.
fn cpu_limit(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    let path = dir.join("cpu.max");
    let Some(text) = optional(&path)? else { return Ok(()) };
    let (quota, period) = limit(&text).ok_or_else(|| CollectError::odd(&path, format!("cannot read {text:?}")))?;
    if let Some(quota) = quota {
        let help = "CPU time that the group may use in each period, in seconds.";
        out.gauge("vitald_cgroup_cpu_quota_seconds", help, seconds(quota));
    }
    out.gauge("vitald_cgroup_cpu_period_seconds", "Length of a period of the CPU limit, in seconds.", seconds(period));
    Ok(())
}

fn pressures(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    for resource in ["cpu", "io", "memory"] {
        let Some(text) = optional(&dir.join(format!("{resource}.pressure")))? else { continue };
        let totals = pressure::parse(&text);
        let labels = [("resource", resource)];
        if let Some(some) = totals.some {
            let help = "Time in which some task of the group waited for the resource, in seconds.";
            out.family(HostKind::Counter, "vitald_cgroup_pressure_waiting_seconds_total", help)
                .add(&labels, seconds(some));
        }
        if let Some(full) = totals.full {
            let help = "Time in which every task of the group waited for the resource, in seconds.";
            out.family(HostKind::Counter, "vitald_cgroup_pressure_stalled_seconds_total", help)
                .add(&labels, seconds(full));
        }
    }
    Ok(())
}

/// The number after a key, in lines such as `oom_kill 3`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn limit(text: &str) -> Option<(Option<u64>, u64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    let quota = if quota == "max" { None } else { Some(quota.parse().ok()?) };
    Some((quota, period.trim().parse().ok()?))
}

/// A device's number and counts, of a line such as `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. Some kernels
/// write devices without counts; those are left out.
fn io_line(line: &str) -> Option<(&str, [u64; IO_COUNTERS.len()])> {
    let mut words = line.split_ascii_whitespace();
    let number = words.next().filter(|number| is_device_number(number))?;
    let mut counts = [None; IO_COUNTERS.len()];
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        if let Some((place, _)) = counts.iter_mut().zip(IO_COUNTERS).find(|(_, (known, ..))| *known == key) {
            *place = value.parse().ok();
        }
    }
    counts.iter().any(Option::is_some).then(|| (number, counts.map(Option::unwrap_or_default)))
}

fn is_device_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(major, minor)| digits(major) && digits(minor))
}

#[cfg(test)]
#[path = "cgroup/tests.rs"]
mod tests;
