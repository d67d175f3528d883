use proptest::prelude::*;

use super::*;
use crate::host::collector::{put, seen_by};

#[test]
fn lines_of_several_kernels() {
    let linux_6 = "cpu  33 6 9 1200 12 0 3 4 5 6\ncpu0 11 2 3 400 5 6 7 8 9 10\nintr 9 0 0\nctxt 1\n";
    let parsed = parse(linux_6, MAX_UNTOLD);
    assert_eq!(parsed.cpus, [Some([11, 2, 3, 400, 5, 6, 7, 8, 9, 10])]);
    let linux_2_6 = "cpu  1 1 1 1\ncpu0 1 2 3 4 5 6 7\n";
    assert_eq!(parse(linux_2_6, MAX_UNTOLD).cpus, [Some([1, 2, 3, 4, 5, 6, 7, 0, 0, 0])]);
    let to_come = "cpu0 1 2 3 4 5 6 7 8 9 10 11 12\n";
    assert_eq!(parse(to_come, MAX_UNTOLD).cpus, [Some([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])]);
}

#[test]
fn the_number_is_that_of_the_name() {
    let parsed = parse("cpu  1\ncpu3 7\ncpu1 5\n", MAX_UNTOLD);
    let ticks: Vec<Option<u64>> = parsed.cpus.iter().map(|cpu| cpu.map(|ticks| ticks[0])).collect();
    assert_eq!(ticks, [None, Some(5), None, Some(7)]);
}

#[test]
fn an_odd_line_costs_itself() {
    for odd in ["cpu0 1 x 3", "cpu0x 1 2", "cpu99999999999 1 2", "cpu0 -1 2", "cpu0 99999999999999999999 1"] {
        let parsed = parse(&format!("cpu 1\n{odd}\ncpu1 5 0 0 0\n"), MAX_UNTOLD);
        assert_eq!(parsed.cpus.last().copied().flatten().unwrap()[0], 5, "{odd}");
        assert!(parsed.problem.unwrap().contains("cannot read"), "{odd}");
    }
}

#[test]
fn counters_never_go_back() {
    let mut seen = Vec::new();
    merge(&mut seen, &[Some([10, 0, 0, 5000, 70, 0, 0, 0, 0, 0])]);
    merge(&mut seen, &[Some([11, 0, 0, 4990, 60, 0, 0, 0, 0, 0])]);
    assert_eq!(seen, [[11, 0, 0, 5000, 70, 0, 0, 0, 0, 0]]);
}

#[test]
fn a_cpu_that_was_replugged_begins_again() {
    let mut seen = vec![[900, 0, 0, 5000, 70, 0, 0, 0, 0, 0]];
    merge(&mut seen, &[Some([3, 0, 0, 4700, 0, 0, 0, 0, 0, 0])]);
    assert_eq!(seen, [[3, 0, 0, 4700, 0, 0, 0, 0, 0, 0]]);
}

#[test]
fn a_cpu_that_goes_offline_keeps_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut cpu = Cpu::new(&Settings::below(dir.path()));
    put(dir.path(), "proc/stat", "cpu 9\ncpu0 100 0 0 100\ncpu1 200 0 0 100\ncpu2 300 0 0 100\n");
    seen_by(&mut cpu).1.unwrap();
    put(dir.path(), "proc/stat", "cpu 9\ncpu0 150 0 0 100\ncpu2 350 0 0 100\n");
    let (out, result) = seen_by(&mut cpu);
    result.unwrap();
    assert_eq!(out.value("node_cpu_seconds_total", r#"cpu="0",mode="user""#), Some(1.5));
    assert_eq!(out.value("node_cpu_seconds_total", r#"cpu="1",mode="user""#), Some(2.0));
    assert_eq!(out.value("node_cpu_seconds_total", r#"cpu="2",mode="user""#), Some(3.5));
    put(dir.path(), "proc/stat", "cpu 9\ncpu0 160 0 0 100\n");
    let (out, _) = seen_by(&mut cpu);
    assert_eq!(out.count("node_cpu_seconds_total"), 8, "what is above the last CPU is not shown");
    assert_eq!(out.count("node_cpu_guest_seconds_total"), 2);
}

#[test]
fn throttles_are_by_package_and_core_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut cpu = Cpu::new(&Settings::below(dir.path()));
    put(dir.path(), "proc/stat", "cpu 1\n");
    for (name, package, core, by_core, by_package) in
        [("cpu0", "0", "0", "5", "30"), ("cpu1", "0", "0", "5", "30"), ("cpu10", "1", "4", "9", "6")]
    {
        let at = format!("sys/devices/system/cpu/{name}");
        put(dir.path(), &format!("{at}/topology/physical_package_id"), &format!("{package}\n"));
        put(dir.path(), &format!("{at}/topology/core_id"), &format!("{core}\n"));
        put(dir.path(), &format!("{at}/thermal_throttle/core_throttle_count"), &format!("{by_core}\n"));
        put(dir.path(), &format!("{at}/thermal_throttle/package_throttle_count"), &format!("{by_package}\n"));
    }
    // A virtual machine that says nothing of packages, and what is no CPU.
    put(dir.path(), "sys/devices/system/cpu/cpu2/topology/physical_package_id", "-1\n");
    put(dir.path(), "sys/devices/system/cpu/cpuidle/current_driver", "none\n");
    for _ in 0..2 {
        let (out, result) = seen_by(&mut cpu);
        result.unwrap();
        assert_eq!(out.count("node_cpu_core_throttles_total"), 2);
        assert_eq!(out.value("node_cpu_core_throttles_total", r#"core="0",package="0""#), Some(5.0));
        assert_eq!(out.value("node_cpu_core_throttles_total", r#"core="4",package="1""#), Some(9.0));
        assert_eq!(out.value("node_cpu_package_throttles_total", r#"package="0""#), Some(30.0));
        assert_eq!(out.value("node_cpu_package_throttles_total", r#"package="1""#), Some(6.0));
    }
}

#[test]
fn isolated_cpus() {
    let list: Vec<usize> = parse_list("1,3-5,9,4").unwrap().into_iter().collect();
    assert_eq!(list, [1, 3, 4, 5, 9]);
    assert!(parse_list("").unwrap().is_empty());
    for odd in ["1-x", "a", "0-4294967295", "1-2-3"] {
        assert_eq!(parse_list(odd), None, "{odd}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut cpu = Cpu::new(&Settings::below(dir.path()));
    put(dir.path(), "proc/stat", "cpu0 1\n");
    put(dir.path(), "sys/devices/system/cpu/isolated", "2-3\n");
    let (out, result) = seen_by(&mut cpu);
    result.unwrap();
    assert_eq!(out.value("node_cpu_isolated", r#"cpu="3""#), Some(1.0));
}

#[test]
fn without_the_file_the_rest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut cpu = Cpu::new(&Settings::below(dir.path()));
    put(dir.path(), "sys/devices/system/cpu/isolated", "1\n");
    let (out, result) = seen_by(&mut cpu);
    assert!(matches!(result, Err(CollectError::Read { path, .. }) if path.ends_with("proc/stat")));
    assert_eq!(out.count("node_cpu_isolated"), 1);
}

#[test]
fn a_cpu_that_is_not_possible_is_an_odd_line() {
    for possible in [Some("0-3\n"), Some("0,2-1999\n"), None] {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/stat", "cpu0 1\ncpu16383 1\ncpu3 1\n");
        possible.iter().for_each(|list| put(dir.path(), "sys/devices/system/cpu/possible", list));
        let (out, result) = seen_by(&mut Cpu::new(&Settings::below(dir.path())));
        assert!(result.unwrap_err().to_string().ends_with("cannot read \"cpu16383 1\""), "{possible:?}");
        assert_eq!(out.count("node_cpu_guest_seconds_total"), 2 * 4, "{possible:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/stat", "cpu0 1\ncpu1999 1\n");
    put(dir.path(), "sys/devices/system/cpu/possible", "0-1999\n");
    seen_by(&mut Cpu::new(&Settings::below(dir.path()))).1.unwrap();
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in ".*", lines in proptest::collection::vec("cpu[0-9]{0,4}( [0-9x]{1,20}){0,12}", 0..9)) {
        parse(&text, MAX_UNTOLD);
        parse(&lines.join("\n"), MAX_UNTOLD);
        parse_list(&text);
    }

    #[test]
    fn what_is_written_is_read(cpus in proptest::collection::vec(any::<Ticks>(), 1..9)) {
        let text: String = cpus.iter().enumerate().map(|(cpu, ticks)| {
            format!("cpu{cpu} {}\n", ticks.map(|ticks| ticks.to_string()).join(" "))
        }).collect();
        let read: Vec<Ticks> = parse(&text, MAX_UNTOLD).cpus.into_iter().flatten().collect();
        prop_assert_eq!(read, cpus);
    }

    #[test]
    fn no_counter_falls_by_less_than_a_replug(samples in proptest::collection::vec(0_u64..200, 1..20)) {
        let mut seen = Vec::new();
        let mut last = 0;
        for sample in samples {
            merge(&mut seen, &[Some([sample; 10])]);
            prop_assert!(seen[0][IDLE] >= last);
            last = seen[0][IDLE];
        }
    }
}
