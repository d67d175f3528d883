use proptest::prelude::*;

use super::*;
use crate::host::collector::{put, seen_by};

struct Host {
    dir: tempfile::TempDir,
    cgroup: Cgroup,
}

impl Host {
    /// The agent's group and its files.
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/self/cgroup", "0::/vitald\n");
        put(dir.path(), "sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
        put(dir.path(), "sys/fs/cgroup/vitald/cgroup.controllers", "cpu io memory pids\n");
        for (file, text) in files {
            put(dir.path(), &format!("sys/fs/cgroup/vitald/{file}"), text);
        }
        let cgroup = Cgroup::new(&Settings::below(dir.path()));
        Self { dir, cgroup }
    }

    fn seen(&mut self) -> (Families, Result<(), CollectError>) {
        seen_by(&mut self.cgroup)
    }
}

#[test]
fn memory_and_processes() {
    let mut host = Host::new(&[
        ("memory.current", "31457280\n"),
        ("memory.high", "max\n"),
        ("memory.max", "67108864\n"),
        ("memory.swap.current", "0\n"),
        ("memory.events", "low 9\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n"),
        ("pids.current", "12\n"),
        ("pids.max", "max\n"),
    ]);
    let (out, ended) = host.seen();
    ended.unwrap();
    assert_eq!(out.value("vitald_cgroup_memory_bytes", ""), Some(31_457_280.0));
    assert_eq!(out.value("vitald_cgroup_memory_max_bytes", ""), Some(67_108_864.0));
    assert_eq!(out.value("vitald_cgroup_memory_high_bytes", ""), None, "no limit, no series");
    assert_eq!(out.value("vitald_cgroup_memory_swap_bytes", ""), Some(0.0));
    assert_eq!(out.value("vitald_cgroup_pids", ""), Some(12.0));
    assert_eq!(out.value("vitald_cgroup_pids_max", ""), None);
    let events = ["high", "max", "oom", "oom_kill"]
        .map(|event| out.value("vitald_cgroup_memory_events_total", &format!("event=\"{event}\"")).unwrap());
    assert_eq!(events, [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn cpu_time_and_limit() {
    let mut host = Host::new(&[
        (
            "cpu.stat",
            "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nnice_usec 0\ncore_sched.force_idle_usec 0\n\
             nr_periods 40\nnr_throttled 5\nthrottled_usec 250000\nnr_bursts 0\nburst_usec 0\n",
        ),
        ("cpu.max", "50000 100000\n"),
    ]);
    let (out, ended) = host.seen();
    ended.unwrap();
    let values = CPU_COUNTERS.map(|(_, name, ..)| out.value(name, "").unwrap());
    assert_eq!(values, [3.5, 2.5, 1.0, 40.0, 5.0, 0.25]);
    assert_eq!(out.value("vitald_cgroup_cpu_quota_seconds", ""), Some(0.05));
    assert_eq!(out.value("vitald_cgroup_cpu_period_seconds", ""), Some(0.1));
}

#[test]
fn without_the_controller_there_is_use_and_no_limit() {
    let mut host =
        Host::new(&[("cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n"), ("cpu.max", "max 100000\n")]);
    let (out, ended) = host.seen();
    ended.unwrap();
    assert_eq!(out.value("vitald_cgroup_cpu_usage_seconds_total", ""), Some(1e-6));
    assert_eq!(out.value("vitald_cgroup_cpu_throttled_seconds_total", ""), None);
    assert_eq!(out.value("vitald_cgroup_cpu_quota_seconds", ""), None);
    assert_eq!(out.0.len(), 4);
}

#[test]
fn devices_by_the_kernel_s_name() {
    let mut host = Host::new(&[(
        "io.stat",
        "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n\
         8:16 rbytes=800 wbytes=4 rios=1 wios=1\n\
         253:1 \n\
         259:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021 cost.usage=3\n\
         not a device rbytes=1\n",
    )]);
    let links = host.dir.path().join("sys/dev/block");
    std::fs::create_dir_all(&links).unwrap();
    std::os::unix::fs::symlink("../../devices/pci0000:00/ata1/block/sdb", links.join("8:16")).unwrap();
    let (out, ended) = host.seen();
    ended.unwrap();
    assert_eq!(out.value("vitald_cgroup_io_read_bytes_total", r#"device="sdb""#), Some(1_460_000.0));
    assert_eq!(out.value("vitald_cgroup_io_writes_total", r#"device="sdb""#), Some(354.0));
    assert_eq!(out.value("vitald_cgroup_io_reads_total", r#"device="259:0""#), Some(8950.0));
    assert_eq!(out.count("vitald_cgroup_io_written_bytes_total"), 2);
}

#[test]
fn pressure_of_the_group() {
    let mut host = Host::new(&[
        ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 total=500000\n"),
        ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
    ]);
    let (out, ended) = host.seen();
    ended.unwrap();
    assert_eq!(out.value("vitald_cgroup_pressure_waiting_seconds_total", r#"resource="cpu""#), Some(1.5));
    assert_eq!(out.value("vitald_cgroup_pressure_stalled_seconds_total", r#"resource="cpu""#), Some(0.5));
    assert_eq!(out.value("vitald_cgroup_pressure_waiting_seconds_total", r#"resource="memory""#), Some(0.0));
    assert_eq!(out.count("vitald_cgroup_pressure_stalled_seconds_total"), 1);
}

#[test]
fn an_odd_file_costs_itself() {
    let mut host = Host::new(&[("memory.current", "lots\n"), ("cpu.max", "5\n"), ("pids.current", "3\n")]);
    let (out, ended) = host.seen();
    assert!(ended.unwrap_err().to_string().contains("memory.current"));
    assert_eq!(out.value("vitald_cgroup_pids", ""), Some(3.0));
    assert_eq!(out.0.len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in ".*", line in "[0-9]{0,3}:[0-9]{0,3}( [rwdbytesio]{4,6}=[0-9-]{0,21}){0,5}") {
        io_line(&text);
        io_line(&line);
        limit(&text);
        keyed(&text, "usage_usec");
    }

    #[test]
    fn what_is_written_is_read(counts: [u64; 4], quota: u64, period: u64) {
        let [rbytes, wbytes, rios, wios] = counts;
        let line = format!("8:0 rbytes={rbytes} wbytes={wbytes} rios={rios} wios={wios} dbytes=0 dios=0");
        prop_assert_eq!(io_line(&line), Some(("8:0", counts)));
        prop_assert_eq!(limit(&format!("{quota} {period}\n")), Some((Some(quota), period)));
        prop_assert_eq!(keyed(&format!("a 1\nab {quota}\n"), "ab"), Some(quota));
    }
}
