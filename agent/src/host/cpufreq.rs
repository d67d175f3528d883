//! CPU frequencies, from `/sys/devices/system/cpu/cpuN/cpufreq` (Documentation/admin-guide/pm/cpufreq.rst). Virtual
//! machines mostly have none. What the kernel does not say of a CPU, or says to root alone, is left out.
//!
//! Kernels before 5.18 may take 10 ms or more to look at a sleeping CPU; that only makes this collector slow.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::model::host::HostKind;

use super::collector::{
    CollectError, Collector, Families, FirstFault, Settings, entries, float, parse_u64, read_value,
};
use super::cpu::is_cpu;

/// File, family and help.
const FILES: [(&str, &str, &str); 6] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency of the CPU as the hardware says, in hertz."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency that the hardware can do, in hertz."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency that the hardware can do, in hertz."),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "Frequency of the CPU as the governor set it, in hertz."),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Lowest frequency that the governor may set, in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Highest frequency that the governor may set, in hertz.",
    ),
];

pub struct Cpufreq {
    devices: PathBuf,
}

impl Cpufreq {
    pub fn new(settings: &Settings) -> Self {
        Self { devices: settings.roots.sys("devices/system/cpu") }
    }
}

impl Collector for Cpufreq {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let names = entries(&self.devices).map_err(CollectError::or_absent)?;
        let mut faults = FirstFault::default();
        let mut found = false;
        for name in names.iter().filter(|name| is_cpu(name)) {
            let dir = self.devices.join(name).join("cpufreq");
            if !dir.is_dir() {
                continue;
            }
            found = true;
            let cpu = name.trim_start_matches("cpu");
            for (file, family, help) in FILES {
                if let Some(Some(kilohertz)) = faults.keep(frequency(&dir.join(file))) {
                    out.family(HostKind::Gauge, family, help).add(&[("cpu", cpu)], kilohertz * 1000.0);
                }
            }
        }
        if !found {
            return Err(CollectError::Absent(format!("no CPU in {} has cpufreq", self.devices.display())));
        }
        faults.into_result()
    }
}

/// In kHz. None where the file is not there, is for root alone, or says `<unknown>`, as some drivers do.
fn frequency(path: &Path) -> Result<Option<f64>, CollectError> {
    match read_value(path) {
        Ok(text) if text == "<unknown>" => Ok(None),
        Ok(text) => match parse_u64(&text) {
            Some(kilohertz) => Ok(Some(float(kilohertz))),
            None => Err(CollectError::odd(path, format!("{text:?} is no frequency"))),
        },
        Err(CollectError::Read { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn frequencies_in_hertz() {
        let dir = tempfile::tempdir().unwrap();
        let mut cpufreq = Cpufreq::new(&Settings::below(dir.path()));
        for (file, kilohertz) in [("scaling_cur_freq", "1699981"), ("scaling_max_freq", "3700000")] {
            put(dir.path(), &format!("sys/devices/system/cpu/cpu0/cpufreq/{file}"), &format!("{kilohertz}\n"));
        }
        put(dir.path(), "sys/devices/system/cpu/cpu12/cpufreq/cpuinfo_cur_freq", "<unknown>\n");
        put(dir.path(), "sys/devices/system/cpu/cpu12/cpufreq/cpuinfo_min_freq", "800000\n");
        put(dir.path(), "sys/devices/system/cpu/cpu13/online", "0\n");
        put(dir.path(), "sys/devices/system/cpu/cpufreq/boost", "1\n");
        let (out, ended) = seen_by(&mut cpufreq);
        ended.unwrap();
        assert_eq!(out.value("node_cpu_scaling_frequency_hertz", r#"cpu="0""#), Some(1_699_981_000.0));
        assert_eq!(out.value("node_cpu_scaling_frequency_max_hertz", r#"cpu="0""#), Some(3.7e9));
        assert_eq!(out.value("node_cpu_frequency_min_hertz", r#"cpu="12""#), Some(8e8));
        assert_eq!(out.0.len(), 3);
    }

    #[test]
    fn an_odd_file_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "fast\n");
        put(dir.path(), "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "5\n");
        let (out, ended) = seen_by(&mut Cpufreq::new(&Settings::below(dir.path())));
        assert!(ended.unwrap_err().to_string().contains("fast"));
        assert_eq!(out.value("node_cpu_scaling_frequency_hertz", r#"cpu="1""#), Some(5000.0));
    }

    #[test]
    fn a_virtual_machine_has_none() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "sys/devices/system/cpu/cpu0/online", "1\n");
        let (_, ended) = seen_by(&mut Cpufreq::new(&Settings::below(dir.path())));
        assert!(matches!(ended, Err(CollectError::Absent(_))));
    }
}
