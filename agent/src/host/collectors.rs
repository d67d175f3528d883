//! Which collectors there are, and what they do unless the configuration says otherwise: as node_exporter 1.5.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

use super::collector::{Collector, Filter, Roots, Settings};

/// One collector.
pub struct Entry {
    /// In the configuration, in `?collect[]=` and in labels.
    pub name: &'static str,
    /// Unless the configuration says otherwise.
    pub on: bool,
    pub build: fn(&Settings) -> Box<dyn Collector>,
}

macro_rules! collectors {
    ($($module:ident :: $type:ident $name:literal $on:literal,)*) => {
        &[$(Entry {
            name: $name,
            on: $on,
            build: |settings| Box::new(super::$module::$type::new(settings)),
        },)*]
    };
}

/// All of them, in the order of `/metrics`. Text files come last: what others say, they must not say again.
pub const COLLECTORS: &[Entry] = collectors![
    arp::Arp "arp" true,
    bcache::Bcache "bcache" true,
    bonding::Bonding "bonding" true,
    btrfs::Btrfs "btrfs" true,
    cgroup::Cgroup "cgroup" true,
    conntrack::Conntrack "conntrack" true,
    cpu::Cpu "cpu" true,
    cpufreq::Cpufreq "cpufreq" true,
    diskstats::Diskstats "diskstats" true,
    dmi::Dmi "dmi" true,
    edac::Edac "edac" true,
    entropy::Entropy "entropy" true,
    fibrechannel::Fibrechannel "fibrechannel" true,
    filefd::Filefd "filefd" true,
    filesystem::Filesystem "filesystem" true,
    hwmon::Hwmon "hwmon" true,
    infiniband::Infiniband "infiniband" true,
    ipvs::Ipvs "ipvs" true,
    loadavg::Loadavg "loadavg" true,
    mdadm::Mdadm "mdadm" true,
    meminfo::Meminfo "meminfo" true,
    netclass::Netclass "netclass" true,
    netdev::Netdev "netdev" true,
    netstat::Netstat "netstat" true,
    nfs::Nfs "nfs" true,
    nfsd::Nfsd "nfsd" true,
    nvme::Nvme "nvme" true,
    os::Os "os" true,
    powersupplyclass::PowerSupplyClass "powersupplyclass" true,
    pressure::Pressure "pressure" true,
    rapl::Rapl "rapl" true,
    schedstat::Schedstat "schedstat" true,
    selinux::Selinux "selinux" true,
    sockstat::Sockstat "sockstat" true,
    softnet::Softnet "softnet" true,
    stat::Stat "stat" true,
    systemd::Systemd "systemd" false,
    tapestats::Tapestats "tapestats" true,
    thermal_zone::ThermalZone "thermal_zone" true,
    time::Time "time" true,
    timex::Timex "timex" true,
    udp_queues::UdpQueues "udp_queues" true,
    uname::Uname "uname" true,
    vmstat::Vmstat "vmstat" true,
    xfs::Xfs "xfs" true,
    zfs::Zfs "zfs" true,
    textfile::Textfile "textfile" true,
];

/// Whose families are the user's.
pub const TEXTFILE: &str = "textfile";

/// By collector: what is shown of it unless the configuration says otherwise.
const INCLUDE: [(&str, &str); 3] = [
    (
        "netstat",
        "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|\
         TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)|\
         Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
         Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
    ),
    ("systemd", "^.+$"),
    ("vmstat", "^(oom_kill|pgpg|pswp|pg.*fault).*"),
];

/// By collector: what is not shown.
const EXCLUDE: [(&str, &str); 3] = [
    ("diskstats", r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"),
    ("filesystem", "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"),
    ("systemd", r"^.+\.(automount|device|mount|scope|slice)$"),
];

const FS_TYPES_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|\
    iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$";

/// How long a mount may take to say how full it is. Dead ones take for ever; slow ones milliseconds.
pub const MOUNT_TIMEOUT: Duration = Duration::from_secs(2);

pub fn default_settings() -> Settings {
    let mut filters: BTreeMap<&'static str, Filter> = BTreeMap::new();
    for (collector, pattern) in INCLUDE {
        filters.entry(collector).or_default().include = Regex::new(pattern).ok();
    }
    for (collector, pattern) in EXCLUDE {
        filters.entry(collector).or_default().exclude = Regex::new(pattern).ok();
    }
    Settings {
        roots: Roots::default(),
        filters,
        fs_types_exclude: Regex::new(FS_TYPES_EXCLUDE).ok(),
        mount_timeout: MOUNT_TIMEOUT,
        textfile_dir: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_patterns_are_patterns() {
        for (_, pattern) in INCLUDE.iter().chain(&EXCLUDE).chain([&("", FS_TYPES_EXCLUDE)]) {
            Regex::new(pattern).unwrap();
        }
    }

    #[test]
    fn names_are_distinct_and_text_files_come_last() {
        let names: Vec<&str> = COLLECTORS.iter().map(|entry| entry.name).collect();
        let (last, others) = names.split_last().unwrap();
        assert_eq!(*last, TEXTFILE);
        assert!(others.is_sorted_by(|a, b| a < b), "{others:?}");
    }
}
