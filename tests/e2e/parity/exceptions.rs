//! Where the agent need not say what node_exporter says, each with the reason.

use crate::harness::Labels;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// node_exporter has it, the agent has not.
    Missing,
    /// The agent has it, node_exporter has not.
    Surplus,
    Type,
    Value,
}

pub struct Exception {
    /// Empty: all.
    scene: &'static str,
    kind: Kind,
    /// A name; `*` at its end stands for anything.
    name: &'static str,
    /// Only with this label, if any.
    label: Option<(&'static str, &'static str)>,
    #[expect(dead_code, reason = "for who reads the table")]
    why: &'static str,
}

const fn all(kind: Kind, name: &'static str, why: &'static str) -> Exception {
    Exception { scene: "", kind, name, label: None, why }
}

const fn on(scene: &'static str, kind: Kind, name: &'static str, why: &'static str) -> Exception {
    Exception { scene, kind, name, label: None, why }
}

/// What the agent has of the odd host: node_exporter loses whole collectors over one bad line.
const ODD: &[&str] = &[
    "node_bcache_*",
    "node_btrfs_info",
    "node_cpu_guest_seconds_total",
    "node_cpu_isolated",
    "node_cpu_seconds_total",
    "node_disk_*",
    "node_fibrechannel_info",
    "node_filesystem_device_error",
    "node_hwmon_temp_celsius",
    "node_infiniband_info",
    "node_memory_Cached_bytes",
    "node_memory_MemTotal_bytes",
    "node_nfs_*",
    "node_nfsd_*",
    "node_os_info",
    "node_os_version",
    "node_power_supply_info",
    "node_sockstat_TCP6_inuse",
    "node_udp_queues",
    "node_vmstat_pswpout",
    "node_xfs_extent_allocation_extents_allocated_total",
];

const EXCEPTIONS: &[Exception] = &[
    all(Kind::Missing, "node_exporter_build_info", "it tells of node_exporter; the agent has vitald_build_info"),
    all(Kind::Value, "node_scrape_collector_duration_seconds", "it measures the other program"),
    Exception {
        scene: "",
        kind: Kind::Surplus,
        name: "node_scrape_*",
        label: Some(("collector", "cgroup")),
        why: "node_exporter has no such collector",
    },
    on("odd", Kind::Value, "node_scrape_collector_success", "one of them takes as odd what the other does not mind"),
    on("odd", Kind::Missing, "node_network_flags", "it makes 0 of what is no number; the agent leaves it out"),
    on("odd", Kind::Missing, "node_network_mtu_bytes", "it makes 0 of what is no number; the agent leaves it out"),
    on("odd", Kind::Missing, "node_tape_*", "it makes 0 of files that are not there; every kernel has all of them"),
    on("odd", Kind::Missing, "node_os_info", "it fails first, and shows one without labels from the second scrape on"),
];

/// Families that come from system calls, and so from this machine, whatever the roots.
const OF_THIS_MACHINE: [&str; 7] = [
    "node_time_seconds",
    "node_timex_*",
    "node_filesystem_avail_bytes",
    "node_filesystem_free_bytes",
    "node_filesystem_size_bytes",
    "node_filesystem_files",
    "node_filesystem_files_free",
];

/// What a scrape of node_exporter changes while it looks: its connection has both of its ends on this machine. The agent
/// looks while nobody asks.
const OF_THE_SCRAPE: [(&str, f64); 4] = [
    ("node_netstat_Tcp_CurrEstab", 2.0),
    ("node_sockstat_TCP_alloc", 2.0),
    ("node_sockstat_TCP_inuse", 2.0),
    ("node_sockstat_sockets_used", 2.0),
];

pub fn holds(scene: &str, kind: Kind, name: &str, labels: &Labels) -> bool {
    let odd = scene == "odd" && kind == Kind::Surplus && ODD.iter().any(|pattern| fits(pattern, name));
    odd || EXCEPTIONS.iter().any(|exception| {
        exception.kind == kind
            && (exception.scene.is_empty() || exception.scene == scene)
            && fits(exception.name, name)
            && exception.label.is_none_or(|(label, value)| labels.get(label).is_some_and(|own| own == value))
    })
}

/// Does a value of this family move while a test looks at a host that does not?
pub fn moves(name: &str) -> bool {
    OF_THIS_MACHINE.iter().any(|pattern| fits(pattern, name))
}

/// How much larger a value of this family is because node_exporter is asked for it.
pub fn of_the_scrape(name: &str) -> f64 {
    OF_THE_SCRAPE.iter().find(|(own, _)| *own == name).map_or(0.0, |(_, more)| *more)
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
