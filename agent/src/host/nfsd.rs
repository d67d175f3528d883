//! `nfsd`: what the kernel's NFS server did, from `/proc/net/rpc/nfsd` (`nfsd_show` in fs/nfsd/stats.c).
//!
//! A host without the server lacks the file. Left out: what the kernel no longer counts (all of `fh` but the stale
//! handles, the histograms of `th` and `ra`), and of version 4 the operations that came with 4.1 and later.

use super::collector::{CollectError, Collector, Families, Oddities, Roots, Settings, float, read};
use super::sunrpc::{Lines, Numbers, Wanted};
use crate::model::host::HostKind;

/// Where the read-ahead cache's misses stand.
const RA_NOT_FOUND: usize = 11;

const LINES: [Wanted; 10] = [
    Wanted { word: "rc", numbers: Numbers::First(3) },
    Wanted { word: "fh", numbers: Numbers::First(1) },
    Wanted { word: "io", numbers: Numbers::First(2) },
    Wanted { word: "th", numbers: Numbers::First(1) },
    Wanted { word: "ra", numbers: Numbers::First(RA_NOT_FOUND + 1) },
    Wanted { word: "net", numbers: Numbers::First(4) },
    Wanted { word: "rpc", numbers: Numbers::First(5) },
    Wanted { word: "proc2", numbers: Numbers::Counted },
    Wanted { word: "proc3", numbers: Numbers::Counted },
    Wanted { word: "proc4ops", numbers: Numbers::Counted },
];

/// A number of a line, the family that shows it, and what it says.
type Single = (&'static str, usize, &'static str, &'static str);

const COUNTERS: [Single; 9] = [
    (
        "rc",
        0,
        "node_nfsd_reply_cache_hits_total",
        "Calls answered from the reply cache: the client had lost the answer.",
    ),
    ("rc", 1, "node_nfsd_reply_cache_misses_total", "Calls whose answers were put into the reply cache."),
    ("rc", 2, "node_nfsd_reply_cache_nocache_total", "Calls whose answers need no reply cache."),
    ("fh", 0, "node_nfsd_file_handles_stale_total", "Calls with a handle of a file that is gone."),
    ("io", 0, "node_nfsd_disk_bytes_read_total", "Bytes that clients read."),
    ("io", 1, "node_nfsd_disk_bytes_written_total", "Bytes that clients wrote."),
    ("ra", RA_NOT_FOUND, "node_nfsd_read_ahead_cache_not_found_total", "Reads that the read-ahead cache did not know."),
    ("net", 3, "node_nfsd_connections_total", "TCP connections that the server took."),
    ("rpc", 0, "node_nfsd_server_rpcs_total", "Remote calls that the server took."),
];

const GAUGES: [Single; 2] = [
    ("th", 0, "node_nfsd_server_threads", "Threads of the server."),
    ("ra", 0, "node_nfsd_read_ahead_cache_size_blocks", "Size of the read-ahead cache, in blocks."),
];

#[rustfmt::skip]
const V2: [&str; 17] = [
    "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create", "Remove", "Rename", "Link",
    "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

#[rustfmt::skip]
const V3: [&str; 21] = [
    "GetAttr", "SetAttr", "Lookup", "Access", "ReadLink", "Read", "Write", "Create", "MkDir", "SymLink", "MkNod",
    "Remove", "RmDir", "Rename", "Link", "ReadDir", "ReadDirPlus", "FsStat", "FsInfo", "PathConf", "Commit",
];

/// Empty: it is counted and not shown.
#[rustfmt::skip]
const V4: [&str; 35] = [
    "Access", "Close", "Commit", "Create", "DelegPurge", "DelegReturn", "GetAttr", "GetFH", "Link", "Lock", "Lockt",
    "Locku", "Lookup", "LookupRoot", "Nverify", "Open", "OpenAttr", "OpenConfirm", "OpenDgrd", "PutFH", "", "", "Read",
    "ReadDir", "ReadLink", "Remove", "Rename", "Renew", "RestoreFH", "SaveFH", "SecInfo", "SetAttr", "Verify", "Write",
    "RelLockOwner",
];

/// Versions, their lines, how many numbers come before the first procedure, and the procedures.
const VERSIONS: [(&str, &str, usize, &[&str]); 3] =
    [("2", "proc2", 1, &V2), ("3", "proc3", 1, &V3), ("4", "proc4ops", 3, &V4)];

pub struct Nfsd {
    roots: Roots,
}

impl Nfsd {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Nfsd {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("net/rpc/nfsd");
        let text = read(&path).map_err(CollectError::or_absent)?;
        let mut odd = Oddities::default();
        let lines = Lines::parse(&text, &LINES, &mut odd);
        for (kind, singles) in [(HostKind::Counter, &COUNTERS[..]), (HostKind::Gauge, &GAUGES[..])] {
            for (word, index, family, help) in singles {
                if let Some(value) = lines.number(word, *index) {
                    out.family(kind, *family, *help).add(&[], float(value));
                }
            }
        }
        show_labelled(&lines, out);
        show_requests(&lines, out);
        odd.finish(&path)
    }
}

fn show_labelled(lines: &Lines, out: &mut Families) {
    let packets = out.family(HostKind::Counter, "node_nfsd_packets_total", "Packets of the server, by transport.");
    for (proto, index) in [("udp", 1), ("tcp", 2)] {
        if let Some(count) = lines.number("net", index) {
            packets.add(&[("proto", proto)], float(count));
        }
    }
    let errors =
        out.family(HostKind::Counter, "node_nfsd_rpc_errors_total", "Remote calls refused, by what was wrong.");
    for (error, index) in [("fmt", 2), ("auth", 3), ("cInt", 4)] {
        if let Some(count) = lines.number("rpc", index) {
            errors.add(&[("error", error)], float(count));
        }
    }
}

fn show_requests(lines: &Lines, out: &mut Families) {
    let help = "Calls that the server took, by version and procedure.";
    let family = out.family(HostKind::Counter, "node_nfsd_requests_total", help);
    for (version, word, first, methods) in VERSIONS {
        for (index, method) in methods.iter().enumerate().filter(|(_, method)| !method.is_empty()) {
            if let Some(count) = lines.number(word, index + first) {
                family.add(&[("proto", version), ("method", method)], float(count));
            }
        }
    }
}

#[cfg(test)]
#[path = "nfsd_tests.rs"]
mod tests;
