//! `infiniband`: the ports of InfiniBand adapters: state, rate and counters, from `/sys/class/infiniband`
//! (Documentation/ABI/stable/sysfs-class-infiniband).
//!
//! A host without adapters lacks the directory. What a driver does not tell or has no counter for is left out; an odd
//! value costs itself.

use std::path::Path;

use super::collector::{
    CollectError, Collector, Directory, Families, FirstFault, Roots, Settings, entries, float, parse_u64, read_if_told,
};
use crate::model::host::HostKind;

/// A counter: its file, the family that shows it, and what it counts.
type Counter = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const COUNTERS: [Counter; 30] = [
    ("counters/VL15_dropped", "vl15_dropped_total", "Management packets (VL15) dropped for want of room."),
    ("counters/excessive_buffer_overrun_errors", "excessive_buffer_overrun_errors_total", "Times that buffers overran for longer than the port tolerates."),
    ("counters/link_downed", "link_downed_total", "Times that the link went down because it could not be recovered."),
    ("counters/link_error_recovery", "link_error_recovery_total", "Times that the link recovered from an error."),
    ("counters/local_link_integrity_errors", "local_link_integrity_errors_total", "Times that local physical errors were more than the port tolerates."),
    ("counters/multicast_rcv_packets", "multicast_packets_received_total", "Multicast packets received, with errors or without."),
    ("counters/multicast_xmit_packets", "multicast_packets_transmitted_total", "Multicast packets sent, with errors or without."),
    ("counters/port_rcv_constraint_errors", "port_constraint_errors_received_total", "Packets received and thrown away by the switch's port."),
    ("counters/port_rcv_data", "port_data_received_bytes_total", "Bytes received on all links."),
    ("counters/port_rcv_discards", "port_discards_received_total", "Packets thrown away on arrival: the port was down or congested."),
    ("counters/port_rcv_errors", "port_errors_received_total", "Packets received with an error."),
    ("counters/port_rcv_packets", "port_packets_received_total", "Packets received on all virtual lanes, with errors or without."),
    ("counters/port_rcv_remote_physical_errors", "port_receive_remote_physical_errors_total", "Packets received that another port had marked as bad."),
    ("counters/port_rcv_switch_relay_errors", "port_receive_switch_relay_errors_total", "Packets that the switch could not pass on."),
    ("counters/port_xmit_constraint_errors", "port_constraint_errors_transmitted_total", "Packets that the switch's port did not send."),
    ("counters/port_xmit_data", "port_data_transmitted_bytes_total", "Bytes sent on all links."),
    ("counters/port_xmit_discards", "port_discards_transmitted_total", "Packets thrown away before they were sent: the port was down or congested."),
    ("counters/port_xmit_packets", "port_packets_transmitted_total", "Packets sent on all virtual lanes, with errors or without."),
    ("counters/port_xmit_wait", "port_transmit_wait_total", "Ticks in which there was data to send and none could be sent."),
    ("counters/symbol_error", "symbol_error_total", "Small errors on the physical lanes."),
    ("counters/unicast_rcv_packets", "unicast_packets_received_total", "Unicast packets received, with errors or without."),
    ("counters/unicast_xmit_packets", "unicast_packets_transmitted_total", "Unicast packets sent, with errors or without."),
    ("counters_ext/port_multicast_rcv_packets", "legacy_multicast_packets_received_total", "Multicast packets received, as old drivers count."),
    ("counters_ext/port_multicast_xmit_packets", "legacy_multicast_packets_transmitted_total", "Multicast packets sent, as old drivers count."),
    ("counters_ext/port_rcv_data_64", "legacy_data_received_bytes_total", "Bytes received on all links, as old drivers count."),
    ("counters_ext/port_rcv_packets_64", "legacy_packets_received_total", "Packets received on all links, as old drivers count."),
    ("counters_ext/port_unicast_rcv_packets", "legacy_unicast_packets_received_total", "Unicast packets received, as old drivers count."),
    ("counters_ext/port_unicast_xmit_packets", "legacy_unicast_packets_transmitted_total", "Unicast packets sent, as old drivers count."),
    ("counters_ext/port_xmit_data_64", "legacy_data_transmitted_bytes_total", "Bytes sent on all links, as old drivers count."),
    ("counters_ext/port_xmit_packets_64", "legacy_packets_transmitted_total", "Packets sent on all links, as old drivers count."),
];

/// The file of a gauge, the family that shows it, what it is, and how it is read.
type Gauge = (&'static str, &'static str, &'static str, fn(&str) -> Option<f64>);

#[rustfmt::skip]
const GAUGES: [Gauge; 3] = [
    ("state", "node_infiniband_state_id", "State of the port (1: down, 2: init, 3: armed, 4: active, 5: deferred).", state),
    ("phys_state", "node_infiniband_physical_state_id", "Physical state of the port (1: asleep, 2: polling, 3: disabled, 5: up).", state),
    ("rate", "node_infiniband_rate_bytes_per_second", "Bytes a second that the port can carry.", rate),
];

/// The kernel counts data in words of four bytes.
const IN_WORDS: [&str; 4] = [
    "counters/port_rcv_data",
    "counters/port_xmit_data",
    "counters_ext/port_rcv_data_64",
    "counters_ext/port_xmit_data_64",
];

pub struct Infiniband {
    roots: Roots,
}

impl Infiniband {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Infiniband {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/infiniband");
        let mut fault = FirstFault::default();
        for device in entries(&class).map_err(CollectError::or_absent)? {
            let dir = class.join(&device);
            show_device(&dir, &device, out, &mut fault);
            for port in fault.keep(entries(&dir.join("ports"))).unwrap_or_default() {
                if let Some(dir) = fault.keep(Directory::open(dir.join("ports").join(&port))) {
                    show_port(&dir, &device, &port, out, &mut fault);
                }
            }
        }
        fault.into_result()
    }
}

fn show_device(dir: &Path, device: &str, out: &mut Families, fault: &mut FirstFault) {
    // Software adapters have none of these.
    let [board_id, firmware, hca_type] = ["board_id", "fw_ver", "hca_type"]
        .map(|file| fault.keep(read_if_told(&dir.join(file))).flatten().unwrap_or_default());
    let labels =
        [("device", device), ("board_id", &board_id), ("firmware_version", &firmware), ("hca_type", &hca_type)];
    out.family(HostKind::Gauge, "node_infiniband_info", "What the adapter says of itself in words; always 1.")
        .add(&labels, 1.0);
}

fn show_port(dir: &Directory, device: &str, port: &str, out: &mut Families, fault: &mut FirstFault) {
    let number = port.parse::<u32>().map_err(|_| CollectError::odd(dir.path(""), "a port's name is a number"));
    let Some(number) = fault.keep(number).map(|number| number.to_string()) else { return };
    let labels = [("device", device), ("port", &*number)];
    for (file, family, help, parse) in GAUGES {
        if let Some(value) = fault.keep(number_in(dir, file, parse)).flatten() {
            out.family(HostKind::Gauge, family, help).add(&labels, value);
        }
    }
    for (file, name, help) in COUNTERS {
        if let Some(value) = fault.keep(number_in(dir, file, |text| counter(file, text))).flatten() {
            out.family(HostKind::Counter, format!("node_infiniband_{name}"), help).add(&labels, value);
        }
    }
}

fn number_in(dir: &Directory, file: &str, parse: impl Fn(&str) -> Option<f64>) -> Result<Option<f64>, CollectError> {
    // Some drivers have the file and no counter.
    let Some(text) = dir.read_if_told(file)?.filter(|text| !text.starts_with("N/A")) else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| CollectError::odd(dir.path(file), format!("{text:?} is not understood")))
}

/// `4: ACTIVE`.
fn state(text: &str) -> Option<f64> {
    text.split_once(':')?.0.trim().parse::<u32>().ok().map(f64::from)
}

/// `56 Gb/sec (4X FDR)`.
fn rate(text: &str) -> Option<f64> {
    let gigabits: f32 = text.split_once(' ')?.0.parse().ok()?;
    (gigabits.is_finite() && gigabits >= 0.0).then(|| (f64::from(gigabits) * 125e6).floor())
}

fn counter(file: &str, text: &str) -> Option<f64> {
    let value = parse_u64(text)?;
    Some(float(if IN_WORDS.contains(&file) { value.saturating_mul(4) } else { value }))
}

#[cfg(test)]
#[path = "infiniband_tests.rs"]
mod tests;
