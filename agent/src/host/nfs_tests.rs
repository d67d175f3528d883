use super::super::collector::{put, seen_by};
use super::*;

fn counted(count: usize) -> String {
    std::iter::once(count).chain(100..100 + count).map(|number| format!(" {number}")).collect()
}

fn collect(text: &str) -> (Families, Result<(), CollectError>) {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/net/rpc/nfs", text);
    seen_by(&mut Nfs::new(&Settings::below(dir.path())))
}

fn requests(out: &Families, proto: &str, method: &str) -> Option<f64> {
    out.value("node_nfs_requests_total", &format!("proto=\"{proto}\",method=\"{method}\""))
}

#[test]
fn a_client_of_every_version() {
    // Linux 6.x counts more procedures of version 4 than are shown.
    let text = format!(
        "net 18628 11 12 13\nrpc 4329785 1 4338291\nproc2{}\nproc3{}\nproc4{}\n",
        counted(18),
        counted(22),
        counted(69)
    );
    let (out, outcome) = collect(&text);
    outcome.unwrap();
    assert_eq!(out.value("node_nfs_packets_total", "protocol=\"udp\""), Some(11.0));
    assert_eq!(out.value("node_nfs_packets_total", "protocol=\"tcp\""), Some(12.0));
    assert_eq!(out.value("node_nfs_connections_total", ""), Some(13.0));
    assert_eq!(out.value("node_nfs_rpcs_total", ""), Some(4_329_785.0));
    assert_eq!(out.value("node_nfs_rpc_retransmissions_total", ""), Some(1.0));
    assert_eq!(out.value("node_nfs_rpc_authentication_refreshes_total", ""), Some(4_338_291.0));
    assert_eq!(out.count("node_nfs_requests_total"), 18 + 22 + 59);
    assert_eq!(requests(&out, "2", "Null"), Some(100.0));
    assert_eq!(requests(&out, "2", "FsStat"), Some(117.0));
    assert_eq!(requests(&out, "3", "Commit"), Some(121.0));
    assert_eq!(requests(&out, "4", "Write"), Some(102.0));
    assert_eq!(requests(&out, "4", "Clone"), Some(158.0));
}

#[test]
fn what_an_old_kernel_does_not_count_is_0_and_an_odd_line_is_left_out() {
    let (out, outcome) = collect(&format!("net 1 2 3\nrpc 7 8 9\nproc4{}\n", counted(35)));
    assert!(outcome.unwrap_err().to_string().ends_with("net/rpc/nfs: odd line \"net 1 2 3\""));
    assert_eq!(out.count("node_nfs_packets_total"), 0);
    assert_eq!(out.count("node_nfs_connections_total"), 0);
    assert_eq!(out.value("node_nfs_rpcs_total", ""), Some(7.0));
    assert_eq!(requests(&out, "2", "Read"), Some(0.0), "no line of version 2");
    assert_eq!(requests(&out, "4", "FsLocations"), Some(134.0));
    assert_eq!(requests(&out, "4", "Clone"), Some(0.0));
}

#[test]
fn no_client_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outcome) = seen_by(&mut Nfs::new(&Settings::below(dir.path())));
    assert!(matches!(outcome, Err(CollectError::Absent(_))) && out.0.is_empty(), "{outcome:?}");
}

#[test]
fn no_procedure_is_named_twice() {
    for (version, _, methods) in VERSIONS {
        let mut names = methods.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), methods.len(), "{version}");
    }
}
