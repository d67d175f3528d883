//! CPU time by core and mode, from `/proc/stat`.

use procfs::{CpuTime, CurrentSI as _, KernelStats};

use crate::model::host::{HostFamily, HostSeries};
use crate::model::outcome::Kind;

/// Empty where `/proc/stat` cannot be read.
pub fn collect() -> Vec<HostFamily> {
    KernelStats::current().map(|stats| vec![family(&stats.cpu_time)]).unwrap_or_default()
}

fn family(cores: &[CpuTime]) -> HostFamily {
    let series = cores.iter().enumerate().flat_map(|(core, time)| {
        modes(time).map(move |(mode, milliseconds)| HostSeries {
            labels: vec![("cpu", core.to_string()), ("mode", mode.to_owned())],
            value: super::float(milliseconds) / 1000.0,
        })
    });
    HostFamily {
        name: "node_cpu_seconds_total",
        help: "Seconds the CPUs spent in each mode.",
        kind: Kind::Counter,
        series: series.collect(),
    }
}

fn modes(time: &CpuTime) -> impl Iterator<Item = (&'static str, u64)> {
    [
        ("user", time.user_ms()),
        ("nice", time.nice_ms()),
        ("system", time.system_ms()),
        ("idle", time.idle_ms()),
        ("iowait", time.iowait_ms().unwrap_or(0)),
        ("irq", time.irq_ms().unwrap_or(0)),
        ("softirq", time.softirq_ms().unwrap_or(0)),
        ("steal", time.steal_ms().unwrap_or(0)),
    ]
    .into_iter()
}
