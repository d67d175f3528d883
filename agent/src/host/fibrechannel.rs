//! `fibrechannel`: the ports of Fibre Channel adapters, and what they count, from `/sys/class/fc_host`
//! (drivers/scsi/scsi_transport_fc.c).
//!
//! A host without adapters lacks the directory. A counter that the firmware does not have is all ones and left out; one
//! that the driver has no file for is 0. An odd value costs itself.

use std::path::Path;

use super::collector::{
    CollectError, Collector, Families, FirstFault, Roots, Settings, entries, float, parse_u64, read_if_told, read_value,
};
use crate::model::host::HostKind;

/// A file in `statistics`, the family that shows it, and what it counts.
type Counter = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const COUNTERS: [Counter; 14] = [
    ("dumped_frames", "node_fibrechannel_dumped_frames_total", "Frames lost for want of buffers."),
    ("error_frames", "node_fibrechannel_error_frames_total", "Frames with an error."),
    ("invalid_crc_count", "node_fibrechannel_invalid_crc_total", "Frames with a wrong checksum."),
    ("rx_frames", "node_fibrechannel_rx_frames_total", "Frames received."),
    ("rx_words", "node_fibrechannel_rx_words_total", "Words received."),
    ("tx_frames", "node_fibrechannel_tx_frames_total", "Frames sent."),
    ("tx_words", "node_fibrechannel_tx_words_total", "Words sent."),
    ("seconds_since_last_reset", "node_fibrechannel_seconds_since_last_reset_total", "Seconds since the port was reset."),
    ("invalid_tx_word_count", "node_fibrechannel_invalid_tx_words_total", "Invalid words sent."),
    ("link_failure_count", "node_fibrechannel_link_failure_total", "Times that the link failed."),
    ("loss_of_sync_count", "node_fibrechannel_loss_of_sync_total", "Times that bits or words could not be told apart any more."),
    ("loss_of_signal_count", "node_fibrechannel_loss_of_signal_total", "Times that the signal was lost."),
    ("nos_count", "node_fibrechannel_nos_total", "Times that the other side said that it does not work (NOS)."),
    ("fcp_packet_aborts", "node_fibrechannel_fcp_packet_aborts_total", "SCSI commands that were given up."),
];

/// Labels, each the name of a file; true: after `0x`.
const LABELS: [(&str, bool); 10] = [
    ("speed", false),
    ("port_state", false),
    ("port_type", false),
    ("port_id", true),
    ("port_name", true),
    ("fabric_name", true),
    ("symbolic_name", false),
    ("supported_classes", false),
    ("supported_speeds", false),
    ("dev_loss_tmo", false),
];

pub struct Fibrechannel {
    roots: Roots,
}

impl Fibrechannel {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Fibrechannel {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/fc_host");
        let mut fault = FirstFault::default();
        for host in entries(&class).map_err(CollectError::or_absent)? {
            show_info(&class.join(&host), &host, out, &mut fault);
            let statistics = class.join(&host).join("statistics");
            // Without the directory the adapter counts nothing at all.
            if fault.keep(entries(&statistics)).is_some() {
                show_counters(&statistics, &host, out, &mut fault);
            }
        }
        fault.into_result()
    }
}

fn show_info(dir: &Path, host: &str, out: &mut Families, fault: &mut FirstFault) {
    let words = LABELS.map(|(file, hexadecimal)| {
        let word = fault.keep(read_if_told(&dir.join(file))).flatten().unwrap_or_default();
        let digits = if hexadecimal { word.strip_prefix("0x") } else { None };
        (file, digits.map_or(word.clone(), str::to_owned))
    });
    let mut labels = vec![("fc_host", host)];
    labels.extend(words.iter().map(|(name, word)| (*name, word.as_str())));
    out.family(HostKind::Gauge, "node_fibrechannel_info", "What the port says of itself in words; always 1.")
        .add(&labels, 1.0);
}

fn show_counters(dir: &Path, host: &str, out: &mut Families, fault: &mut FirstFault) {
    for (file, family, help) in COUNTERS {
        match fault.keep(count(&dir.join(file))) {
            None | Some(u64::MAX) => {}
            Some(value) => out.family(HostKind::Counter, family, help).add(&[("fc_host", host)], float(value)),
        }
    }
}

fn count(path: &Path) -> Result<u64, CollectError> {
    match read_value(path).map_err(CollectError::or_absent) {
        Err(CollectError::Absent(_)) => Ok(0),
        Ok(text) => parse_u64(&text).ok_or_else(|| CollectError::odd(path, format!("{text:?} is no number"))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "fibrechannel_tests.rs"]
mod tests;
