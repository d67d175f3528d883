use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// A `/sys` with the files of one device's chip; the empty device is a chip without one.
fn chip(sys: &Path, number: u32, device: &str, files: &[(&str, &str)]) {
    let class = sys.join("class/hwmon");
    fs::create_dir_all(&class).unwrap();
    let name = format!("hwmon{number}");
    let dir =
        if device.is_empty() { class.join(&name) } else { sys.join("devices").join(device).join("hwmon").join(&name) };
    fs::create_dir_all(&dir).unwrap();
    if !device.is_empty() {
        symlink("../..", dir.join("device")).unwrap();
        symlink(&dir, class.join(&name)).unwrap();
    }
    for (file, text) in files {
        fs::write(dir.join(file), text).unwrap();
    }
}

fn collect(sys: &Path) -> (Families, Result<(), CollectError>) {
    let mut hwmon = Hwmon { roots: Roots { sysfs: sys.to_owned(), ..Roots::default() } };
    let mut out = Families::default();
    let result = hwmon.collect(&mut out);
    (out, result)
}

fn page(families: &Families) -> Vec<String> {
    let mut lines: Vec<String> = families
        .0
        .iter()
        .flat_map(|family| {
            let line = |one: &HostSeries| format!("{}{{{}}} {}", &family.name[11..], one.labels.rendered(), one.value);
            family.series.iter().map(line).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_chip_is_named_by_its_device() {
    let sys = tempfile::tempdir().unwrap();
    chip(
        sys.path(),
        0,
        "pci0000:00/0000:00:18.3",
        &[("name", "k10temp\n"), ("temp1_input", "45250\n"), ("temp1_label", "Tctl\n")],
    );
    chip(sys.path(), 1, "", &[("name", "ACPI-Fan 2\n"), ("fan1_input", "0\n")]);
    chip(sys.path(), 2, "", &[("in0_input", "1024\n")]);
    let (families, result) = collect(sys.path());
    result.unwrap();
    assert_eq!(
        page(&families),
        [
            r#"chip_names{chip="acpi_fan_2",chip_name="acpi_fan_2"} 1"#,
            r#"chip_names{chip="pci0000:00_0000:00:18_3",chip_name="k10temp"} 1"#,
            r#"fan_rpm{chip="acpi_fan_2",sensor="fan1"} 0"#,
            r#"in_volts{chip="hwmon2",sensor="in0"} 1.024"#,
            r#"sensor_label{chip="pci0000:00_0000:00:18_3",sensor="temp1",label="Tctl"} 1"#,
            r#"temp_celsius{chip="pci0000:00_0000:00:18_3",sensor="temp1"} 45.25"#,
        ]
    );
}

#[test]
fn a_sensor_that_fails_costs_itself() {
    let sys = tempfile::tempdir().unwrap();
    chip(
        sys.path(),
        0,
        "platform/coretemp.0",
        &[("name", "coretemp\n"), ("temp1_input", "N/A\n"), ("temp2_input", "50000\n")],
    );
    // Reading it fails, as that of a device which sleeps.
    fs::create_dir(sys.path().join("class/hwmon/hwmon0/temp3_input")).unwrap();
    symlink("/proc/self/mem", sys.path().join("class/hwmon/hwmon0/temp4_input")).unwrap();
    symlink("nowhere", sys.path().join("class/hwmon/hwmon0/temp5_input")).unwrap();
    let (families, result) = collect(sys.path());
    result.unwrap();
    assert_eq!(
        page(&families),
        [
            r#"chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1"#,
            r#"temp_celsius{chip="platform_coretemp_0",sensor="temp2"} 50"#,
        ]
    );
}

#[test]
fn sensors_of_old_drivers_are_beside_the_device() {
    let sys = tempfile::tempdir().unwrap();
    chip(sys.path(), 0, "platform/applesmc.768", &[]);
    fs::write(sys.path().join("devices/platform/applesmc.768/fan1_output"), "1999\n").unwrap();
    fs::write(sys.path().join("devices/platform/applesmc.768/name"), "applesmc\n").unwrap();
    let (families, result) = collect(sys.path());
    result.unwrap();
    assert_eq!(page(&families), [r#"fan_output{chip="platform_applesmc_768",sensor="fan1"} 1999"#]);
}

#[test]
fn no_series_is_there_twice() {
    let sys = tempfile::tempdir().unwrap();
    let files = [("name", "twin\n"), ("temp1_input", "1000\n"), ("temp1_max", "2000\n"), ("temp1_Max", "3000\n")];
    chip(sys.path(), 0, "", &files);
    chip(sys.path(), 1, "", &files);
    chip(sys.path(), 2, "", &[("name", "twin\n"), ("temp2_input", "5000\n")]);
    let (families, result) = collect(sys.path());
    result.unwrap();
    assert_eq!(
        page(&families),
        [
            r#"chip_names{chip="twin",chip_name="twin"} 1"#,
            r#"temp_celsius{chip="twin",sensor="temp1"} 1"#,
            r#"temp_celsius{chip="twin",sensor="temp2"} 5"#,
            r#"temp_max_celsius{chip="twin",sensor="temp1"} 3"#,
        ]
    );
}

#[test]
fn a_host_without_sensors_has_none() {
    let sys = tempfile::tempdir().unwrap();
    let (families, result) = collect(sys.path());
    assert!(matches!(result, Err(CollectError::Absent(_))));
    assert_eq!(families, Families::default());
}

#[test]
fn files_are_split_into_sensor_and_property() {
    for (file, wanted) in [
        ("temp1_crit_alarm", Some(("temp1", "crit_alarm"))),
        ("pwm2", Some(("pwm2", ""))),
        ("in0_input", Some(("in0", "input"))),
        ("beep_enable", Some(("beep_enable0", ""))),
        ("update_interval", Some(("update_interval0", ""))),
        ("temp01_input", Some(("temp1", "input"))),
        ("power", Some(("power0", ""))),
        ("temp1_", None),
        ("temp1x", None),
        ("temp99999999999_input", None),
        ("name", None),
        ("temp_input", None),
        ("", None),
    ] {
        let found = split(file);
        assert_eq!(found.as_ref().map(|(sensor, property)| (sensor.as_str(), *property)), wanted, "{file}");
    }
}

#[test]
fn every_kind_of_sensor_has_its_unit() {
    for (sensor, property, text, wanted) in [
        ("in", "input", "1024", Some(("node_hwmon_in_volts", 1.024))),
        ("cpu", "vid", "1100", Some(("node_hwmon_cpu_vid_volts", 1.1))),
        ("in", "alarm", "1", Some(("node_hwmon_in_alarm", 1.0))),
        ("temp", "fault", "0", Some(("node_hwmon_temp_fault", 0.0))),
        ("temp", "type", "4", Some(("node_hwmon_temp_type", 4.0))),
        ("temp", "crit_alarm", "0", Some(("node_hwmon_temp_crit_alarm_celsius", 0.0))),
        ("fan", "beep", "1", Some(("node_hwmon_fan_beep_enabled", 1.0))),
        ("fan", "target", "900", Some(("node_hwmon_fan_target_rpm", 900.0))),
        ("fan", "div", "2", Some(("node_hwmon_fan_div", 2.0))),
        ("pwm", "", "128", Some(("node_hwmon_pwm", 128.0))),
        ("curr", "input", "250", Some(("node_hwmon_curr_amps", 0.25))),
        ("energy", "input", "1500000", Some(("node_hwmon_energy_joule_total", 1.5))),
        ("power", "accuracy", "25000", Some(("node_hwmon_power_accuracy", 0.025))),
        ("power", "average_interval", "1000", Some(("node_hwmon_power_average_interval_seconds", 1.0))),
        ("power", "average", "5000000", Some(("node_hwmon_power_average_watt", 5.0))),
        ("humidity", "input", "500000", Some(("node_hwmon_humidity", 0.5))),
        ("intrusion", "alarm", "1", Some(("node_hwmon_intrusion_alarm", 1.0))),
        ("beep_enable", "", "1", Some(("node_hwmon_beep_enabled", 1.0))),
        ("beep_enable", "", "x", Some(("node_hwmon_beep_enabled", 0.0))),
        ("vrm", "", "110", Some(("node_hwmon_voltage_regulator_version", 110.0))),
        ("update_interval", "", "1000", Some(("node_hwmon_update_interval_seconds", 1.0))),
        ("in", "input", "", None),
        ("in", "input", "12V", None),
        ("vrm", "x", "1", None),
    ] {
        let found = naming::show(sensor, property, false, text);
        assert_eq!(found.as_ref().map(|one| (one.name.as_str(), one.value)), wanted, "{sensor} {property}");
    }
    assert_eq!(naming::show("power", "input", true, "0").unwrap().name, "node_hwmon_power_input_watt");
    assert_eq!(naming::show("energy", "input", false, "0").unwrap().kind, HostKind::Counter);
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(file in "[a-z]{0,6}[0-9]{0,12}_?\\PC{0,8}", text in "\\PC*", plain in any::<bool>()) {
        if let Some((sensor, property)) = split(&file) {
            let kind = sensor.trim_end_matches(|letter: char| letter.is_ascii_digit());
            if let Some(shown) = naming::show(kind, property, plain, &text) {
                let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
                prop_assert!(shown.name.chars().all(good), "{}", shown.name);
            }
        }
    }
}
