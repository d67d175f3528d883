//! Hardware sensors, from `/sys/class/hwmon` (Documentation/hwmon/sysfs-interface.rst): voltages, fans, temperatures,
//! currents, power, energy, humidity, with their limits and alarms.
//!
//! A chip is named by its device, which stays what it is when modules load in another order; `hwmonN` does not. A sensor
//! whose file cannot be read just now (drivers answer EAGAIN, ENODATA or EIO while a device sleeps) is left out of this
//! sample, and so is a text that is no number: that is usual, and no fault of the collector.

mod naming;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::collector::{CollectError, Collector, Families, FirstFault, Roots, Settings, entries, read};
use crate::model::host::{HostFamily, HostKind, HostSeries, Labels};
use naming::{Shown, clean, split};

/// By sensor (`temp1`), then by property (`input`; empty for a file that is called as the sensor).
type Sensors = BTreeMap<String, BTreeMap<String, String>>;

pub struct Hwmon {
    roots: Roots,
}

impl Hwmon {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Hwmon {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/hwmon");
        let mut seen = HashSet::new();
        let mut fault = FirstFault::default();
        for name in entries(&class).map_err(CollectError::or_absent)? {
            let dir = class.join(name);
            if dir.is_dir() {
                fault.keep(add_chip(&dir, &mut seen, out));
            }
        }
        fault.into_result()
    }
}

fn add_chip(dir: &Path, seen: &mut HashSet<String>, out: &mut Families) -> Result<(), CollectError> {
    let chip = chip_name(dir)?;
    let mut sensors = Sensors::new();
    read_sensors(dir, &mut sensors)?;
    // Old drivers have their files beside the device.
    let device = dir.join("device");
    if device.exists() {
        read_sensors(&device, &mut sensors)?;
    }
    // Two chips of one device, or two without a device and of one name, are told apart by nothing: the first stays.
    let mut page = Page { out, chip: &chip, again: !seen.insert(chip.clone()) };
    if let Some(name) = human_name(dir) {
        let help = "1 for each chip, with the name that its driver gave it.";
        page.add(HostKind::Gauge, "node_hwmon_chip_names".to_owned(), help, &[("chip_name", &name)], 1.0);
    }
    for (sensor, properties) in &sensors {
        page.add_sensor(sensor, properties);
    }
    Ok(())
}

struct Page<'a> {
    out: &'a mut Families,
    chip: &'a str,
    /// Whether there was a chip of this name.
    again: bool,
}

impl Page<'_> {
    fn add_sensor(&mut self, sensor: &str, properties: &BTreeMap<String, String>) {
        let kind = sensor.trim_end_matches(|letter: char| letter.is_ascii_digit());
        if let Some(label) = properties.get("label") {
            let help = "1 for each sensor that has a label, with that label.";
            let labels = [("sensor", sensor), ("label", label)];
            self.add(HostKind::Gauge, "node_hwmon_sensor_label".to_owned(), help, &labels, 1.0);
        }
        let plain = properties.contains_key("");
        for (property, text) in properties.iter().filter(|(property, _)| *property != "label") {
            if let Some(Shown { name, help, kind, value }) = naming::show(kind, property, plain, text) {
                self.add(kind, name, help, &[("sensor", sensor)], value);
            }
        }
    }

    fn add(&mut self, kind: HostKind, name: String, help: &'static str, labels: &[(&str, &str)], value: f64) {
        let mut pairs = vec![("chip", self.chip)];
        pairs.extend_from_slice(labels);
        let labels = Labels::new(&pairs);
        let family = self.out.family(kind, name, help);
        if !self.again && last_differs(family, &labels) || !family.series.iter().any(|one| one.labels == labels) {
            family.series.push(HostSeries { suffix: "", labels, value });
        }
    }
}

/// Within a chip only properties of one sensor can come to the same name, and they come one after the other.
fn last_differs(family: &HostFamily, labels: &Labels) -> bool {
    family.series.last().is_none_or(|last| last.labels != *labels)
}

fn read_sensors(dir: &Path, sensors: &mut Sensors) -> Result<(), CollectError> {
    for file in entries(dir)? {
        let Some((sensor, property)) = split(&file) else { continue };
        if let Ok(text) = read(&dir.join(&file)) {
            let text = text.trim_matches('\n').to_owned();
            sensors.entry(sensor).or_default().insert(property.to_owned(), text);
        }
    }
    Ok(())
}

/// `platform_coretemp_0` where there is a device, else the driver's name, else `hwmon0`.
fn chip_name(dir: &Path) -> Result<String, CollectError> {
    let device = dir.join("device").canonicalize().ok();
    let found = device.and_then(|device| device_name(&device)).or_else(|| human_name(dir));
    if let Some(name) = found {
        return Ok(name);
    }
    let real = dir.canonicalize().map_err(|source| CollectError::Read { path: dir.to_owned(), source })?;
    let name = last_part(&real);
    if name.is_empty() { Err(CollectError::odd(dir, "nothing here gives the chip a name")) } else { Ok(name) }
}

fn device_name(device: &Path) -> Option<String> {
    let (bus, name) = (device.parent().map(last_part).unwrap_or_default(), last_part(device));
    match (bus.is_empty(), name.is_empty()) {
        (_, true) => None,
        (true, false) => Some(name),
        (false, false) => Some(format!("{bus}_{name}")),
    }
}

fn last_part(path: &Path) -> String {
    path.file_name().map(|name| clean(&name.to_string_lossy())).unwrap_or_default()
}

fn human_name(dir: &Path) -> Option<String> {
    let path: PathBuf = dir.join("name");
    read(&path).ok().map(|name| clean(&name)).filter(|name| !name.is_empty())
}

#[cfg(test)]
#[path = "hwmon_tests.rs"]
mod tests;
