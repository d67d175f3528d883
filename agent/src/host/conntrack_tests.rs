use std::path::Path;

use proptest::prelude::*;

use super::super::collector::{put, seen_by};
use super::*;

const LINUX_4: &str = "\
entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000021  00000000 00000001 00000000 00000003 0000000a 00000000 00000000 00000005 00000006 00000007 00000008 00000000  00000000 00000000 00000000 00000002
00000021  00000000 00000000 00000000 00000002 000000ff 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000001
";
const LINUX_6: &str = "\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000021  00000000 00000001 00000000 00000003 0000000a 00000000 00000000 00000005 00000006 00000007 00000008 00000000  00000000 00000000 00000000 00000002
";
/// Without the last column.
const LINUX_2_6: &str = "\
entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete
00000021  00000000 00000001 00000000 00000003 0000000a 00000000 00000000 00000005 00000006 00000007 00000008 00000000  00000000 00000000 00000000
";

#[test]
fn columns_are_found_by_their_headings() {
    let some = |sums: [u64; 8]| sums.map(Some);
    let mut old = some([1, 3, 10, 5, 6, 7, 8, 0]);
    old[7] = None;
    let cases = [
        (LINUX_4, some([1, 5, 265, 5, 6, 7, 8, 3])),
        (LINUX_6, some([1, 3, 10, 5, 6, 7, 8, 2])),
        (LINUX_2_6, old),
        ("", [None; 8]),
    ];
    for (text, wanted) in cases {
        let mut odd = Oddities::default();
        assert_eq!(parse(text, &mut odd), wanted, "{text}");
        odd.finish(Path::new("nf_conntrack")).unwrap();
    }
}

#[test]
fn an_odd_line_costs_its_cpu() {
    let mut odd = Oddities::default();
    assert_eq!(
        parse("found drop\n1 2\nx 3\n4\nf 10\n", &mut odd),
        [Some(16), None, None, None, None, Some(18), None, None]
    );
    assert_eq!(odd.finish(Path::new("nf_conntrack")).unwrap_err().to_string(), "nf_conntrack: odd line \"x 3\"");
}

#[test]
fn the_table_and_the_counters_stand_for_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut conntrack = Conntrack::new(&Settings::below(dir.path()));
    let (out, outcome) = seen_by(&mut conntrack);
    assert!(matches!(outcome, Err(CollectError::Absent(_))) && out.0.is_empty(), "{outcome:?}");
    put(dir.path(), "proc/sys/net/netfilter/nf_conntrack_count", "123\n");
    put(dir.path(), "proc/sys/net/netfilter/nf_conntrack_max", "65536\n");
    let (out, outcome) = seen_by(&mut conntrack);
    // A kernel without CONFIG_NF_CONNTRACK_PROCFS.
    assert!(matches!(outcome, Err(CollectError::Absent(_))), "{outcome:?}");
    assert_eq!(out.value("node_nf_conntrack_entries", ""), Some(123.0));
    assert_eq!(out.value("node_nf_conntrack_entries_limit", ""), Some(65536.0));
    put(dir.path(), "proc/net/stat/nf_conntrack", LINUX_4);
    let (out, outcome) = seen_by(&mut conntrack);
    outcome.unwrap();
    assert_eq!(out.0.len(), 10);
    assert_eq!(out.value("node_nf_conntrack_stat_ignore", ""), Some(265.0));
    put(dir.path(), "proc/sys/net/netfilter/nf_conntrack_max", "lots\n");
    let (_, outcome) = seen_by(&mut conntrack);
    assert!(outcome.unwrap_err().to_string().ends_with("nf_conntrack_max: \"lots\" is no number"));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC*|((found|drop|ignore|[0-9a-f]{0,17})[ \n]){0,60}") {
        parse(&text, &mut Oddities::default());
    }

    #[test]
    fn what_the_kernel_writes_is_summed(cpus in proptest::collection::vec(any::<[u32; 2]>(), 0..70)) {
        let lines: String = cpus.iter().map(|[found, drop]| format!("{found:08x} {drop:08x}\n")).collect();
        let sums = parse(&format!("found drop\n{lines}"), &mut Oddities::default());
        let wanted = |index: usize| Some(cpus.iter().map(|cpu| u64::from(cpu[index])).sum::<u64>());
        prop_assert_eq!([sums[0], sums[5]], [wanted(0), wanted(1)]);
    }
}
