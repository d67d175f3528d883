//! The agent itself, under the names that Prometheus clients use.

use procfs::process::{LimitValue, Process};

use crate::clock;
use crate::model::host::HostFamily;

use super::collector::{Families, float};

/// Its block is the agent's own: `?collect[]=` never leaves it out.
pub const NAME: &str = "process";

/// Leaves out what `/proc/self` does not say.
pub fn collect() -> Vec<HostFamily> {
    let mut families = Families::default();
    let cpu = clock::process_cpu().as_secs_f64();
    families.counter("process_cpu_seconds_total", "CPU time the agent used, in seconds.", cpu);
    if let Ok(process) = Process::myself() {
        of_process(&process, &mut families);
    }
    families.0
}

fn of_process(process: &Process, families: &mut Families) {
    if let Ok(stat) = process.stat() {
        let resident = stat.rss.saturating_mul(procfs::page_size());
        families.gauge("process_resident_memory_bytes", "Resident memory of the agent.", float(resident));
        families.gauge("process_virtual_memory_bytes", "Virtual memory of the agent.", float(stat.vsize));
        families.gauge("process_threads", "Threads of the agent.", stat.num_threads as f64);
        let ticks = procfs::ticks_per_second().max(1);
        let booted = sysinfo::System::boot_time().unwrap_or_default();
        let started = float(booted) + float(stat.starttime) / float(ticks);
        let help = "When the agent started, in seconds since the Unix epoch.";
        families.gauge("process_start_time_seconds", help, started);
    }
    if let Ok(open) = process.fd_count() {
        families.gauge("process_open_fds", "Open file descriptors of the agent.", float(open as u64));
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(max) = limits.max_open_files.soft_limit
    {
        families.gauge("process_max_fds", "File descriptors the agent may open.", float(max));
    }
}
