//! NVMe controllers: what `/sys/class/nvme` says of each (`Documentation/ABI/stable/sysfs-class-nvme` has some of it,
//! `drivers/nvme/host/sysfs.c` the rest).
//!
//! Counters of a disk's health need commands to the device, which are for root alone: they are not here.

use std::path::Path;

use super::collector::{self, CollectError, Collector, Families, Roots, Settings};
use crate::model::host::HostKind;

pub struct Nvme {
    roots: Roots,
}

impl Nvme {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Nvme {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/nvme");
        let mut result = Ok(());
        for device in collector::entries(&class).map_err(CollectError::or_absent)? {
            if let Err(error) = show(&class.join(&device), &device, out) {
                result = Err(error);
            }
        }
        result
    }
}

fn show(dir: &Path, device: &str, out: &mut Families) -> Result<(), CollectError> {
    let value = |name: &str| collector::read_value(&dir.join(name));
    let (firmware, model, serial, state) = (value("firmware_rev")?, value("model")?, value("serial")?, value("state")?);
    let labels = [
        ("device", device),
        ("firmware_revision", &firmware),
        ("model", &model),
        ("serial", &serial),
        ("state", &state),
    ];
    out.family(HostKind::Gauge, "node_nvme_info", "What is known of the NVMe controller.").add(&labels, 1.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_shown_and_one_without_its_files_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = Nvme { roots: Roots { sysfs: dir.path().into(), ..Roots::default() } };
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Absent(_))));

        let nvme = |name: &str| dir.path().join("class/nvme").join(name);
        std::fs::create_dir_all(nvme("nvme0")).unwrap();
        std::fs::create_dir_all(nvme("nvme1")).unwrap();
        let files = [("firmware_rev", "1.2 "), ("model", "Disk  9\t"), ("serial", "   S1\n"), ("state", "live\n")];
        for (name, text) in files {
            std::fs::write(nvme("nvme1").join(name), text).unwrap();
        }
        let mut families = Families::default();
        let error = collector.collect(&mut families).unwrap_err().to_string();
        assert!(error.contains("nvme0/firmware_rev"), "{error}");
        let series = &families.0[0].series;
        assert_eq!(series.len(), 1);
        assert_eq!(
            (series[0].labels.rendered(), series[0].value),
            (r#"device="nvme1",firmware_revision="1.2",model="Disk  9",serial="S1",state="live""#, 1.0)
        );
    }
}
