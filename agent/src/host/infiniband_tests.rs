use std::path::Path;

use proptest::prelude::*;

use super::super::collector::{put, seen_by};
use super::*;

fn device(dir: &Path, name: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        put(dir, &format!("sys/class/infiniband/{name}/{file}"), text);
    }
}

const MLX: [(&str, &str); 11] = [
    ("board_id", "SM_1141000001000\n"),
    ("fw_ver", "2.31.5050\n"),
    ("hca_type", "MT4099\n"),
    ("ports/1/state", "4: ACTIVE\n"),
    ("ports/1/phys_state", "5: LinkUp\n"),
    ("ports/1/rate", "2.5 Gb/sec (1X SDR)\n"),
    ("ports/1/counters/port_rcv_data", "1000\n"),
    ("ports/1/counters/port_rcv_packets", "1001\n"),
    ("ports/1/counters/VL15_dropped", "N/A (no PMA)\n"),
    ("ports/1/counters/port_xmit_wait", "4294967295\n"),
    ("ports/1/counters_ext/port_xmit_data_64", "0x10\n"),
];

#[test]
fn an_adapter_with_old_and_new_counters() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path(), "mlx4_0", &MLX);
    let (out, outcome) = seen_by(&mut Infiniband::new(&Settings::below(dir.path())));
    outcome.unwrap();
    let info = "device=\"mlx4_0\",board_id=\"SM_1141000001000\",firmware_version=\"2.31.5050\",hca_type=\"MT4099\"";
    assert_eq!(out.value("node_infiniband_info", info), Some(1.0));
    let wanted = [
        ("state_id", 4.0),
        ("physical_state_id", 5.0),
        ("rate_bytes_per_second", 312_500_000.0),
        ("port_data_received_bytes_total", 4000.0),
        ("port_packets_received_total", 1001.0),
        ("port_transmit_wait_total", 4_294_967_295.0),
        ("legacy_data_transmitted_bytes_total", 64.0),
    ];
    for (name, value) in wanted {
        let family = format!("node_infiniband_{name}");
        assert_eq!(out.value(&family, "device=\"mlx4_0\",port=\"1\""), Some(value), "{name}");
    }
    assert_eq!(out.0.len(), wanted.len() + 1, "what there is no counter for is left out");
}

#[test]
fn odd_values_and_ports_cost_themselves() {
    let dir = tempfile::tempdir().unwrap();
    device(
        dir.path(),
        "rxe0",
        &[
            ("ports/1/state", "ACTIVE\n"),
            ("ports/1/rate", "fast\n"),
            ("ports/1/counters/symbol_error", "some\n"),
            ("ports/1/counters/link_downed", "2\n"),
            ("ports/uplink/state", "4: ACTIVE\n"),
        ],
    );
    std::fs::create_dir_all(dir.path().join("sys/class/infiniband/portless")).unwrap();
    let (out, outcome) = seen_by(&mut Infiniband::new(&Settings::below(dir.path())));
    assert!(outcome.unwrap_err().to_string().contains("portless/ports"), "the first fault is told");
    assert_eq!(out.count("node_infiniband_info"), 2, "software adapters say nothing of themselves");
    assert_eq!(out.value("node_infiniband_link_downed_total", "device=\"rxe0\",port=\"1\""), Some(2.0));
    assert_eq!(out.0.iter().map(|family| family.series.len()).sum::<usize>(), 3);
}

#[test]
fn no_adapter_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outcome) = seen_by(&mut Infiniband::new(&Settings::below(dir.path())));
    assert!(matches!(outcome, Err(CollectError::Absent(_))) && out.0.is_empty(), "{outcome:?}");
}

#[test]
fn no_family_is_named_twice() {
    let mut names: Vec<_> = COUNTERS.map(|(_, name, _)| name).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), COUNTERS.len());
}

#[test]
fn rates_and_states_of_every_speed() {
    let rates = [
        ("40 Gb/sec (4X QDR)", Some(5e9)),
        ("56 Gb/sec (4X FDR)", Some(7e9)),
        ("-1 Gb/sec", None),
        ("inf Gb/sec", None),
        ("", None),
    ];
    for (text, wanted) in rates {
        assert_eq!(rate(text), wanted, "{text}");
    }
    assert_eq!([state("1: DOWN"), state("5"), state(": x")], [Some(1.0), None, None]);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|[0-9]{0,25}[: ].{0,9}") {
        state(&text);
        rate(&text);
        counter("counters/port_rcv_data", &text);
    }
}
