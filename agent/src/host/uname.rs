//! What uname(2) says of the running kernel. The call sees the kernel this process runs on, whatever `procfs` is.

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, Settings};

pub struct Uname {}

impl Uname {
    pub fn new(_settings: &Settings) -> Self {
        Self {}
    }
}

impl Collector for Uname {
    /// It is asked each time: the host's name may change.
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let uname = rustix::system::uname();
        let help = "1, with what uname(2) says of the system as labels.";
        out.family(HostKind::Gauge, "node_uname_info", help).add(
            &[
                ("domainname", &uname.domainname().to_string_lossy()),
                ("machine", &uname.machine().to_string_lossy()),
                ("nodename", &uname.nodename().to_string_lossy()),
                ("release", &uname.release().to_string_lossy()),
                ("sysname", &uname.sysname().to_string_lossy()),
                ("version", &uname.version().to_string_lossy()),
            ],
            1.0,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::collector::seen_by;

    #[test]
    fn it_says_what_the_kernel_says_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        let (out, ended) = seen_by(&mut Uname::new(&Settings::below(dir.path())));
        ended.unwrap();
        let labels = &out.0[0].series[0].labels;
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(labels.get("release").unwrap(), release.trim_end());
        assert_eq!(labels.get("sysname").unwrap(), "Linux");
        assert_eq!(labels.iter().count(), 6);
    }
}
