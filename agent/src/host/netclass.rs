//! `netclass`: what each network device is: its addresses, state, speed and numbers, from `/sys/class/net`
//! (Documentation/ABI/testing/sysfs-class-net).
//!
//! Traffic is of `netdev`. What a driver does not tell (a bridge has no speed, a device that is down no carrier) is
//! left out, as is a device that goes while it is looked at. An odd value costs itself.

use std::path::{Path, PathBuf};

use super::collector::{CollectError, Collector, Directory, Families, Filter, FirstFault, Roots, Settings};
use crate::model::host::HostKind;

/// A file of the device, the family that shows it, and what it says.
struct Field {
    file: &'static str,
    family: &'static str,
    kind: HostKind,
    help: &'static str,
}

const fn gauge(file: &'static str, family: &'static str, help: &'static str) -> Field {
    Field { file, family, kind: HostKind::Gauge, help }
}

const fn counter(file: &'static str, family: &'static str, help: &'static str) -> Field {
    Field { file, family, kind: HostKind::Counter, help }
}

const FIELDS: [Field; 17] = [
    gauge(
        "addr_assign_type",
        "node_network_address_assign_type",
        "Where the device's address comes from (0: permanent).",
    ),
    gauge("carrier", "node_network_carrier", "1 while the device has a link."),
    counter("carrier_changes", "node_network_carrier_changes_total", "Times that the link came or went."),
    counter("carrier_up_count", "node_network_carrier_up_changes_total", "Times that the link came."),
    counter("carrier_down_count", "node_network_carrier_down_changes_total", "Times that the link went."),
    gauge("dev_id", "node_network_device_id", "Tells apart devices that share one address."),
    gauge("dormant", "node_network_dormant", "1 while the link is there and may not be used yet."),
    gauge("flags", "node_network_flags", "The device's flags (IFF_*) as a bit mask."),
    gauge("ifindex", "node_network_iface_id", "The device's index in the kernel."),
    gauge("iflink", "node_network_iface_link", "The index of the device below this one; its own where there is none."),
    gauge("link_mode", "node_network_iface_link_mode", "How the link comes up (0: by itself, 1: it is dormant first)."),
    gauge("mtu", "node_network_mtu_bytes", "The largest packet that the device sends whole."),
    gauge("name_assign_type", "node_network_name_assign_type", "Where the device's name comes from."),
    gauge("netdev_group", "node_network_net_dev_group", "The group that the device is in."),
    gauge("speed", "node_network_speed_bytes", "Bytes a second that the link can carry; negative where unknown."),
    gauge("tx_queue_len", "node_network_transmit_queue_length", "Packets that may wait to be sent."),
    gauge("type", "node_network_protocol_type", "The kind of link (ARPHRD_*)."),
];

pub struct Netclass {
    roots: Roots,
    filter: Filter,
}

impl Netclass {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), filter: settings.filter("netclass") }
    }
}

impl Collector for Netclass {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/net");
        let devices = devices(&class).map_err(CollectError::or_absent)?;
        let mut fault = FirstFault::default();
        for device in devices.iter().filter(|device| self.filter.allows(device)) {
            show(class.join(device), device, out, &mut fault);
        }
        fault.into_result()
    }
}

/// Devices are directories, or links to them; `bonding_masters` stands among them and is none.
fn devices(class: &Path) -> Result<Vec<String>, CollectError> {
    let error = |source| CollectError::Read { path: class.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(class).map_err(error)? {
        let entry = entry.map_err(error)?;
        if !entry.file_type().map_err(error)?.is_file() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn show(dir: PathBuf, device: &str, out: &mut Families, fault: &mut FirstFault) {
    let dir = match Directory::open(dir).map_err(CollectError::or_absent) {
        Err(CollectError::Absent(_)) => return,
        other => fault.keep(other),
    };
    let Some(dir) = dir else { return };
    let mut files = Files { dir, fault };
    let operstate = files.word("operstate").unwrap_or_default();
    out.family(HostKind::Gauge, "node_network_up", "1 while the device's operational state is \"up\".")
        .add(&[("device", device)], f64::from(u8::from(operstate == "up")));
    let [address, broadcast, duplex, ifalias] =
        ["address", "broadcast", "duplex", "ifalias"].map(|file| files.word(file).unwrap_or_default());
    out.family(HostKind::Gauge, "node_network_info", "What the device says of itself in words; always 1.").add(
        &[
            ("device", device),
            ("address", &address),
            ("broadcast", &broadcast),
            ("duplex", &duplex),
            ("operstate", &operstate),
            ("ifalias", &ifalias),
        ],
        1.0,
    );
    for field in &FIELDS {
        if let Some(value) = files.number(field.file) {
            out.family(field.kind, field.family, field.help).add(&[("device", device)], value);
        }
    }
}

/// A device's files.
struct Files<'a> {
    dir: Directory,
    fault: &'a mut FirstFault,
}

impl Files<'_> {
    fn word(&mut self, file: &str) -> Option<String> {
        self.fault.keep(self.dir.read_if_told(file)).flatten()
    }

    fn number(&mut self, file: &str) -> Option<f64> {
        let word = self.word(file)?;
        let odd = || CollectError::odd(self.dir.path(file), format!("{word:?} is no number"));
        let number = self.fault.keep(parse(&word).ok_or_else(odd))?;
        // In Mbit/s.
        let number = if file == "speed" { number.saturating_mul(125_000) } else { number };
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles")]
        Some(number as f64)
    }
}

/// Decimal, perhaps negative, or hexadecimal after `0x`.
fn parse(word: &str) -> Option<i64> {
    match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
#[path = "netclass_tests.rs"]
mod tests;
