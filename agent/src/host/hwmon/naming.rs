//! What a sensor's file is called on the page, and in which unit. Pure.

use crate::model::host::HostKind;

/// What comes before the number in the names of sensors' files. What is not here is no sensor.
const SENSORS: [&str; 13] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
];

/// `temp1_crit_alarm` is `crit_alarm` of the sensor `temp1`. A sensor without a number has the number 0.
pub fn split(file: &str) -> Option<(String, &str)> {
    let end = file.find(|letter: char| letter.is_ascii_digit()).unwrap_or(file.len());
    let (sensor, rest) = file.split_at_checked(end)?;
    if !SENSORS.contains(&sensor) {
        return None;
    }
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at_checked(digits)?;
    let number: u32 = if number.is_empty() { 0 } else { number.parse().ok()? };
    let property = if rest.is_empty() { "" } else { rest.strip_prefix('_').filter(|property| !property.is_empty())? };
    Some((format!("{sensor}{number}"), property))
}

/// As part of a name or as a label: lower case, everything unusual an underscore.
pub fn clean(text: &str) -> String {
    let usual = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == ':';
    let lower = text.to_lowercase();
    let cleaned: String = lower.chars().map(|letter| if usual(letter) { letter } else { '_' }).collect();
    cleaned.trim_matches('_').to_owned()
}

#[derive(Debug, PartialEq)]
pub struct Shown {
    pub name: String,
    pub help: &'static str,
    pub kind: HostKind,
    pub value: f64,
}

/// None for a text that is no number. `plain`: whether the sensor has a file without a property, too.
pub fn show(sensor: &str, property: &str, plain: bool, text: &str) -> Option<Shown> {
    let whole = |name: &str, help, value| Some(Shown { name: name.to_owned(), help, kind: HostKind::Gauge, value });
    match (sensor, property) {
        ("beep_enable", "") => {
            let on = if text == "1" { 1.0 } else { 0.0 };
            return whole("node_hwmon_beep_enabled", "1 where the chip may beep, else 0.", on);
        }
        ("vrm", "") => {
            let version = text.parse().ok()?;
            return whole("node_hwmon_voltage_regulator_version", "Version of the voltage regulator.", version);
        }
        ("update_interval", "") => {
            let seconds = text.parse::<f64>().ok()? * 0.001;
            return whole("node_hwmon_update_interval_seconds", "How often the chip measures, in seconds.", seconds);
        }
        ("beep_enable" | "vrm" | "update_interval", _) => return None,
        _ => {}
    }
    let value: f64 = text.parse().ok()?;
    let Unit { suffix, scale, kind, help } = unit(sensor, property);
    let middle = match property {
        "" => String::new(),
        "input" if plain => "_input".to_owned(),
        "input" => String::new(),
        other => format!("_{}", clean(other)),
    };
    let name = format!("node_hwmon_{sensor}{middle}{suffix}");
    Some(Shown { name, help, kind, value: scale.of(value) })
}

struct Unit {
    suffix: &'static str,
    scale: Scale,
    kind: HostKind,
    help: &'static str,
}

/// Multiplied or divided as node_exporter does, so that the last digit is the same, too.
enum Scale {
    AsIs,
    Milli,
    Micro,
}

impl Scale {
    fn of(&self, value: f64) -> f64 {
        match self {
            Self::AsIs => value,
            Self::Milli => value * 0.001,
            Self::Micro => value / 1_000_000.0,
        }
    }
}

fn unit(sensor: &str, property: &str) -> Unit {
    let gauge = |suffix, scale, help| Unit { suffix, scale, kind: HostKind::Gauge, help };
    match (sensor, property) {
        (_, "fault") => gauge("", Scale::AsIs, "1 where the sensor is broken, else 0."),
        (_, "alarm") => gauge("", Scale::AsIs, "1 while the sensor raises an alarm, else 0."),
        (_, "beep") => gauge("_enabled", Scale::AsIs, "1 where the sensor's alarm beeps, else 0."),
        ("in" | "cpu", _) => gauge("_volts", Scale::Milli, "Voltage, or a limit of it, in volts."),
        ("temp", property) if property != "type" => {
            gauge("_celsius", Scale::Milli, "Temperature, or a limit of it, in degrees Celsius.")
        }
        ("curr", _) => gauge("_amps", Scale::Milli, "Current, or a limit of it, in amperes."),
        ("energy", _) => Unit {
            suffix: "_joule_total",
            scale: Scale::Micro,
            kind: HostKind::Counter,
            help: "Energy used since the chip counts, in joules.",
        },
        ("power", "accuracy") => gauge("", Scale::Micro, "How exact the power meter is, as a ratio."),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            gauge("_seconds", Scale::Milli, "Over which time power is averaged, or a limit of it, in seconds.")
        }
        ("power", _) => gauge("_watt", Scale::Micro, "Power, or a limit of it, in watts."),
        ("humidity", _) => gauge("", Scale::Micro, "Relative humidity, as a ratio."),
        ("fan", "input" | "min" | "max" | "target") => {
            gauge("_rpm", Scale::AsIs, "Speed of the fan, or a limit of it, in revolutions per minute.")
        }
        _ => gauge("", Scale::AsIs, "A sensor's property, as the driver gives it."),
    }
}
