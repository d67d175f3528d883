use std::path::Path;

use proptest::prelude::*;

use super::super::collector::{put, seen_by};
use super::*;

const IPV4: &str = "\
sockets: used 229
TCP: inuse 4 orphan 0 tw 4 alloc 17 mem 1
UDP: inuse 2 mem 3
RAW: inuse 0
FRAG: inuse 0 memory 512
";
const IPV6: &str = "TCP6: inuse 17\nFRAG6: inuse 0 memory 0\n";

#[test]
fn both_families_of_addresses() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/net/sockstat", IPV4);
    put(dir.path(), "proc/net/sockstat6", IPV6);
    let mut sockstat = Sockstat::new(&Settings::below(dir.path()));
    // The value must not depend on the machine that tests.
    sockstat.page_size = 65536;
    let (out, outcome) = seen_by(&mut sockstat);
    outcome.unwrap();
    let wanted = [
        ("sockets_used", 229.0),
        ("TCP_inuse", 4.0),
        ("TCP_orphan", 0.0),
        ("TCP_tw", 4.0),
        ("TCP_alloc", 17.0),
        ("TCP_mem", 1.0),
        ("TCP_mem_bytes", 65536.0),
        ("UDP_inuse", 2.0),
        ("UDP_mem", 3.0),
        ("UDP_mem_bytes", 196_608.0),
        ("RAW_inuse", 0.0),
        ("FRAG_inuse", 0.0),
        ("FRAG_memory", 512.0),
        ("TCP6_inuse", 17.0),
        ("FRAG6_inuse", 0.0),
        ("FRAG6_memory", 0.0),
    ];
    let shown: Vec<_> =
        out.0.iter().map(|family| (family.name.trim_start_matches("node_sockstat_"), family.series[0].value)).collect();
    assert_eq!(shown, wanted);
}

#[test]
fn a_host_without_either_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outcome) = seen_by(&mut Sockstat::new(&Settings::below(dir.path())));
    outcome.unwrap();
    assert!(out.0.is_empty());
    put(dir.path(), "proc/net/sockstat6", IPV6);
    let (out, outcome) = seen_by(&mut Sockstat::new(&Settings::below(dir.path())));
    outcome.unwrap();
    assert_eq!(out.value("node_sockstat_TCP6_inuse", ""), Some(17.0));
}

#[test]
fn odd_lines_cost_their_protocol() {
    let mut odd = Oddities::default();
    let text = "TCP: inuse\nUDP inuse 3\nRAW: inuse x\nBAD-NAME: inuse 1\nFRAG: inuse 1 memory 2\nFRAG: inuse 5\nUDPLITE: new 7\n";
    let names: Vec<_> =
        parse(text, &mut odd).protocols.into_iter().map(|protocol| (protocol.name, protocol.values)).collect();
    let only = |inuse, memory| [Some(inuse), None, None, None, None, memory];
    assert_eq!(names, [("FRAG", only(1, Some(2))), ("UDPLITE", only(0, None))]);
    assert_eq!(odd.finish(Path::new("sockstat")).unwrap_err().to_string(), "sockstat: odd line \"TCP: inuse\"");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|([A-Za-z0-9:]{0,7}[ \n]){0,40}") {
        parse(&text, &mut Oddities::default());
    }

    #[test]
    fn what_the_kernel_writes_is_read(values in any::<[i64; 5]>()) {
        let [inuse, orphan, tw, alloc, mem] = values;
        let text = format!("TCP: inuse {inuse} orphan {orphan} tw {tw} alloc {alloc} mem {mem}\n");
        let sockets = parse(&text, &mut Oddities::default());
        let values = [Some(inuse), Some(orphan), Some(tw), Some(alloc), Some(mem), None];
        prop_assert_eq!(sockets.protocols, [Protocol { name: "TCP", values }]);
    }
}
