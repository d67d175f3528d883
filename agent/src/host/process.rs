//! The agent itself, under the names that Prometheus clients use.

use procfs::process::{LimitValue, Process};

use crate::clock;
use crate::model::host::HostFamily;
use crate::model::outcome::Kind;

use super::{float, gauge, single};

/// Leaves out what `/proc/self` does not say.
pub fn collect() -> Vec<HostFamily> {
    let cpu = clock::process_cpu().as_secs_f64();
    let mut families =
        vec![single("process_cpu_seconds_total", "CPU time the agent used, in seconds.", Kind::Counter, cpu)];
    if let Ok(process) = Process::myself() {
        families.extend(of_process(&process));
    }
    families
}

fn of_process(process: &Process) -> Vec<HostFamily> {
    let mut families = Vec::new();
    if let Ok(stat) = process.stat() {
        let resident = stat.rss.saturating_mul(procfs::page_size());
        families.push(gauge("process_resident_memory_bytes", "Resident memory of the agent.", float(resident)));
        families.push(gauge("process_virtual_memory_bytes", "Virtual memory of the agent.", float(stat.vsize)));
        families.push(gauge("process_threads", "Threads of the agent.", stat.num_threads as f64));
        let ticks = procfs::ticks_per_second().max(1);
        let booted = sysinfo::System::boot_time().unwrap_or_default();
        let started = float(booted) + float(stat.starttime) / float(ticks);
        let help = "When the agent started, in seconds since the Unix epoch.";
        families.push(gauge("process_start_time_seconds", help, started));
    }
    if let Ok(open) = process.fd_count() {
        families.push(gauge("process_open_fds", "Open file descriptors of the agent.", float(open as u64)));
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(max) = limits.max_open_files.soft_limit
    {
        families.push(gauge("process_max_fds", "File descriptors the agent may open.", float(max)));
    }
    families
}
