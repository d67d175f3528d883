//! File systems and what is read from and written to their devices.

use std::collections::BTreeMap;

use sysinfo::{Disk, Disks};

use crate::model::host::{HostFamily, HostSeries};
use crate::model::outcome::Kind;

use super::float;

/// None where sysinfo cannot start, which costs these numbers and nothing else.
pub struct Collector(Option<Disks>);

impl Default for Collector {
    fn default() -> Self {
        Self(Disks::new().ok())
    }
}

impl Collector {
    pub fn collect(&mut self) -> Vec<HostFamily> {
        let Some(disks) = &mut self.0 else { return Vec::new() };
        disks.refresh(true);
        // One series for each mount point, and one for each device, however often it is mounted.
        let mounts: BTreeMap<String, &Disk> =
            disks.iter().map(|disk| (disk.mount_point().display().to_string(), disk)).collect();
        let devices: BTreeMap<String, &Disk> = disks.iter().map(|disk| (device(disk), disk)).collect();
        vec![
            per_mount(&mounts, "node_filesystem_size_bytes", "Size of the file system.", Disk::total_space),
            per_mount(
                &mounts,
                "node_filesystem_avail_bytes",
                "Space that users other than root can have.",
                Disk::available_space,
            ),
            per_device(&devices, "node_disk_read_bytes_total", "Bytes read from the device.", |disk| {
                disk.usage().total_read_bytes
            }),
            per_device(&devices, "node_disk_written_bytes_total", "Bytes written to the device.", |disk| {
                disk.usage().total_written_bytes
            }),
        ]
    }
}

/// `sda1` for `/dev/sda1`, as node_exporter names devices.
fn device(disk: &Disk) -> String {
    let name = disk.name().to_string_lossy();
    name.strip_prefix("/dev/").unwrap_or(&name).to_owned()
}

fn per_mount(
    mounts: &BTreeMap<String, &Disk>,
    name: &'static str,
    help: &'static str,
    value: fn(&Disk) -> u64,
) -> HostFamily {
    let series = mounts.iter().map(|(mount, disk)| HostSeries {
        labels: vec![
            ("device", disk.name().to_string_lossy().into_owned()),
            ("fstype", disk.file_system().to_string_lossy().into_owned()),
            ("mountpoint", mount.clone()),
        ],
        value: float(value(disk)),
    });
    HostFamily { name, help, kind: Kind::Gauge, series: series.collect() }
}

fn per_device(
    devices: &BTreeMap<String, &Disk>,
    name: &'static str,
    help: &'static str,
    value: fn(&Disk) -> u64,
) -> HostFamily {
    let series = devices
        .iter()
        .map(|(device, disk)| HostSeries { labels: vec![("device", device.clone())], value: float(value(disk)) });
    HostFamily { name, help, kind: Kind::Counter, series: series.collect() }
}
