use std::path::Path;

use proptest::prelude::*;

use super::super::collector::{put, seen_by};
use super::*;

const STATS: &str = "\
   Total Incoming Outgoing         Incoming         Outgoing
   Conns  Packets  Packets            Bytes            Bytes
      1A       FF        0     100000000000               10

 Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
       4    1FB3C        0          1282A8F                0
";
const TABLE: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000016:0050 wlc persistent 360
  -> 0A005216:1F90      Tunnel  100    248        2
  -> 0A005217:1F90      Masq    1      1          0
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 rr
  -> [2001:0db8:0000:0000:0000:0000:0001:0002]:0035      Route   5      6          7
SCTP 0A000016:0050 rr
  -> 0A005216:1F90      Masq    9      8          7
FWM  10001000 wlc
  -> 0A005216:0000      Route   20     64         1
";

fn labels(local: &str, local_port: u16, remote: &str, remote_port: u16, proto: &str, mark: &str) -> String {
    format!(
        "local_address=\"{local}\",local_port=\"{local_port}\",remote_address=\"{remote}\",remote_port=\"{remote_port}\",\
         proto=\"{proto}\",local_mark=\"{mark}\""
    )
}

#[test]
fn totals_and_backends_of_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/net/ip_vs_stats", STATS);
    put(dir.path(), "proc/net/ip_vs", TABLE);
    let (out, outcome) = seen_by(&mut Ipvs::new(&Settings::below(dir.path())));
    outcome.unwrap();
    let totals = TOTALS.map(|(family, _)| out.value(family, ""));
    assert_eq!(totals, [26.0, 255.0, 0.0, 17_592_186_044_416.0, 16.0].map(Some));
    let wanted = [
        (labels("10.0.0.22", 80, "10.0.82.22", 8080, "TCP", ""), [100.0, 248.0, 2.0]),
        (labels("10.0.0.22", 80, "10.0.82.23", 8080, "TCP", ""), [1.0, 1.0, 0.0]),
        (labels("2001:db8::1", 53, "2001:db8::1:2", 53, "UDP", ""), [5.0, 6.0, 7.0]),
        (labels("10.0.0.22", 80, "10.0.82.22", 8080, "SCTP", ""), [9.0, 8.0, 7.0]),
        (labels("", 0, "10.0.82.22", 0, "FWM", "10001000"), [20.0, 64.0, 1.0]),
    ];
    for (labels, values) in &wanted {
        assert_eq!(STATES.map(|(family, _)| out.value(family, labels)), values.map(Some), "{labels}");
    }
    assert_eq!(out.count("node_ipvs_backend_weight"), wanted.len());
}

#[test]
fn a_backend_that_is_listed_twice_is_summed() {
    let line = "  -> 0A005216:1F90 Masq 1 2 3\n";
    let mut odd = Oddities::default();
    let text = format!("TCP 0A000016:0050 rr\n{line}{line}");
    let backends = parse_backends(&text, &mut odd);
    assert_eq!(backends.into_values().collect::<Vec<_>>(), [[2, 4, 6]]);
    odd.finish(Path::new("ip_vs")).unwrap();
}

#[test]
fn an_odd_service_costs_its_backends_and_an_odd_backend_itself() {
    let text = "TCP 0A000016:0050 rr\n  -> 0A005216:1F90 Masq 1 2 3\nTCP nowhere rr\n  -> 0A005217:1F90 Masq 1 2 3\nUDP 0A000016:0035 \
                rr\n  -> 0A005218:1F90 Masq 1 x 3\n  -> 0A005219:1F90 Masq\n  -> 0A00521A:1F90 Masq 4 5 6\n";
    let mut odd = Oddities::default();
    let backends = parse_backends(text, &mut odd);
    assert_eq!(backends.into_values().collect::<Vec<_>>(), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(odd.finish(Path::new("ip_vs")).unwrap_err().to_string(), "ip_vs: odd line \"TCP nowhere rr\"");
}

#[test]
fn odd_totals_leave_the_backends() {
    let dir = tempfile::tempdir().unwrap();
    let mut ipvs = Ipvs::new(&Settings::below(dir.path()));
    assert!(matches!(seen_by(&mut ipvs), (_, Err(CollectError::Absent(_)))));
    put(dir.path(), "proc/net/ip_vs_stats", "heading\nheading\n 1 2 3 4\n");
    put(dir.path(), "proc/net/ip_vs", TABLE);
    let (out, outcome) = seen_by(&mut ipvs);
    assert!(outcome.unwrap_err().to_string().ends_with("ip_vs_stats: the third line is not five numbers"));
    assert_eq!(out.count("node_ipvs_connections_total"), 0);
    assert_eq!(out.count("node_ipvs_backend_weight"), 5);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|((TCP|FWM|->|Prot|\\[[0-9a-f:]{0,40}\\]:[0-9]{0,5}|[0-9A-F:]{0,14})[ \n]){0,60}") {
        parse_backends(&text, &mut Oddities::default());
        parse_totals(&text);
        parse_endpoint(&text);
    }

    #[test]
    fn endpoints_come_out_as_they_went_in(v4: u32, v6: [u16; 8], port: u16) {
        let address = Ipv4Addr::from_bits(v4);
        prop_assert_eq!(parse_endpoint(&format!("{v4:08X}:{port:04X}")), Some((address.into(), port)));
        let words: Vec<String> = v6.iter().map(|word| format!("{word:04x}")).collect();
        let wanted = Ipv6Addr::from(v6).to_canonical();
        prop_assert_eq!(parse_endpoint(&format!("[{}]:{port:04X}", words.join(":"))), Some((wanted, port)));
    }
}
