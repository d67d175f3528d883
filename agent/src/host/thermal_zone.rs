//! Temperatures of thermal zones and throttling of cooling devices, from `/sys/class/thermal`
//! (Documentation/driver-api/thermal/sysfs-api.rst).
//!
//! A zone without a reading just now (ENODATA, while its sensor sleeps) is left out. One that cannot be read for another
//! reason costs itself, and is reported once the others are there.

use std::path::Path;

use super::collector::{CollectError, Collector, Families, FirstFault, Roots, Settings, entries, read_value};
use crate::model::host::HostKind;

pub struct ThermalZone {
    roots: Roots,
}

impl ThermalZone {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for ThermalZone {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/thermal");
        let mut fault = FirstFault::default();
        for name in entries(&class).map_err(CollectError::or_absent)? {
            let dir = class.join(&name);
            let added = if let Some(zone) = numbered(&name, "thermal_zone") {
                add_zone(&dir, zone, out)
            } else if let Some(device) = numbered(&name, "cooling_device") {
                add_cooling(&dir, device, out)
            } else {
                Ok(())
            };
            fault.keep(added);
        }
        fault.into_result()
    }
}

fn numbered<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

fn add_zone(dir: &Path, zone: &str, out: &mut Families) -> Result<(), CollectError> {
    let kind = read_value(&dir.join("type"))?;
    let milli = match read_number(&dir.join("temp")) {
        Err(CollectError::Read { source, .. }) if no_data(&source) => return Ok(()),
        other => other?,
    };
    let help = "Temperature of the zone, in degrees Celsius.";
    let labels = [("zone", zone), ("type", kind.as_str())];
    out.family(HostKind::Gauge, "node_thermal_zone_temp", help).add(&labels, milli / 1000.0);
    Ok(())
}

fn no_data(error: &std::io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NODATA)
}

fn add_cooling(dir: &Path, device: &str, out: &mut Families) -> Result<(), CollectError> {
    let kind = read_value(&dir.join("type"))?;
    let labels = [("name", device), ("type", kind.as_str())];
    let (max, current) = (read_number(&dir.join("max_state"))?, read_number(&dir.join("cur_state"))?);
    let help = "How much the device cools now; -1 where its driver does not know.";
    out.family(HostKind::Gauge, "node_cooling_device_cur_state", help).add(&labels, current);
    let help = "How much the device can cool.";
    out.family(HostKind::Gauge, "node_cooling_device_max_state", help).add(&labels, max);
    Ok(())
}

/// A whole number, perhaps below 0.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles")]
fn read_number(path: &Path) -> Result<f64, CollectError> {
    let text = read_value(path)?;
    let number: Result<i64, _> = text.parse();
    number.map(|number| number as f64).map_err(|_| CollectError::odd(path, format!("{text:?} is no whole number")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
    }

    fn collect(sys: &Path) -> (Vec<String>, Result<(), CollectError>) {
        let mut out = Families::default();
        let result = ThermalZone { roots: Roots { sysfs: sys.to_owned(), ..Roots::default() } }.collect(&mut out);
        let lines = out.0.iter().flat_map(|family| {
            family.series.iter().map(|one| format!("{}{{{}}} {}", family.name, one.labels.rendered(), one.value))
        });
        (lines.collect(), result)
    }

    #[test]
    fn zones_and_cooling_devices_are_shown() {
        let sys = tempfile::tempdir().unwrap();
        let class = sys.path().join("class/thermal");
        file(&class.join("thermal_zone0"), &[("type", "acpitz\n"), ("temp", "27800\n"), ("policy", "step_wise\n")]);
        file(&class.join("thermal_zone12"), &[("type", "iwlwifi_1\n"), ("temp", "-5000\n")]);
        file(&class.join("thermal_zone"), &[("type", "odd\n")]);
        let cooling = [("type", "intel_powerclamp\n"), ("max_state", "50\n"), ("cur_state", "-1\n")];
        file(&class.join("cooling_device7"), &cooling);
        let (lines, result) = collect(sys.path());
        result.unwrap();
        assert_eq!(
            lines,
            [
                r#"node_cooling_device_cur_state{name="7",type="intel_powerclamp"} -1"#,
                r#"node_cooling_device_max_state{name="7",type="intel_powerclamp"} 50"#,
                r#"node_thermal_zone_temp{zone="0",type="acpitz"} 27.8"#,
                r#"node_thermal_zone_temp{zone="12",type="iwlwifi_1"} -5"#,
            ]
        );
    }

    #[test]
    fn a_zone_that_cannot_be_read_costs_itself() {
        let sys = tempfile::tempdir().unwrap();
        let class = sys.path().join("class/thermal");
        file(&class.join("thermal_zone0"), &[("type", "odd\n"), ("temp", "hot\n")]);
        file(&class.join("thermal_zone1"), &[("type", "good\n"), ("temp", "1000\n")]);
        file(&class.join("cooling_device0"), &[("type", "Fan\n"), ("cur_state", "1\n")]);
        let (lines, result) = collect(sys.path());
        assert_eq!(lines, [r#"node_thermal_zone_temp{zone="1",type="good"} 1"#]);
        let fault = result.unwrap_err().to_string();
        assert!(fault.contains("cooling_device0/max_state: No such file"), "{fault}");
        fs::remove_dir_all(class.join("cooling_device0")).unwrap();
        let fault = collect(sys.path()).1.unwrap_err().to_string();
        assert!(fault.ends_with("thermal_zone0/temp: \"hot\" is no whole number"), "{fault}");
    }

    #[test]
    fn a_zone_without_a_reading_is_no_fault() {
        assert!(no_data(&std::io::Error::from(rustix::io::Errno::NODATA)));
        assert!(!no_data(&std::io::Error::from(rustix::io::Errno::IO)));
        let sys = tempfile::tempdir().unwrap();
        assert!(matches!(collect(sys.path()), (lines, Err(CollectError::Absent(_))) if lines.is_empty()));
    }
}
