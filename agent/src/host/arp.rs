//! `arp`: how many IPv4 neighbours are known on each device, from `/proc/net/arp` (Documentation/filesystems/proc.rst).
//!
//! Every entry counts, those that wait for an answer too. The neighbours themselves, and those of IPv6, are left out.
//! An odd line costs itself.

use std::collections::BTreeMap;

use super::collector::{CollectError, Collector, Families, Filter, Oddities, Roots, Settings, float, read};
use crate::model::host::HostKind;

pub struct Arp {
    roots: Roots,
    filter: Filter,
}

impl Arp {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), filter: settings.filter("arp") }
    }
}

impl Collector for Arp {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("net/arp");
        let text = read(&path).map_err(CollectError::or_absent)?;
        let mut odd = Oddities::default();
        let entries = parse(&text, &mut odd);
        let family = out.family(HostKind::Gauge, "node_arp_entries", "Neighbours in the ARP table, by device.");
        for (device, count) in entries.into_iter().filter(|(device, _)| self.filter.allows(device)) {
            family.add(&[("device", device)], float(count));
        }
        odd.finish(&path)
    }
}

/// Columns: address, hardware type, flags, hardware address, mask, device. The line of headings begins with `IP`.
fn parse<'a>(text: &'a str, odd: &mut Oddities) -> BTreeMap<&'a str, u64> {
    const COLUMNS: usize = 6;
    let mut entries = BTreeMap::new();
    for line in text.lines() {
        let mut columns = line.split_ascii_whitespace();
        if columns.clone().next() == Some("IP") {
            continue;
        }
        match columns.clone().count() {
            0..COLUMNS => odd.line(line),
            _ => *entries.entry(columns.next_back().unwrap_or_default()).or_default() += 1,
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.1         0x1         0x2         02:fc:00:00:00:01     *        eth0
10.0.0.7         0x1         0x0         00:00:00:00:00:00     *        eth0
fe.no.address
172.17.0.2       0x1         0x6         02:42:ac:11:00:02     *        docker0
";

    #[test]
    fn entries_are_counted_by_device_whatever_their_state() {
        let mut odd = Oddities::default();
        assert_eq!(parse(TABLE, &mut odd), BTreeMap::from([("docker0", 1), ("eth0", 2)]));
        let error = odd.finish(std::path::Path::new("arp")).unwrap_err();
        assert_eq!(error.to_string(), "arp: odd line \"fe.no.address\"");
    }

    #[test]
    fn the_filter_hides_devices_and_an_empty_table_is_no_fault() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("net")).unwrap();
        let exclude = regex::Regex::new("^docker").ok();
        let mut arp = Arp {
            roots: Roots { procfs: root.path().into(), ..Roots::default() },
            filter: Filter { include: None, exclude },
        };
        let absent = arp.collect(&mut Families::default()).unwrap_err();
        assert!(matches!(absent, CollectError::Absent(_)), "{absent}");
        std::fs::write(root.path().join("net/arp"), TABLE.replace("fe.no.address\n", "")).unwrap();
        let mut out = Families::default();
        arp.collect(&mut out).unwrap();
        let shown: Vec<_> = out.0[0].series.iter().map(|series| (series.labels.rendered(), series.value)).collect();
        assert_eq!(shown, [("device=\"eth0\"", 2.0)]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|([a-zA-Z0-9.:*]{0,5}[ \n]){0,40}") {
            let entries = parse(&text, &mut Oddities::default());
            prop_assert!(entries.values().sum::<u64>() <= text.lines().count() as u64);
        }
    }
}
