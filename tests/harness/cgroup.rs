//! A control group with a memory limit, as systemd or a container runtime puts around an agent.
//!
//! Version 2 where its memory controller is to be had, else version 1. Needs root. The kernel's word on it:
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html> and `cgroup-v1/memory.html` beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wait::eventually;

const ROOT: &str = "/sys/fs/cgroup";
const SOON: Duration = Duration::from_secs(5);

/// The names of what is read and written, which differ between the versions.
#[derive(Debug, Clone, Copy)]
struct Files {
    limit: &'static str,
    peak: &'static str,
    events: &'static str,
}

const V2: Files = Files { limit: "memory.max", peak: "memory.peak", events: "memory.events" };
const V1: Files =
    Files { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", events: "memory.oom_control" };

/// Removed in `Drop`; what is in it must have ended by then.
pub struct Cgroup {
    dir: PathBuf,
    files: Files,
}

impl Cgroup {
    /// One that holds that many bytes; why there can be none.
    pub fn with_memory(bytes: u64) -> Result<Self, String> {
        let (parent, files) = hierarchy()?;
        let dir = parent.join(format!("vitald-test-{}", std::process::id()));
        let cgroup = Self { dir: dir.clone(), files };
        fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        cgroup.write(files.limit, &bytes.to_string())?;
        Ok(cgroup)
    }

    /// Puts a process and its threads into it.
    pub fn adopt(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Processes in it that the kernel killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let events = self.read(self.files.events);
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.expect("a kernel that counts them: Linux 4.13").trim().parse().expect("a number")
    }

    /// The most bytes that it held.
    pub fn peak(&self) -> u64 {
        self.read(self.files.peak).trim().parse().expect("a number")
    }

    fn read(&self, file: &str) -> String {
        let path = self.dir.join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.dir.join(file);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let gone = || match fs::remove_dir(&self.dir) {
            Err(error) if self.dir.exists() => Err(error.to_string()),
            _ => Ok(()),
        };
        if std::thread::panicking() {
            let _ = gone();
        } else {
            eventually("the control group is removed", SOON, gone);
        }
    }
}

/// Where groups with a memory limit can be made.
fn hierarchy() -> Result<(PathBuf, Files), String> {
    let root = Path::new(ROOT);
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    if controllers.split_whitespace().any(|controller| controller == "memory") {
        let enable = root.join("cgroup.subtree_control");
        fs::write(&enable, "+memory").map_err(|error| format!("{}: {error}", enable.display()))?;
        return Ok((root.to_owned(), V2));
    }
    let memory = root.join("memory");
    if memory.join(V1.limit).exists() {
        return Ok((memory, V1));
    }
    Err(format!("there is no memory controller below {ROOT}"))
}
