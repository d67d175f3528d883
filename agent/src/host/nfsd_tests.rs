use super::super::collector::{put, seen_by};
use super::*;

fn counted(count: usize) -> String {
    std::iter::once(count).chain(100..100 + count).map(|number| format!(" {number}")).collect()
}

fn collect(text: &str) -> (Families, Result<(), CollectError>) {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/net/rpc/nfsd", text);
    seen_by(&mut Nfsd::new(&Settings::below(dir.path())))
}

fn requests(out: &Families, proto: &str, method: &str) -> Option<f64> {
    out.value("node_nfsd_requests_total", &format!("proto=\"{proto}\",method=\"{method}\""))
}

#[test]
fn a_server_of_linux_4() {
    let text = format!(
        "rc 1 2 3\nfh 4 0 0 0 0\nio 5 6\nth 8 0 0.000 1.500\nra 32 0 0 0 0 0 0 0 0 0 0 7\nnet 20 9 10 11\nrpc 12 13 14 15 \
         16\nproc2{}\nproc3{}\nproc4 2 2 10853\nproc4ops{}\n",
        counted(18),
        counted(22),
        counted(72)
    );
    let (out, outcome) = collect(&text);
    outcome.unwrap();
    let wanted = [
        ("reply_cache_hits_total", "", 1.0),
        ("reply_cache_misses_total", "", 2.0),
        ("reply_cache_nocache_total", "", 3.0),
        ("file_handles_stale_total", "", 4.0),
        ("disk_bytes_read_total", "", 5.0),
        ("disk_bytes_written_total", "", 6.0),
        ("server_threads", "", 8.0),
        ("read_ahead_cache_size_blocks", "", 32.0),
        ("read_ahead_cache_not_found_total", "", 7.0),
        ("packets_total", "proto=\"udp\"", 9.0),
        ("packets_total", "proto=\"tcp\"", 10.0),
        ("connections_total", "", 11.0),
        ("server_rpcs_total", "", 12.0),
        ("rpc_errors_total", "error=\"fmt\"", 14.0),
        ("rpc_errors_total", "error=\"auth\"", 15.0),
        ("rpc_errors_total", "error=\"cInt\"", 16.0),
    ];
    for (name, labels, value) in wanted {
        assert_eq!(out.value(&format!("node_nfsd_{name}"), labels), Some(value), "{name} {labels}");
    }
    assert_eq!(out.count("node_nfsd_requests_total"), 17 + 21 + 33);
    assert_eq!(requests(&out, "2", "GetAttr"), Some(101.0));
    assert_eq!(requests(&out, "3", "Commit"), Some(121.0));
    assert_eq!(requests(&out, "4", "Access"), Some(103.0));
    assert_eq!(requests(&out, "4", "Read"), Some(125.0));
    assert_eq!(requests(&out, "4", "RelLockOwner"), Some(137.0));
}

#[test]
fn a_server_of_linux_6_has_new_lines_and_lacks_old_ones() {
    let text = format!(
        "rc 1 2 3\nfh 4 0 0 0 0\nio 5 6\nth 8 0\nnet 0 0 0 0\nrpc 1 0 0 0 0\nproc3{}\nwdeleg_getattr 0\n",
        counted(22)
    );
    let (out, outcome) = collect(&text);
    outcome.unwrap();
    assert_eq!(out.value("node_nfsd_server_threads", ""), Some(8.0));
    assert_eq!(out.value("node_nfsd_read_ahead_cache_size_blocks", ""), Some(0.0));
    assert_eq!(requests(&out, "2", "Read"), Some(0.0));
    assert_eq!(requests(&out, "3", "Read"), Some(106.0));
}

#[test]
fn an_odd_line_costs_itself() {
    let (out, outcome) = collect("rc 1 2 3\nth many 0\nproc3 22 1 2\nio 5 6\n");
    assert!(outcome.unwrap_err().to_string().ends_with("net/rpc/nfsd: odd line \"th many 0\""));
    assert_eq!(out.count("node_nfsd_server_threads"), 0);
    assert_eq!(requests(&out, "3", "Read"), None);
    assert_eq!(out.value("node_nfsd_disk_bytes_written_total", ""), Some(6.0));
}

#[test]
fn no_server_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outcome) = seen_by(&mut Nfsd::new(&Settings::below(dir.path())));
    assert!(matches!(outcome, Err(CollectError::Absent(_))) && out.0.is_empty(), "{outcome:?}");
}
