use proptest::prelude::*;
use regex::Regex;

use super::super::collector::{put, seen_by};
use super::*;

const NETSTAT: &str = "\
TcpExt: SyncookiesSent SyncookiesRecv ListenDrops
TcpExt: 1 2 3
IpExt: InNoRoutes InOctets
IpExt: 4 18446744073709551615
MPTcpExt: MPCapableSYNRX
MPTcpExt: 5
";
const SNMP: &str = "\
Ip: Forwarding DefaultTTL
Ip: 1 64
IcmpMsg: InType3
IcmpMsg: 9
Tcp: RtoAlgorithm MaxConn CurrEstab
Tcp: 1 -1 6
";
const SNMP6: &str = "\
Ip6InReceives                   \t7
Icmp6InMsgs                     \t8
Icmp6OutType134                 \t9
UdpLite6InDatagrams             \t10
";

fn host(files: &[(&str, &str)], include: Option<&str>) -> (tempfile::TempDir, Netstat) {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        put(dir.path(), &format!("proc/net/{file}"), text);
    }
    let mut settings = Settings::below(dir.path());
    settings
        .filters
        .insert("netstat", Filter { include: include.map(|text| Regex::new(text).unwrap()), exclude: None });
    let netstat = Netstat::new(&settings);
    (dir, netstat)
}

fn shown(out: &Families) -> Vec<(&str, f64)> {
    out.0
        .iter()
        .map(|family| {
            assert_eq!(family.kind, HostKind::Untyped);
            assert_eq!(family.series.len(), 1, "{}", family.name);
            (family.name.trim_start_matches("node_netstat_"), family.series[0].value)
        })
        .collect()
}

#[test]
fn all_three_files() {
    let (_dir, mut netstat) = host(&[("netstat", NETSTAT), ("snmp", SNMP), ("snmp6", SNMP6)], None);
    for _ in 0..2 {
        let (out, outcome) = seen_by(&mut netstat);
        outcome.unwrap();
        let wanted = [
            ("TcpExt_SyncookiesSent", 1.0),
            ("TcpExt_SyncookiesRecv", 2.0),
            ("TcpExt_ListenDrops", 3.0),
            ("IpExt_InNoRoutes", 4.0),
            ("IpExt_InOctets", 18_446_744_073_709_551_615.0),
            ("MPTcpExt_MPCapableSYNRX", 5.0),
            ("Ip_Forwarding", 1.0),
            ("Ip_DefaultTTL", 64.0),
            ("IcmpMsg_InType3", 9.0),
            ("Tcp_RtoAlgorithm", 1.0),
            ("Tcp_MaxConn", -1.0),
            ("Tcp_CurrEstab", 6.0),
            ("Ip6_InReceives", 7.0),
            ("Icmp6_InMsgs", 8.0),
            ("Icmp6_OutType134", 9.0),
            ("UdpLite6_InDatagrams", 10.0),
        ];
        assert_eq!(shown(&out), wanted);
    }
}

#[test]
fn the_filter_chooses_and_headings_may_change_between_samples() {
    let (dir, mut netstat) = host(&[("netstat", NETSTAT), ("snmp", SNMP)], Some("^(Tcp_CurrEstab|IcmpMsg_.*)$"));
    let (out, outcome) = seen_by(&mut netstat);
    outcome.unwrap();
    assert_eq!(shown(&out), [("IcmpMsg_InType3", 9.0), ("Tcp_CurrEstab", 6.0)]);
    // The kernel adds columns as it meets new kinds of messages.
    put(dir.path(), "proc/net/snmp", &SNMP.replace("InType3", "InType0 InType3").replace("IcmpMsg: 9", "IcmpMsg: 1 9"));
    let (out, outcome) = seen_by(&mut netstat);
    outcome.unwrap();
    assert_eq!(shown(&out), [("IcmpMsg_InType0", 1.0), ("IcmpMsg_InType3", 9.0), ("Tcp_CurrEstab", 6.0)]);
}

#[test]
fn odd_lines_and_values_cost_themselves() {
    let odd = "Ip: Forwarding DefaultTTL\nIp: 1\nTcp: A B\nUdp: 1 2\nUdp: InDatagrams NoPorts\nUdp: x 3\n";
    let (_dir, mut netstat) = host(&[("netstat", NETSTAT), ("snmp", odd)], Some("^(Ip|Udp|Tcp|IpExt)_"));
    let (out, outcome) = seen_by(&mut netstat);
    let error = outcome.unwrap_err().to_string();
    assert!(error.ends_with("net/snmp: odd line \"Ip: 1\""), "{error}");
    assert_eq!(
        shown(&out),
        [("IpExt_InNoRoutes", 4.0), ("IpExt_InOctets", 18_446_744_073_709_551_615.0), ("Udp_NoPorts", 3.0)]
    );
}

#[test]
fn a_missing_file_costs_its_own_counters() {
    let (_dir, mut netstat) = host(&[("snmp", SNMP)], Some("^Tcp_CurrEstab$"));
    let (out, outcome) = seen_by(&mut netstat);
    assert!(matches!(outcome, Err(CollectError::Read { .. })), "{outcome:?}");
    assert_eq!(shown(&out), [("Tcp_CurrEstab", 6.0)]);
}

proptest! {
    #[test]
    fn any_text_is_survived(table in "\\PC*|([A-Za-z0-9:]{0,6}[ \n]){0,60}", list in "\\PC*|([a-z0-9]{0,6}[ \n]){0,60}") {
        let mut out = Families::default();
        let (mut headings, mut names) = (Vec::new(), Vec::new());
        show_table(&table, &mut headings, &Filter::default(), &mut out, &mut Oddities::default());
        show_list(&list, &mut names, &Filter::default(), &mut out, &mut Oddities::default());
        for family in &out.0 {
            prop_assert!(is_metric_name(&family.name) && family.series.len() <= 1, "{}", family.name);
        }
    }

    #[test]
    fn what_the_kernel_writes_is_read(values in proptest::collection::vec(any::<u32>(), 1..40)) {
        let names: String = (0..values.len()).map(|index| format!(" C{index}")).collect();
        let words: String = values.iter().map(|value| format!(" {value}")).collect();
        let mut out = Families::default();
        let table = format!("Tcp:{names}\nTcp:{words}\n");
        show_table(&table, &mut Vec::new(), &Filter::default(), &mut out, &mut Oddities::default());
        for (index, value) in values.into_iter().enumerate() {
            prop_assert_eq!(out.value(&format!("node_netstat_Tcp_C{index}"), ""), Some(f64::from(value)));
        }
    }
}
