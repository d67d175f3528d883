//! `bonding`: how many of each bond's slaves work, from `/sys/class/net/bonding_masters` and below the bond's directory
//! (Documentation/networking/bonding.rst, "Querying Bonding Configuration").
//!
//! A host without the bonding driver lacks the file. A slave whose state cannot be read counts, but not as active.

use super::collector::{CollectError, Collector, Families, FirstFault, Roots, Settings, float, read, read_value};
use crate::model::host::HostKind;

pub struct Bonding {
    roots: Roots,
}

impl Bonding {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }

    fn show(&self, master: &str, slaves: &str, out: &mut Families, fault: &mut FirstFault) {
        let (mut all, mut active) = (0, 0);
        for slave in slaves.split_ascii_whitespace() {
            all += 1;
            active += u64::from(fault.keep(self.mii_status(master, slave)).is_some_and(|state| state == "up"));
        }
        let labels = [("master", master)];
        out.family(HostKind::Gauge, "node_bonding_slaves", "Devices that the bond has.").add(&labels, float(all));
        out.family(HostKind::Gauge, "node_bonding_active", "Devices of the bond whose link is up.")
            .add(&labels, float(active));
    }

    /// Before Linux 3.13 the links were named `slave_eth0`.
    fn mii_status(&self, master: &str, slave: &str) -> Result<String, CollectError> {
        let path = |prefix| self.roots.sys(&format!("class/net/{master}/{prefix}_{slave}/bonding_slave/mii_status"));
        let state = read_value(&path("lower")).map_err(CollectError::or_absent);
        if matches!(state, Err(CollectError::Absent(_))) { read_value(&path("slave")) } else { state }
    }
}

impl Collector for Bonding {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let masters = read(&self.roots.sys("class/net/bonding_masters")).map_err(CollectError::or_absent)?;
        let mut masters: Vec<&str> = masters.split_ascii_whitespace().collect();
        masters.sort_unstable();
        masters.dedup();
        let mut fault = FirstFault::default();
        for master in masters {
            let slaves = read(&self.roots.sys(&format!("class/net/{master}/bonding/slaves")));
            if let Some(slaves) = fault.keep(slaves) {
                self.show(master, &slaves, out, &mut fault);
            }
        }
        fault.into_result()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn collect(root: &Path) -> (Vec<(String, f64)>, Result<(), CollectError>) {
        let mut out = Families::default();
        let outcome = Bonding { roots: Roots { sysfs: root.into(), ..Roots::default() } }.collect(&mut out);
        let mut shown: Vec<_> = out
            .0
            .iter()
            .flat_map(|family| {
                family
                    .series
                    .iter()
                    .map(|series| (format!("{} {}", family.name, series.labels.rendered()), series.value))
            })
            .collect();
        shown.sort_by(|one, other| one.0.cmp(&other.0));
        (shown, outcome)
    }

    #[test]
    fn no_driver_no_bonds() {
        let root = tempfile::tempdir().unwrap();
        let (shown, outcome) = collect(root.path());
        assert!(shown.is_empty());
        assert!(matches!(outcome, Err(CollectError::Absent(_))), "{outcome:?}");
        put(root.path(), "class/net/bonding_masters", "\n");
        assert!(matches!(collect(root.path()), (shown, Ok(())) if shown.is_empty()));
    }

    #[test]
    fn links_of_old_and_new_kernels_and_a_dead_slave() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "class/net/bonding_masters", "bond1 bond0 bond2\n");
        put(root.path(), "class/net/bond0/bonding/slaves", "eth0 eth1\n");
        put(root.path(), "class/net/bond0/lower_eth0/bonding_slave/mii_status", "up\n");
        put(root.path(), "class/net/bond0/lower_eth1/bonding_slave/mii_status", "down\n");
        put(root.path(), "class/net/bond1/bonding/slaves", "eth2\n");
        put(root.path(), "class/net/bond1/slave_eth2/bonding_slave/mii_status", "up\n");
        put(root.path(), "class/net/bond2/bonding/slaves", "");
        let (shown, outcome) = collect(root.path());
        outcome.unwrap();
        let wanted = [
            ("node_bonding_active master=\"bond0\"", 1.0),
            ("node_bonding_active master=\"bond1\"", 1.0),
            ("node_bonding_active master=\"bond2\"", 0.0),
            ("node_bonding_slaves master=\"bond0\"", 2.0),
            ("node_bonding_slaves master=\"bond1\"", 1.0),
            ("node_bonding_slaves master=\"bond2\"", 0.0),
        ];
        assert_eq!(shown, wanted.map(|(series, value)| (series.to_owned(), value)));
    }

    #[test]
    fn a_bond_that_cannot_be_read_costs_itself_and_a_slave_its_state() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "class/net/bonding_masters", "bond0 gone\n");
        put(root.path(), "class/net/bond0/bonding/slaves", "eth0 eth1\n");
        put(root.path(), "class/net/bond0/lower_eth1/bonding_slave/mii_status", "up\n");
        let (shown, outcome) = collect(root.path());
        assert_eq!(shown.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1.0, 2.0]);
        assert!(outcome.unwrap_err().to_string().contains("slave_eth0"), "the first fault is told");
    }
}
