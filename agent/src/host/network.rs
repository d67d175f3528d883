//! What network interfaces received and sent.

use std::ffi::OsString;

use sysinfo::{NetworkData, Networks};

use crate::model::host::{HostFamily, HostSeries};
use crate::model::outcome::Kind;

use super::float;

/// None where sysinfo cannot start, which costs these numbers and nothing else.
pub struct Collector(Option<Networks>);

impl Default for Collector {
    fn default() -> Self {
        Self(Networks::new().ok())
    }
}

impl Collector {
    pub fn collect(&mut self) -> Vec<HostFamily> {
        let Some(networks) = &mut self.0 else { return Vec::new() };
        networks.refresh(true);
        let networks = &*networks;
        let family = |name, help, value: fn(&NetworkData) -> u64| {
            let one = |device: &OsString, data: &NetworkData| HostSeries {
                labels: vec![("device", device.to_string_lossy().into_owned())],
                value: float(value(data)),
            };
            let mut series: Vec<HostSeries> = networks.iter().map(|(device, data)| one(device, data)).collect();
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            HostFamily { name, help, kind: Kind::Counter, series }
        };
        vec![
            family("node_network_receive_bytes_total", "Bytes received.", NetworkData::total_received),
            family("node_network_transmit_bytes_total", "Bytes sent.", NetworkData::total_transmitted),
            family("node_network_receive_packets_total", "Packets received.", NetworkData::total_packets_received),
            family("node_network_transmit_packets_total", "Packets sent.", NetworkData::total_packets_transmitted),
            family("node_network_receive_errs_total", "Errors at receiving.", NetworkData::total_errors_on_received),
            family("node_network_transmit_errs_total", "Errors at sending.", NetworkData::total_errors_on_transmitted),
        ]
    }
}
