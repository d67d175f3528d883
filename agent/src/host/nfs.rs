//! `nfs`: what the NFS client asked of its servers, from `/proc/net/rpc/nfs` (fs/nfs/inode.c registers it,
//! net/sunrpc/stats.c writes it).
//!
//! A host without the client lacks the file. The order of procedures is the kernel's: include/linux/nfs.h, nfs3.h, and
//! `NFSPROC4_CLNT_*` in nfs4.h; those that came after `Clone` are left out.

use super::collector::{CollectError, Collector, Families, Oddities, Roots, Settings, float, read};
use super::sunrpc::{Lines, Numbers, Wanted};
use crate::model::host::HostKind;

const LINES: [Wanted; 5] = [
    Wanted { word: "net", numbers: Numbers::First(4) },
    Wanted { word: "rpc", numbers: Numbers::First(3) },
    Wanted { word: "proc2", numbers: Numbers::Counted },
    Wanted { word: "proc3", numbers: Numbers::Counted },
    Wanted { word: "proc4", numbers: Numbers::Counted },
];

#[rustfmt::skip]
const V2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create", "Remove", "Rename",
    "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

#[rustfmt::skip]
const V3: [&str; 22] = [
    "Null", "GetAttr", "SetAttr", "Lookup", "Access", "ReadLink", "Read", "Write", "Create", "MkDir", "SymLink", "MkNod",
    "Remove", "RmDir", "Rename", "Link", "ReadDir", "ReadDirPlus", "FsStat", "FsInfo", "PathConf", "Commit",
];

#[rustfmt::skip]
const V4: [&str; 59] = [
    "Null", "Read", "Write", "Commit", "Open", "OpenConfirm", "OpenNoattr", "OpenDowngrade", "Close", "Setattr",
    "FsInfo", "Renew", "SetClientID", "SetClientIDConfirm", "Lock", "Lockt", "Locku", "Access", "Getattr", "Lookup",
    "LookupRoot", "Remove", "Rename", "Link", "Symlink", "Create", "Pathconf", "StatFs", "ReadLink", "ReadDir",
    "ServerCaps", "DelegReturn", "GetACL", "SetACL", "FsLocations", "ReleaseLockowner", "Secinfo", "FsidPresent",
    "ExchangeID", "CreateSession", "DestroySession", "Sequence", "GetLeaseTime", "ReclaimComplete", "LayoutGet",
    "GetDeviceInfo", "LayoutCommit", "LayoutReturn", "SecinfoNoName", "TestStateID", "FreeStateID", "GetDeviceList",
    "BindConnToSession", "DestroyClientID", "Seek", "Allocate", "DeAllocate", "LayoutStats", "Clone",
];

/// Versions, their lines and procedures.
const VERSIONS: [(&str, &str, &[&str]); 3] = [("2", "proc2", &V2), ("3", "proc3", &V3), ("4", "proc4", &V4)];

pub struct Nfs {
    roots: Roots,
}

impl Nfs {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Nfs {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("net/rpc/nfs");
        let text = read(&path).map_err(CollectError::or_absent)?;
        let mut odd = Oddities::default();
        let lines = Lines::parse(&text, &LINES, &mut odd);
        show_transport(&lines, out);
        show_requests(&lines, out);
        odd.finish(&path)
    }
}

fn show_transport(lines: &Lines, out: &mut Families) {
    let packets = out.family(HostKind::Counter, "node_nfs_packets_total", "Packets of the NFS client, by transport.");
    for (protocol, index) in [("udp", 1), ("tcp", 2)] {
        if let Some(count) = lines.number("net", index) {
            packets.add(&[("protocol", protocol)], float(count));
        }
    }
    let single = [
        ("net", 3, "node_nfs_connections_total", "TCP connections of the NFS client."),
        ("rpc", 0, "node_nfs_rpcs_total", "Remote calls of the NFS client."),
        ("rpc", 1, "node_nfs_rpc_retransmissions_total", "Remote calls that were sent again."),
        ("rpc", 2, "node_nfs_rpc_authentication_refreshes_total", "Times that the client's credentials were renewed."),
    ];
    for (word, index, family, help) in single {
        if let Some(count) = lines.number(word, index) {
            out.counter(family, help, float(count));
        }
    }
}

fn show_requests(lines: &Lines, out: &mut Families) {
    let help = "Calls of the NFS client, by version and procedure.";
    let family = out.family(HostKind::Counter, "node_nfs_requests_total", help);
    for (version, word, methods) in VERSIONS {
        for (index, method) in methods.iter().enumerate() {
            if let Some(count) = lines.number(word, index) {
                family.add(&[("proto", version), ("method", method)], float(count));
            }
        }
    }
}

#[cfg(test)]
#[path = "nfs_tests.rs"]
mod tests;
