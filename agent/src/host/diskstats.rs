//! What block devices read and wrote: `/proc/diskstats`, whose columns `Documentation/admin-guide/iostats.rst` explains,
//! and what udev's database knows of each device.
//!
//! Kernels before 4.18 have no discards, those before 5.5 no flushes: these series are left out. A short line is that
//! of a partition under a kernel of 2.6, which counts too little to be shown. A device of which udev knows nothing has
//! its numbers all the same.

use std::path::PathBuf;

use super::collector::{self, CollectError, Collector, Families, Filter, Roots, Settings, float};
use crate::model::host::{HostKind, HostSeries, Labels};

pub struct Diskstats {
    roots: Roots,
    filter: Filter,
}

/// A line of the file.
#[derive(Debug, PartialEq)]
struct Device<'a> {
    major: u32,
    minor: u32,
    name: &'a str,
    /// As many of [`COLUMNS`] as the kernel has.
    numbers: Vec<u64>,
}

/// Columns that every kernel has.
const FEWEST: usize = 11;
/// The kernel counts in sectors of this many bytes, whatever the device has.
const SECTOR: f64 = 512.0;
const MILLISECOND: f64 = 1.0 / 1000.0;

/// Kind, name, what is said of it, and what its unit is of the metric's.
type Column = (HostKind, &'static str, &'static str, f64);

use HostKind::{Counter, Gauge};

/// In the file's order.
const COLUMNS: [Column; 17] = [
    (Counter, "node_disk_reads_completed_total", "Reads that were completed.", 1.0),
    (Counter, "node_disk_reads_merged_total", "Reads that were merged with a neighbour.", 1.0),
    (Counter, "node_disk_read_bytes_total", "Bytes that were read.", SECTOR),
    (Counter, "node_disk_read_time_seconds_total", "Time that reads took, added up.", MILLISECOND),
    (Counter, "node_disk_writes_completed_total", "Writes that were completed.", 1.0),
    (Counter, "node_disk_writes_merged_total", "Writes that were merged with a neighbour.", 1.0),
    (Counter, "node_disk_written_bytes_total", "Bytes that were written.", SECTOR),
    (Counter, "node_disk_write_time_seconds_total", "Time that writes took, added up.", MILLISECOND),
    (Gauge, "node_disk_io_now", "Requests under way.", 1.0),
    (Counter, "node_disk_io_time_seconds_total", "Time during which any request was under way.", MILLISECOND),
    (
        Counter,
        "node_disk_io_time_weighted_seconds_total",
        "Time during which requests were under way, times their number.",
        MILLISECOND,
    ),
    (Counter, "node_disk_discards_completed_total", "Discards that were completed.", 1.0),
    (Counter, "node_disk_discards_merged_total", "Discards that were merged with a neighbour.", 1.0),
    (Counter, "node_disk_discarded_sectors_total", "Sectors that were discarded.", 1.0),
    (Counter, "node_disk_discard_time_seconds_total", "Time that discards took, added up.", MILLISECOND),
    (Counter, "node_disk_flush_requests_total", "Flushes that were completed.", 1.0),
    (Counter, "node_disk_flush_requests_time_seconds_total", "Time that flushes took, added up.", MILLISECOND),
];

/// Of ATA disks: udev's property, the metric, and what is said of it.
const ATA: [(&str, &str, &str); 3] = [
    ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "1 where the disk has a write cache."),
    ("ID_ATA_WRITE_CACHE_ENABLED", "node_disk_ata_write_cache_enabled", "1 where the disk's write cache is on."),
    ("ID_ATA_ROTATION_RATE_RPM", "node_disk_ata_rotation_rate_rpm", "Turns of the disk a minute, 0 for an SSD."),
];

impl Diskstats {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), filter: settings.filter("diskstats") }
    }

    /// What udev knows of a device; nothing where it does not run, or has not seen the device.
    fn properties(&self, device: &Device<'_>) -> Properties {
        let file: PathBuf = self.roots.udev_data.join(format!("b{}:{}", device.major, device.minor));
        Properties(collector::read(&file).unwrap_or_default())
    }
}

impl Collector for Diskstats {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("diskstats");
        let text = collector::read(&path)?;
        let (mut devices, odd) = parse(&text);
        devices.retain(|device| self.filter.allows(device.name));
        for device in &devices {
            describe(device, &self.properties(device), out);
        }
        count(&devices, out);
        match odd {
            Some(line) => Err(CollectError::odd(path, format!("{line:?} is no device"))),
            None => Ok(()),
        }
    }
}

/// The devices of the file, and the first line that is none.
fn parse(text: &str) -> (Vec<Device<'_>>, Option<&str>) {
    let mut odd = None;
    let devices = text
        .lines()
        .filter_map(|line| {
            let device = parse_line(line);
            if device.is_none() && !line.trim().is_empty() {
                odd = odd.or(Some(line));
            }
            device.filter(|device| device.numbers.len() >= FEWEST)
        })
        .collect();
    (devices, odd)
}

fn parse_line(line: &str) -> Option<Device<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (major, minor, name) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    let numbers: Result<Vec<u64>, _> = words.take(COLUMNS.len()).map(str::parse).collect();
    Some(Device { major, minor, name, numbers: numbers.ok()? })
}

fn count(devices: &[Device<'_>], out: &mut Families) {
    let labels: Vec<Labels> = devices.iter().map(|device| Labels::new(&[("device", device.name)])).collect();
    for (column, (kind, name, help, unit)) in COLUMNS.into_iter().enumerate() {
        let series = devices.iter().zip(&labels).filter_map(|(device, labels)| {
            let value = float(*device.numbers.get(column)?) * unit;
            Some(HostSeries { suffix: "", labels: labels.clone(), value })
        });
        out.family(kind, name, help).series.extend(series);
    }
}

fn describe(device: &Device<'_>, known: &Properties, out: &mut Families) {
    let (major, minor) = (device.major.to_string(), device.minor.to_string());
    let labels = [
        ("device", device.name),
        ("major", &major),
        ("minor", &minor),
        ("path", known.get("ID_PATH")),
        ("wwn", known.get("ID_WWN")),
        ("model", known.get("ID_MODEL")),
        ("serial", known.get("ID_SERIAL_SHORT")),
        ("revision", known.get("ID_REVISION")),
    ];
    out.family(Gauge, "node_disk_info", "What is known of the block device.").add(&labels, 1.0);
    let fstype = known.get("ID_FS_TYPE");
    if !fstype.is_empty() {
        let labels = [
            ("device", device.name),
            ("type", fstype),
            ("usage", known.get("ID_FS_USAGE")),
            ("uuid", known.get("ID_FS_UUID")),
            ("version", known.get("ID_FS_VERSION")),
        ];
        out.family(Gauge, "node_disk_filesystem_info", "The file system on the device.").add(&labels, 1.0);
    }
    let mapped = known.get("DM_NAME");
    if !mapped.is_empty() {
        let labels = [
            ("device", device.name),
            ("name", mapped),
            ("uuid", known.get("DM_UUID")),
            ("vg_name", known.get("DM_VG_NAME")),
            ("lv_name", known.get("DM_LV_NAME")),
            ("lv_layer", known.get("DM_LV_LAYER")),
        ];
        out.family(Gauge, "node_disk_device_mapper_info", "The device mapper's device behind it.").add(&labels, 1.0);
    }
    if !known.get("ID_ATA").is_empty() {
        for (property, name, help) in ATA {
            if let Ok(value) = known.get(property).parse::<f64>() {
                out.family(Gauge, name, help).add(&[("device", device.name)], value);
            }
        }
    }
}

/// A file of udev's database (`src/libsystemd/sd-device` of systemd): lines of a letter, a colon and a value, of which
/// `E` marks the properties.
struct Properties(String);

impl Properties {
    /// Empty where there is none. The last line counts.
    fn get(&self, name: &str) -> &str {
        self.0
            .lines()
            .rev()
            .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
            .unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "diskstats_tests.rs"]
mod tests;
