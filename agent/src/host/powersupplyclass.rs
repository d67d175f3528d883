//! Batteries and chargers, from `/sys/class/power_supply` (Documentation/ABI/testing/sysfs-class-power).
//!
//! The kernel counts in millionths of volts, amperes, watts and hours of them, and in tenths of a degree. A property
//! that the hardware does not give just now (an empty slot) is left out; another that cannot be read or is no number
//! costs itself, and is reported once the others are there.

use std::path::Path;

use rustix::io::Errno;

use super::collector::{CollectError, Collector, Families, Filter, FirstFault, Roots, Settings, entries, read_value};
use crate::model::host::HostKind;

pub struct PowerSupplyClass {
    roots: Roots,
    filter: Filter,
}

impl PowerSupplyClass {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), filter: settings.filter("powersupplyclass") }
    }
}

/// In what the kernel counts.
#[derive(Debug, Clone, Copy)]
enum Scale {
    One,
    Tenth,
    Millionth,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles")]
    fn of(self, value: i64) -> f64 {
        match self {
            Self::One => value as f64,
            Self::Tenth => value as f64 / 10.0,
            Self::Millionth => value as f64 / 1e6,
        }
    }
}

use Scale::{Millionth, One, Tenth};

/// A file, its family, and what one of its units is. In order of the files.
const NUMBERS: [(&str, &str, Scale); 49] = [
    ("authentic", "node_power_supply_authentic", One),
    ("calibrate", "node_power_supply_calibrate", One),
    ("capacity", "node_power_supply_capacity", One),
    ("capacity_alert_max", "node_power_supply_capacity_alert_max", One),
    ("capacity_alert_min", "node_power_supply_capacity_alert_min", One),
    ("charge_control_limit", "node_power_supply_charge_control_limit", Millionth),
    ("charge_control_limit_max", "node_power_supply_charge_control_limit_max", Millionth),
    ("charge_counter", "node_power_supply_charge_counter", Millionth),
    ("charge_empty", "node_power_supply_charge_empty", Millionth),
    ("charge_empty_design", "node_power_supply_charge_empty_design", Millionth),
    ("charge_full", "node_power_supply_charge_full", Millionth),
    ("charge_full_design", "node_power_supply_charge_full_design", Millionth),
    ("charge_now", "node_power_supply_charge_ampere", Millionth),
    ("charge_term_current", "node_power_supply_charge_term_current", Millionth),
    ("constant_charge_current", "node_power_supply_constant_charge_current", Millionth),
    ("constant_charge_current_max", "node_power_supply_constant_charge_current_max", Millionth),
    ("constant_charge_voltage", "node_power_supply_constant_charge_voltage", Millionth),
    ("constant_charge_voltage_max", "node_power_supply_constant_charge_voltage_max", Millionth),
    ("current_boot", "node_power_supply_current_boot", Millionth),
    ("current_max", "node_power_supply_current_max", Millionth),
    ("current_now", "node_power_supply_current_ampere", Millionth),
    ("cycle_count", "node_power_supply_cyclecount", One),
    ("energy_empty", "node_power_supply_energy_empty", Millionth),
    ("energy_empty_design", "node_power_supply_energy_empty_design", Millionth),
    ("energy_full", "node_power_supply_energy_full", Millionth),
    ("energy_full_design", "node_power_supply_energy_full_design", Millionth),
    ("energy_now", "node_power_supply_energy_watthour", Millionth),
    ("input_current_limit", "node_power_supply_input_current_limit", Millionth),
    ("online", "node_power_supply_online", One),
    ("power_now", "node_power_supply_power_watt", Millionth),
    ("precharge_current", "node_power_supply_precharge_current", Millionth),
    ("present", "node_power_supply_present", One),
    ("temp", "node_power_supply_temp_celsius", Tenth),
    ("temp_alert_max", "node_power_supply_temp_alert_max_celsius", Tenth),
    ("temp_alert_min", "node_power_supply_temp_alert_min_celsius", Tenth),
    ("temp_ambient", "node_power_supply_temp_ambient_celsius", Tenth),
    ("temp_ambient_max", "node_power_supply_temp_ambient_max_celsius", Tenth),
    ("temp_ambient_min", "node_power_supply_temp_ambient_min_celsius", Tenth),
    ("temp_max", "node_power_supply_temp_max_celsius", Tenth),
    ("temp_min", "node_power_supply_temp_min_celsius", Tenth),
    ("time_to_empty_now", "node_power_supply_time_to_empty_seconds", One),
    ("time_to_full_now", "node_power_supply_time_to_full_seconds", One),
    ("voltage_boot", "node_power_supply_voltage_boot", Millionth),
    ("voltage_max", "node_power_supply_voltage_max", Millionth),
    ("voltage_max_design", "node_power_supply_voltage_max_design", Millionth),
    ("voltage_min", "node_power_supply_voltage_min", Millionth),
    ("voltage_min_design", "node_power_supply_voltage_min_design", Millionth),
    ("voltage_now", "node_power_supply_voltage_volt", Millionth),
    ("voltage_ocv", "node_power_supply_voltage_ocv", Millionth),
];

/// Files that are labels of the info series, under their own names. In order.
const TEXTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

impl Collector for PowerSupplyClass {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/power_supply");
        let mut fault = FirstFault::default();
        for name in entries(&class).map_err(CollectError::or_absent)? {
            if self.filter.allows(&name) {
                fault.keep(add_supply(&class.join(&name), &name, out));
            }
        }
        fault.into_result()
    }
}

fn add_supply(dir: &Path, supply: &str, out: &mut Families) -> Result<(), CollectError> {
    let mut texts = vec![("power_supply", supply.to_owned())];
    let mut fault = FirstFault::default();
    for file in entries(dir)? {
        if let Ok(at) = NUMBERS.binary_search_by_key(&file.as_str(), |(file, _, _)| file) {
            fault.keep(NUMBERS.get(at).map_or(Ok(()), |number| add_number(dir, supply, number, out)));
        } else if let Some(label) = TEXTS.into_iter().find(|text| *text == file) {
            let text = fault.keep(given(read_value(&dir.join(label)))).flatten();
            texts.extend(text.map(|text| (label, one_mark(text))));
        }
    }
    texts.retain(|(_, text)| !text.is_empty());
    let labels: Vec<(&str, &str)> = texts.iter().map(|(label, text)| (*label, text.as_str())).collect();
    let help = "1 for each power supply, with what is known of it.";
    out.family(HostKind::Gauge, "node_power_supply_info", help).add(&labels, 1.0);
    fault.into_result()
}

/// Batteries have odd bytes behind their names. node_exporter shows one mark for all that stand together, and a label
/// has to be the same.
fn one_mark(mut text: String) -> String {
    while text.contains("\u{FFFD}\u{FFFD}") {
        text = text.replace("\u{FFFD}\u{FFFD}", "\u{FFFD}");
    }
    text
}

type Number = (&'static str, &'static str, Scale);

fn add_number(
    dir: &Path,
    supply: &str,
    (file, family, scale): &Number,
    out: &mut Families,
) -> Result<(), CollectError> {
    let path = dir.join(file);
    let Some(text) = given(read_value(&path))? else { return Ok(()) };
    let value = text.parse().map_err(|_| CollectError::odd(path, format!("{text:?} is no whole number")))?;
    let help = format!("What {file} of the power supply says.");
    out.family(HostKind::Gauge, *family, help).add(&[("power_supply", supply)], scale.of(value));
    Ok(())
}

/// What the hardware does not give just now is no fault.
fn given(text: Result<String, CollectError>) -> Result<Option<String>, CollectError> {
    let silent = |source: &std::io::Error| {
        let error = Errno::from_io_error(source);
        matches!(
            error,
            Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::INVAL | Errno::NODEV | Errno::NODATA | Errno::ISDIR)
        )
    };
    match text {
        Err(CollectError::Read { source, .. }) if silent(&source) => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
    }

    fn collect(sys: &Path, filter: Filter) -> (Vec<String>, Result<(), CollectError>) {
        let mut out = Families::default();
        let roots = Roots { sysfs: sys.to_owned(), ..Roots::default() };
        let result = PowerSupplyClass { roots, filter }.collect(&mut out);
        let lines = out.0.iter().flat_map(|family| {
            let name = family.name.trim_start_matches("node_power_supply_");
            family.series.iter().map(move |one| format!("{name}{{{}}} {}", one.labels.rendered(), one.value))
        });
        (lines.collect(), result)
    }

    #[test]
    fn a_laptops_battery_and_charger_are_shown() {
        let sys = tempfile::tempdir().unwrap();
        let class = sys.path().join("class/power_supply");
        let power = class.join("AC/power");
        file(&power, &[("control", "auto\n")]);
        file(&class.join("AC"), &[("online", "0\n"), ("type", "Mains\n"), ("uevent", "POWER_SUPPLY_NAME=AC\n")]);
        let battery = [
            ("capacity", "98\n"),
            ("cycle_count", "0\n"),
            ("energy_now", "49450000\n"),
            ("current_now", "-1200000\n"),
            ("temp", "311\n"),
            ("time_to_empty_now", "7200\n"),
            ("status", "Discharging\n"),
            ("serial_number", "\n"),
            ("type", "Battery\n"),
        ];
        file(&class.join("BAT0"), &battery);
        fs::write(class.join("BAT0/model_name"), b"LNV\xff\xfe\x00\n").unwrap();
        let (lines, result) = collect(sys.path(), Filter::default());
        result.unwrap();
        assert_eq!(
            lines,
            [
                r#"online{power_supply="AC"} 0"#,
                r#"info{power_supply="AC",type="Mains"} 1"#,
                "info{power_supply=\"BAT0\",model_name=\"LNV\u{FFFD}\0\",status=\"Discharging\",type=\"Battery\"} 1",
                r#"capacity{power_supply="BAT0"} 98"#,
                r#"current_ampere{power_supply="BAT0"} -1.2"#,
                r#"cyclecount{power_supply="BAT0"} 0"#,
                r#"energy_watthour{power_supply="BAT0"} 49.45"#,
                r#"temp_celsius{power_supply="BAT0"} 31.1"#,
                r#"time_to_empty_seconds{power_supply="BAT0"} 7200"#,
            ]
        );
        let filter = Filter { include: None, exclude: regex::Regex::new("^BAT").ok() };
        assert_eq!(collect(sys.path(), filter).0.len(), 2);
    }

    #[test]
    fn an_odd_property_costs_itself() {
        let sys = tempfile::tempdir().unwrap();
        let supply = sys.path().join("class/power_supply/BAT0");
        file(&supply, &[("capacity", "full\n"), ("present", "1\n")]);
        fs::create_dir(supply.join("online")).unwrap();
        let (lines, result) = collect(sys.path(), Filter::default());
        assert_eq!(lines, [r#"present{power_supply="BAT0"} 1"#, r#"info{power_supply="BAT0"} 1"#]);
        assert!(result.unwrap_err().to_string().ends_with("BAT0/capacity: \"full\" is no whole number"));
    }

    #[test]
    fn a_property_that_the_hardware_does_not_give_is_no_fault() {
        let read = |source: std::io::Error| Err(CollectError::Read { path: "x".into(), source });
        for silent in [Errno::NODEV, Errno::NODATA, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOENT] {
            assert!(matches!(given(read(silent.into())), Ok(None)));
        }
        assert!(given(read(Errno::IO.into())).is_err());
        let sys = tempfile::tempdir().unwrap();
        assert!(matches!(collect(sys.path(), Filter::default()).1, Err(CollectError::Absent(_))));
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(NUMBERS.is_sorted_by_key(|(file, _, _)| file));
    }
}
