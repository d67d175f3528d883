//! Load, time and the kernel's name.

use sysinfo::System;

use crate::clock;
use crate::model::host::{HostFamily, HostSeries};
use crate::model::outcome::Kind;

use super::{float, gauge};

pub fn collect() -> Vec<HostFamily> {
    let load = System::load_average().unwrap_or_default();
    vec![
        gauge("node_load1", "Load average over 1 minute.", load.one),
        gauge("node_load5", "Load average over 5 minutes.", load.five),
        gauge("node_load15", "Load average over 15 minutes.", load.fifteen),
        gauge(
            "node_boot_time_seconds",
            "When the host booted, in seconds since the Unix epoch.",
            float(System::boot_time().unwrap_or_default()),
        ),
        gauge(
            "node_time_seconds",
            "The host's clock, in seconds since the Unix epoch.",
            clock::now().wall.as_secs_f64(),
        ),
        uname(),
    ]
}

fn uname() -> HostFamily {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let labels = vec![
        ("domainname", text(uname.domainname())),
        ("machine", text(uname.machine())),
        ("nodename", text(uname.nodename())),
        ("release", text(uname.release())),
        ("sysname", text(uname.sysname())),
        ("version", text(uname.version())),
    ];
    HostFamily {
        name: "node_uname_info",
        help: "The kernel, as uname says it.",
        kind: Kind::Gauge,
        series: vec![HostSeries { labels, value: 1.0 }],
    }
}
