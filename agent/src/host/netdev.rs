//! `netdev`: what went through each network device.
//!
//! The kernel is asked over rtnetlink, and `/proc/net/dev` (Documentation/filesystems/proc.rst) is read where that
//! cannot be: procfs is not a real one, or the unit's sandbox has no `AF_NETLINK`. Both give the same sums; the file
//! lacks `receive_nohandler` alone. Addresses and the finer error counters are left out. A device with an odd line
//! costs itself.

// Named, so that the file is found from wherever this one is included.
#[path = "netdev/links.rs"]
mod links;

use super::collector::{CollectError, Collector, Families, Filter, Oddities, Roots, Settings, float, read};
use crate::model::host::HostKind;

/// In the order of `/proc/net/dev`; the last is not there.
const FIELDS: [(&str, &str); 17] = [
    ("node_network_receive_bytes_total", "Bytes received by the device."),
    ("node_network_receive_packets_total", "Packets received by the device."),
    ("node_network_receive_errs_total", "Packets that arrived damaged or could not be taken."),
    (
        "node_network_receive_drop_total",
        "Packets that arrived well and were dropped, for want of buffers for the most part.",
    ),
    ("node_network_receive_fifo_total", "Overruns of the device's receive queue."),
    ("node_network_receive_frame_total", "Packets received with a wrong length, checksum or alignment."),
    ("node_network_receive_compressed_total", "Compressed packets received."),
    ("node_network_receive_multicast_total", "Multicast packets received."),
    ("node_network_transmit_bytes_total", "Bytes sent by the device."),
    ("node_network_transmit_packets_total", "Packets sent by the device."),
    ("node_network_transmit_errs_total", "Packets that could not be sent."),
    ("node_network_transmit_drop_total", "Packets that were dropped on their way to the device."),
    ("node_network_transmit_fifo_total", "Underruns of the device's send queue."),
    ("node_network_transmit_colls_total", "Collisions while sending."),
    ("node_network_transmit_carrier_total", "Packets lost to a missing carrier, or given up."),
    ("node_network_transmit_compressed_total", "Compressed packets sent."),
    (
        "node_network_receive_nohandler_total",
        "Packets that arrived on a device which takes none, such as a bond's standby.",
    ),
];

/// How many of the fields `/proc/net/dev` has.
const IN_FILE: usize = FIELDS.len() - 1;

/// A device and its fields, as many as the source had.
#[derive(Debug, PartialEq)]
struct Device {
    name: String,
    values: Vec<u64>,
}

pub struct Netdev {
    roots: Roots,
    filter: Filter,
    /// None until it is known.
    live: Option<bool>,
    /// It is told once that rtnetlink cannot be had.
    told: bool,
}

impl Netdev {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), filter: settings.filter("netdev"), live: None, told: false }
    }

    fn devices(&mut self) -> (Vec<Device>, Result<(), CollectError>) {
        let path = self.roots.proc("net/dev");
        let roots = &self.roots;
        if *self.live.get_or_insert_with(|| is_live(roots)) {
            match links::list() {
                Ok(devices) => return (devices, Ok(())),
                Err(error) if !self.told => {
                    tracing::info!(%error, "netdev: rtnetlink does not answer, {} is read", path.display());
                    self.told = true;
                }
                Err(_) => {}
            }
        }
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut odd = Oddities::default();
        (parse(&text, &mut odd), odd.finish(&path))
    }
}

/// Whether this procfs is the kernel's own. Its `net` is that of the process that looks, as is what rtnetlink tells.
fn is_live(roots: &Roots) -> bool {
    rustix::fs::statfs(&roots.procfs).is_ok_and(|stat| stat.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

impl Collector for Netdev {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let (mut devices, outcome) = self.devices();
        // Names are unique in the kernel, but not while a device is renamed during the listing.
        devices.sort_by(|one, other| one.name.cmp(&other.name));
        devices.dedup_by(|one, other| one.name == other.name);
        devices.retain(|device| self.filter.allows(&device.name));
        for (index, (name, help)) in FIELDS.into_iter().enumerate() {
            let family = out.family(HostKind::Counter, name, help);
            for device in &devices {
                if let Some(value) = device.values.get(index) {
                    family.add(&[("device", &device.name)], float(*value));
                }
            }
        }
        outcome
    }
}

/// Two lines of headings, then a device a line.
fn parse(text: &str, odd: &mut Oddities) -> Vec<Device> {
    let mut devices = Vec::new();
    for line in text.lines().skip(2) {
        match parse_line(line) {
            Some(device) => devices.push(device),
            None => odd.line(line),
        }
    }
    devices
}

fn parse_line(line: &str) -> Option<Device> {
    // The last colon: the name of an alias (`eth0:1`) has one too. Old kernels leave no space after it.
    let (name, columns) = line.rsplit_once(':')?;
    let name = name.trim();
    let values: Vec<u64> =
        columns.split_ascii_whitespace().take(IN_FILE).map(|column| column.parse().ok()).collect::<Option<_>>()?;
    (!name.is_empty() && values.len() == IN_FILE).then(|| Device { name: name.to_owned(), values })
}

#[cfg(test)]
#[path = "netdev_tests.rs"]
mod tests;
