use std::path::Path;

use super::super::collector::{put, seen_by};
use super::*;

fn host(dir: &Path, name: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        put(dir, &format!("sys/class/fc_host/{name}/{file}"), text);
    }
}

const PORT: [(&str, &str); 14] = [
    ("speed", "16 Gbit\n"),
    ("port_state", "Online\n"),
    ("port_type", "NPort (fabric via point-to-point)\n"),
    ("port_id", "0x010203\n"),
    ("port_name", "0x50000000c9aabbcc\n"),
    ("fabric_name", "0x0\n"),
    ("symbolic_name", " An adapter \n"),
    ("supported_classes", "Class 3\n"),
    ("supported_speeds", "4 Gbit, 8 Gbit, 16 Gbit\n"),
    ("dev_loss_tmo", "30\n"),
    ("statistics/rx_frames", "0x1f\n"),
    ("statistics/dumped_frames", "0xffffffffffffffff\n"),
    ("statistics/tx_words", "many\n"),
    ("statistics/reset_statistics", "\n"),
];

#[test]
fn a_port_and_its_counters() {
    let dir = tempfile::tempdir().unwrap();
    host(dir.path(), "host3", &PORT);
    let (out, outcome) = seen_by(&mut Fibrechannel::new(&Settings::below(dir.path())));
    assert!(outcome.unwrap_err().to_string().ends_with("tx_words: \"many\" is no number"));
    let info = "fc_host=\"host3\",speed=\"16 Gbit\",port_state=\"Online\",port_type=\"NPort (fabric via point-to-point)\",\
                port_id=\"010203\",port_name=\"50000000c9aabbcc\",fabric_name=\"0\",symbolic_name=\"An adapter\",\
                supported_classes=\"Class 3\",supported_speeds=\"4 Gbit, 8 Gbit, 16 Gbit\",dev_loss_tmo=\"30\"";
    assert_eq!(out.value("node_fibrechannel_info", info), Some(1.0));
    let value = |name: &str| out.value(&format!("node_fibrechannel_{name}_total"), "fc_host=\"host3\"");
    assert_eq!(value("rx_frames"), Some(31.0));
    assert_eq!(value("dumped_frames"), None, "the firmware does not count them");
    assert_eq!(value("tx_words"), None);
    assert_eq!(value("link_failure"), Some(0.0), "the driver has no such file");
    assert_eq!(out.0.len(), COUNTERS.len() - 2 + 1);
}

#[test]
fn a_port_that_counts_nothing_is_shown_and_told() {
    let dir = tempfile::tempdir().unwrap();
    host(dir.path(), "host0", &[("speed", "unknown\n")]);
    host(dir.path(), "host1", &[("statistics/nos_count", "0x2\n")]);
    let (out, outcome) = seen_by(&mut Fibrechannel::new(&Settings::below(dir.path())));
    assert!(outcome.unwrap_err().to_string().contains("host0/statistics"));
    assert_eq!(out.count("node_fibrechannel_info"), 2);
    assert_eq!(out.count("node_fibrechannel_nos_total"), 1);
    assert_eq!(out.value("node_fibrechannel_nos_total", "fc_host=\"host1\""), Some(2.0));
}

#[test]
fn no_adapter_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outcome) = seen_by(&mut Fibrechannel::new(&Settings::below(dir.path())));
    assert!(matches!(outcome, Err(CollectError::Absent(_))) && out.0.is_empty(), "{outcome:?}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|(0x)?[0-9a-f]{0,20}") {
        let dir = tempfile::tempdir().unwrap();
        host(dir.path(), "host0", &[("port_id", &text), ("statistics/nos_count", &text)]);
        let (out, _) = seen_by(&mut Fibrechannel::new(&Settings::below(dir.path())));
        proptest::prop_assert_eq!(out.count("node_fibrechannel_info"), 1);
    }

    #[test]
    fn counters_come_out_as_they_went_in(count in 0..u64::MAX) {
        let dir = tempfile::tempdir().unwrap();
        host(dir.path(), "host0", &[("statistics/nos_count", &format!("{count:#x}\n"))]);
        let (out, outcome) = seen_by(&mut Fibrechannel::new(&Settings::below(dir.path())));
        outcome.unwrap();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles")]
        let wanted = Some(count as f64);
        proptest::prop_assert_eq!(out.value("node_fibrechannel_nos_total", "fc_host=\"host0\""), wanted);
    }
}
