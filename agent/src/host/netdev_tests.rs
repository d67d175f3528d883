use std::path::Path;

use proptest::prelude::*;

use super::super::collector::{put, seen_by};
use super::*;

const HEADINGS: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

fn parsed(lines: &str) -> (Vec<Device>, Result<(), CollectError>) {
    let mut odd = Oddities::default();
    let devices = parse(&format!("{HEADINGS}{lines}"), &mut odd);
    (devices, odd.finish(Path::new("dev")))
}

#[test]
fn lines_of_every_kernel() {
    let all: Vec<u64> = (1..=16).collect();
    let cases = [
        ("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "eth0"),
        // Before 2.6.37 a long number touched the colon.
        ("wlan0:1       2    3    4    5    6     7          8  9  10 11  12   13    14      15         16\n", "wlan0"),
        ("eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "eth0:1"),
        ("enp0s31f6.4094@if2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n", "enp0s31f6.4094@if2"),
    ];
    for (line, name) in cases {
        let (devices, outcome) = parsed(line);
        assert_eq!(devices, [Device { name: name.to_owned(), values: all.clone() }], "{line}");
        outcome.unwrap();
    }
}

#[test]
fn an_odd_line_costs_its_device() {
    let good = "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    for bad in ["eth0 1 2\n", "eth0: 1 2 3\n", ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "eth0: -1 2 3\n", "\n"] {
        let (devices, outcome) = parsed(&format!("{bad}{good}"));
        assert_eq!(devices.len(), 1, "{bad}");
        assert!(outcome.is_err(), "{bad}");
    }
}

#[test]
fn a_made_up_host_is_read_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::below(dir.path());
    settings.filters.insert("netdev", Filter { include: None, exclude: regex::Regex::new("^lo$").ok() });
    let mut netdev = Netdev::new(&settings);
    assert!(matches!(seen_by(&mut netdev), (_, Err(CollectError::Read { .. }))));
    let line = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
    put(dir.path(), "proc/net/dev", &format!("{HEADINGS}  lo: {line}\neth1: {line}\neth0: {line}\neth0: {line}\n"));
    let (out, outcome) = seen_by(&mut netdev);
    outcome.unwrap();
    assert_eq!(out.0.iter().filter(|family| !family.series.is_empty()).count(), IN_FILE);
    for (index, (family, _)) in FIELDS.into_iter().enumerate().take(IN_FILE) {
        assert_eq!(out.count(family), 2, "{family}");
        assert_eq!(out.value(family, "device=\"eth0\""), Some((index + 1) as f64), "{family}");
    }
}

#[test]
fn the_kernel_itself_is_asked_over_netlink() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { roots: Roots::default(), ..Settings::below(dir.path()) };
    let (out, outcome) = seen_by(&mut Netdev::new(&settings));
    outcome.unwrap();
    assert!(out.value("node_network_receive_bytes_total", "device=\"lo\"").is_some());
    assert!(out.value("node_network_receive_nohandler_total", "device=\"lo\"").is_some(), "no file has these");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|([a-z0-9:@.]{0,8}[ \n]){0,60}") {
        parse(&text, &mut Oddities::default());
    }

    #[test]
    fn what_the_kernel_writes_is_read(devices in proptest::collection::vec(("[a-z][a-z0-9.@-]{0,14}", any::<[u64; IN_FILE]>()), 0..9)) {
        let line = |(name, values): &(String, [u64; IN_FILE])| {
            format!("{name:>6}:{}\n", values.iter().map(|value| format!(" {value:>7}")).collect::<String>())
        };
        let (read, outcome) = parsed(&devices.iter().map(line).collect::<String>());
        prop_assert!(outcome.is_ok());
        let wanted = devices.into_iter().map(|(name, values)| Device { name, values: values.to_vec() });
        prop_assert_eq!(read, wanted.collect::<Vec<_>>());
    }
}
