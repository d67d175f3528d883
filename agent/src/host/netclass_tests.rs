use std::path::Path;

use super::super::collector::{put, seen_by};
use super::*;

fn device(dir: &Path, name: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        put(dir, &format!("sys/class/net/{name}/{file}"), text);
    }
}

const ETH0: [(&str, &str); 12] = [
    ("address", "02:fc:00:00:00:01\n"),
    ("broadcast", "ff:ff:ff:ff:ff:ff\n"),
    ("carrier", "1\n"),
    ("carrier_changes", "3\n"),
    ("dev_id", "0x20\n"),
    ("duplex", "full\n"),
    ("flags", "0x1003\n"),
    ("ifalias", "to \"the\" rack\n"),
    ("mtu", "1500\n"),
    ("operstate", "up\n"),
    ("speed", "10000\n"),
    ("type", "1\n"),
];

#[test]
fn a_card_and_what_is_no_device() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path(), "eth0", &ETH0);
    put(dir.path(), "sys/class/net/bonding_masters", "bond0\n");
    let (out, outcome) = seen_by(&mut Netclass::new(&Settings::below(dir.path())));
    outcome.unwrap();
    let labels = "device=\"eth0\",address=\"02:fc:00:00:00:01\",broadcast=\"ff:ff:ff:ff:ff:ff\",duplex=\"full\",\
                  operstate=\"up\",ifalias=\"to \\\"the\\\" rack\"";
    assert_eq!(out.value("node_network_info", labels), Some(1.0));
    let wanted = [
        ("up", 1.0),
        ("carrier", 1.0),
        ("carrier_changes_total", 3.0),
        ("device_id", 32.0),
        ("flags", 4099.0),
        ("mtu_bytes", 1500.0),
        ("speed_bytes", 1.25e9),
        ("protocol_type", 1.0),
    ];
    for (name, value) in wanted {
        let family = format!("node_network_{name}");
        assert_eq!(out.value(&family, "device=\"eth0\""), Some(value), "{name}");
        assert_eq!(out.count(&family), 1, "{name}");
    }
    assert_eq!(out.0.len(), wanted.len() + 1, "what the kernel does not tell is left out");
}

#[test]
fn an_unknown_speed_is_negative_and_an_odd_value_costs_itself() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path(), "veth0", &[("operstate", "down\n"), ("speed", "-1\n"), ("mtu", "many\n"), ("ifindex", "7\n")]);
    let (out, outcome) = seen_by(&mut Netclass::new(&Settings::below(dir.path())));
    assert!(outcome.unwrap_err().to_string().ends_with("veth0/mtu: \"many\" is no number"));
    assert_eq!(out.value("node_network_speed_bytes", "device=\"veth0\""), Some(-125_000.0));
    assert_eq!(out.value("node_network_iface_id", "device=\"veth0\""), Some(7.0));
    assert_eq!(out.value("node_network_up", "device=\"veth0\""), Some(0.0));
    assert_eq!(out.count("node_network_mtu_bytes"), 0);
}

#[test]
fn the_filter_hides_devices_and_one_that_is_gone_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path(), "eth0", &ETH0);
    device(dir.path(), "veth12", &ETH0);
    std::os::unix::fs::symlink("../nowhere", dir.path().join("sys/class/net/eth9")).unwrap();
    let mut settings = Settings::below(dir.path());
    settings.filters.insert("netclass", Filter { include: None, exclude: regex::Regex::new("^veth").ok() });
    let (out, outcome) = seen_by(&mut Netclass::new(&settings));
    outcome.unwrap();
    assert_eq!(out.count("node_network_up"), 1);
    assert_eq!(out.value("node_network_up", "device=\"eth0\""), Some(1.0));
}

#[test]
fn no_network_class_no_devices() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outcome) = seen_by(&mut Netclass::new(&Settings::below(dir.path())));
    assert!(matches!(outcome, Err(CollectError::Absent(_))), "{outcome:?}");
    assert!(out.0.is_empty());
}

proptest::proptest! {
    #[test]
    fn any_word_is_survived(word in "\\PC*|-?(0x)?[0-9a-f]{0,20}") {
        let dir = tempfile::tempdir().unwrap();
        device(dir.path(), "eth0", &[("speed", &word), ("operstate", &word)]);
        let (out, _) = seen_by(&mut Netclass::new(&Settings::below(dir.path())));
        proptest::prop_assert_eq!(out.count("node_network_up"), 1);
    }

    #[test]
    fn numbers_come_out_as_they_went_in(number: i64, flags in 0..=i64::MAX) {
        proptest::prop_assert_eq!(parse(&number.to_string()), Some(number));
        proptest::prop_assert_eq!(parse(&format!("{flags:#x}")), Some(flags));
    }
}
