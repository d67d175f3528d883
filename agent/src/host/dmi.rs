//! What the machine is, as its firmware says, from `/sys/class/dmi/id`.
//!
//! It is read once: it does not change before the next boot. Serial numbers are for root alone; an agent that is not
//! root leaves them out. Any other field that cannot be read is left out, too, and reported.

use super::collector::{CollectError, Collector, Families, Roots, Settings, entries, read_value};
use crate::model::host::HostKind;

pub struct Dmi {
    roots: Roots,
    /// Empty until it was read.
    labels: Vec<(&'static str, String)>,
}

impl Dmi {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), labels: Vec::new() }
    }

    fn read(&mut self) -> Result<(), CollectError> {
        let dir = self.roots.sys("class/dmi/id");
        let mut result = Ok(());
        for file in entries(&dir).map_err(CollectError::or_absent)? {
            let Some((_, label)) = LABELS.into_iter().find(|(name, _)| *name == file) else { continue };
            match read_value(&dir.join(file)) {
                Ok(text) => self.labels.push((label, text)),
                Err(CollectError::Read { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

/// A file and its label.
const LABELS: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

impl Collector for Dmi {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let result = if self.labels.is_empty() { self.read() } else { Ok(()) };
        if self.labels.is_empty() {
            return result.and(Err(CollectError::Absent("the firmware says nothing of the machine".to_owned())));
        }
        let labels: Vec<(&str, &str)> = self.labels.iter().map(|(label, text)| (*label, text.as_str())).collect();
        let help = "1, with what the firmware says of the machine.";
        out.family(HostKind::Gauge, "node_dmi_info", help).add(&labels, 1.0);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_machine_is_shown_and_read_once() {
        let sys = tempfile::tempdir().unwrap();
        let dir = sys.path().join("class/dmi/id");
        fs::create_dir_all(&dir).unwrap();
        let files =
            [("sys_vendor", "QEMU\n"), ("bios_date", "04/01/2014\n"), ("board_name", " \n"), ("modalias", "dmi:x\n")];
        files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
        let mut dmi = Dmi { roots: Roots { sysfs: sys.path().to_owned(), ..Roots::default() }, labels: Vec::new() };
        let mut out = Families::default();
        dmi.collect(&mut out).unwrap();
        let wanted = r#"bios_date="04/01/2014",board_name="",system_vendor="QEMU""#;
        assert_eq!(out.0[0].series[0].labels.rendered(), wanted);

        fs::remove_dir_all(&dir).unwrap();
        let mut again = Families::default();
        dmi.collect(&mut again).unwrap();
        assert_eq!(again, out);
    }

    #[test]
    fn a_host_without_such_firmware_has_none() {
        let sys = tempfile::tempdir().unwrap();
        let mut dmi = Dmi { roots: Roots { sysfs: sys.path().to_owned(), ..Roots::default() }, labels: Vec::new() };
        assert!(matches!(dmi.collect(&mut Families::default()), Err(CollectError::Absent(_))));
    }
}
