//! Space and devices of each mounted btrfs: `/sys/fs/btrfs/UUID`, described in
//! `Documentation/ABI/testing/sysfs-fs-btrfs` and `btrfs(5)`.
//!
//! What a device holds and which errors it had, the file system itself says at its mount point ([`ioctl`]). Where that
//! may not be opened, the devices are shown with their sizes alone.

mod ioctl;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::collector::{self, CollectError, Collector, Families, Roots, Settings, float, parse_u64};
use super::mounts;
use crate::model::host::HostKind;

pub struct Btrfs {
    roots: Roots,
}

/// sysfs tells the size of block devices in these, whatever the device has.
const SECTOR: u64 = 512;

impl Btrfs {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }

    /// What mounted file systems say of their devices, by UUID.
    fn asked(&self) -> BTreeMap<String, Vec<ioctl::Device>> {
        let Ok((_, table)) = mounts::read(&self.roots) else { return BTreeMap::new() };
        let mut asked = BTreeMap::new();
        let mut done = BTreeSet::new();
        let (mounts, _) = mounts::parse(&table, &self.roots.rootfs);
        for mount in mounts.iter().filter(|mount| mount.fstype == "btrfs") {
            if done.contains(&mount.device) {
                continue;
            }
            // One that may not be opened may be mounted elsewhere, too.
            if let Ok((uuid, devices)) = ioctl::look(&self.roots.host(&mount.point)) {
                done.insert(&mount.device);
                asked.insert(uuid, devices);
            }
        }
        asked
    }
}

impl Collector for Btrfs {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let all = self.roots.sys("fs/btrfs");
        // Beside the file systems stands a directory of what the kernel can do.
        let mut systems = collector::entries(&all).map_err(CollectError::or_absent)?;
        systems.retain(|name| name.contains('-'));
        if systems.is_empty() {
            return Ok(());
        }
        let asked = self.asked();
        let mut result = Ok(());
        for name in systems {
            let devices = asked.get(&name);
            let mut reading = Reading { dir: all.join(name), uuid: String::new(), out, error: None };
            reading.file_system(devices.map(Vec::as_slice));
            result = reading.error.map_or(result, Err);
        }
        result
    }
}

/// The reading of one file system's files.
struct Reading<'a> {
    dir: PathBuf,
    uuid: String,
    out: &'a mut Families,
    error: Option<CollectError>,
}

impl Reading<'_> {
    fn file_system(&mut self, asked: Option<&[ioctl::Device]>) {
        let name = self.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The identity that was given to it last. Kernels before 5.0 do not have it.
        self.uuid = self.text("metadata_uuid").filter(|uuid| !uuid.is_empty()).unwrap_or(name);
        let label = self.text("label").unwrap_or_default();
        self.gauge("node_btrfs_info", "The file system's label.", &[("label", &label)], 1.0);
        let help = "Space kept back for the file system's own needs.";
        self.file("allocation/global_rsv_size", 1, "node_btrfs_global_rsv_size_bytes", help, &[]);
        let devices = self.entries("devices");
        for block_group in ["data", "metadata", "system"] {
            self.block_group(block_group, devices.len());
        }
        match asked {
            Some(asked) => asked.iter().for_each(|device| self.device(device)),
            None => {
                for device in &devices {
                    let file = format!("devices/{device}/size");
                    self.file(&file, SECTOR, "node_btrfs_device_size_bytes", DEVICE_SIZE, &[("device", device)]);
                }
            }
        }
    }

    fn block_group(&mut self, kind: &str, devices: usize) {
        let dir = format!("allocation/{kind}");
        let labels = [("block_group_type", kind)];
        let help = "Space reserved for data of the kind.";
        self.file(&format!("{dir}/bytes_reserved"), 1, "node_btrfs_reserved_bytes", help, &labels);
        for mode in self.entries(&dir) {
            if !self.dir.join(&dir).join(&mode).is_dir() {
                continue;
            }
            let labels = [("block_group_type", kind), ("mode", &*mode)];
            let help = "Space used by data of the kind, in the layout.";
            self.file(&format!("{dir}/{mode}/used_bytes"), 1, "node_btrfs_used_bytes", help, &labels);
            let help = "Space set aside for data of the kind, in the layout.";
            self.file(&format!("{dir}/{mode}/total_bytes"), 1, "node_btrfs_size_bytes", help, &labels);
            let help = "Bytes on the devices for each byte of data, in the layout.";
            self.gauge("node_btrfs_allocation_ratio", help, &labels, ratio(&mode, devices));
        }
    }

    fn device(&mut self, device: &ioctl::Device) {
        let name = device.path.rsplit('/').next().unwrap_or_default();
        let labels = [("device", name), ("btrfs_dev_uuid", &*device.uuid)];
        self.gauge("node_btrfs_device_size_bytes", DEVICE_SIZE, &labels, float(device.size));
        let help = "Space of the device that is not set aside for anything.";
        let unused = device.size.saturating_sub(device.used);
        self.gauge("node_btrfs_device_unused_bytes", help, &labels, float(unused));
        for (kind, errors) in ioctl::ERRORS.into_iter().zip(device.errors) {
            let labels = [("uuid", &*self.uuid), ("type", kind), ("device", name), ("btrfs_dev_uuid", &*device.uuid)];
            self.out
                .family(HostKind::Counter, "node_btrfs_device_errors_total", "Errors of the device, by kind.")
                .add(&labels, float(errors));
        }
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<(&str, &str)> = std::iter::once(("uuid", &*self.uuid)).chain(labels.iter().copied()).collect();
        self.out.family(HostKind::Gauge, name, help).add(&labels, value);
    }

    /// Shows a number of a file. One that is not there is not shown.
    fn file(&mut self, file: &str, unit: u64, name: &'static str, help: &'static str, labels: &[(&str, &str)]) {
        let Some(text) = self.text(file) else { return };
        match parse_u64(&text) {
            Some(number) => self.gauge(name, help, labels, float(number.saturating_mul(unit))),
            None => self.fails(CollectError::odd(self.dir.join(file), format!("{text:?} is not a number"))),
        }
    }

    fn text(&mut self, file: &str) -> Option<String> {
        match collector::read_value(&self.dir.join(file)) {
            Ok(text) => Some(text),
            Err(error) => {
                self.fails(error);
                None
            }
        }
    }

    fn entries(&mut self, dir: &str) -> Vec<String> {
        let dir: &Path = &self.dir.join(dir);
        collector::entries(dir).unwrap_or_else(|error| {
            self.fails(error);
            Vec::new()
        })
    }

    /// A file that is not there is one that this kernel does not have.
    fn fails(&mut self, error: CollectError) {
        if !matches!(&error, CollectError::Read { source, .. } if source.kind() == ErrorKind::NotFound) {
            self.error = Some(error);
        }
    }
}

const DEVICE_SIZE: &str = "Size of a device of the file system.";

/// Bytes on the devices for each byte of data; 0 for a layout that is not known, or impossible.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 devices")]
fn ratio(mode: &str, devices: usize) -> f64 {
    let parity = |parity: usize| match devices.checked_sub(parity) {
        None | Some(0) => 0.0,
        Some(data) => devices as f64 / data as f64,
    };
    match mode {
        "single" | "raid0" => 1.0,
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => parity(1),
        "raid6" => parity(2),
        _ => 0.0,
    }
}

#[cfg(test)]
#[path = "btrfs_tests.rs"]
mod tests;
