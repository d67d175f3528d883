use std::path::Path;

use proptest::prelude::*;

use super::super::collector::{put, seen_by};
use super::*;

const IPV4: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  273: 3500007F:0035 00000000:0000 07 00000010:00000100 00:00000000 00000000   101        0 15973 2 0000000000000000 0
 1039: 00000000:0044 00000000:0000 07 0000000A:FFFFFFFF 00:00000000 00000000     0        0 16002 2 ffff8f2d00000000 7
";
const IPV6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  319: 00000000000000000000000000000000:0063 00000000000000000000000000000000:0000 07 00000000:00000003 00:00000000 00000000     0        0 17 2 0 0
";

#[test]
fn queues_are_summed_by_address_family() {
    let dir = tempfile::tempdir().unwrap();
    let mut udp = UdpQueues::new(&Settings::below(dir.path()));
    let (_, outcome) = seen_by(&mut udp);
    assert!(matches!(outcome, Err(CollectError::Absent(_))), "{outcome:?}");
    put(dir.path(), "proc/net/udp6", IPV6);
    let (out, outcome) = seen_by(&mut udp);
    outcome.unwrap();
    assert_eq!(out.count("node_udp_queues"), 2, "a host with IPv6 alone");
    put(dir.path(), "proc/net/udp", IPV4);
    let (out, outcome) = seen_by(&mut udp);
    outcome.unwrap();
    let value = |queue: &str, ip: &str| out.value("node_udp_queues", &format!("queue=\"{queue}\",ip=\"{ip}\""));
    assert_eq!([value("tx", "v4"), value("rx", "v4")], [Some(26.0), Some(4_294_967_551.0)]);
    assert_eq!([value("tx", "v6"), value("rx", "v6")], [Some(0.0), Some(3.0)]);
}

#[test]
fn an_odd_line_costs_its_socket() {
    let mut odd = Oddities::default();
    let text = "heading\n 1: a:1 b:2 07 00000001:00000002 x\n 2: a:1 b:2 07 3 x\n 3: a\n 4: a:1 b:2 07 zz:1 x\n";
    assert_eq!(parse(text, &mut odd), Queues { tx: 1, rx: 2 });
    assert_eq!(odd.finish(Path::new("udp")).unwrap_err().to_string(), "udp: odd line \"2: a:1 b:2 07 3 x\"");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|([0-9A-F:]{0,17}[ \n]){0,60}") {
        parse(&text, &mut Oddities::default());
    }

    #[test]
    fn what_the_kernel_writes_is_read(sockets in proptest::collection::vec(any::<(u32, u32)>(), 0..50)) {
        let line = |(tx, rx): &(u32, u32)| format!("  1: 0:0 0:0 07 {tx:08X}:{rx:08X} 00:00000000 00000000\n");
        let text: String = std::iter::once("sl\n".to_owned()).chain(sockets.iter().map(line)).collect();
        let wanted = Queues {
            tx: sockets.iter().map(|(tx, _)| u64::from(*tx)).sum(),
            rx: sockets.iter().map(|(_, rx)| u64::from(*rx)).sum(),
        };
        prop_assert_eq!(parse(&text, &mut Oddities::default()), wanted);
    }
}
