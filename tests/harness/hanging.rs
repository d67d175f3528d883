//! A file system that hangs: a FUSE daemon that is stopped. It is mounted in a namespace that only one agent lives in, so
//! that nobody else on the machine waits for it. It needs root and `/dev/fuse`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::agent::{Agent, program};
use super::site::Site;
use super::wait::eventually;

pub struct Hanging {
    point: PathBuf,
    pid: Pid,
}

impl Hanging {
    /// Starts the agent of a site beside such a file system, which works until [`Hanging::hang`].
    pub fn beside(site: &Site) -> (Agent, Self) {
        Self::start(site, "")
    }

    /// The same, but it hangs before the agent starts, until [`Hanging::go_on`].
    pub fn from_the_start(site: &Site) -> (Agent, Self) {
        Self::start(site, "kill -STOP $!; ")
    }

    fn start(site: &Site, before: &str) -> (Agent, Self) {
        let (source, point) = (site.path().join("source"), Self::point_of(site));
        fs::create_dir_all(&source).expect("a directory");
        fs::create_dir_all(&point).expect("a directory");
        let (script, pid_file) = (site.path().join("beside-a-mount"), site.path().join("bindfs.pid"));
        let quoted = |path: &Path| format!("'{}'", path.display());
        let text = format!(
            "#!/bin/sh\nexec unshare --mount --propagation private sh -c '\nbindfs -f \"$0\" \"$1\" &\necho $! >\"$2\"\n\
             for wait in $(seq 500); do mountpoint -q \"$1\" && break; sleep 0.02; done\n{before}shift 2; exec \"$@\"' \
             {} {} {} {} \"$@\"\n",
            quoted(&source),
            quoted(&point),
            quoted(&pid_file),
            quoted(&program()),
        );
        fs::write(&script, text).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
        let agent = Agent::start_program(site, &script, &[]);
        let pid = eventually("the FUSE daemon runs (Debian: bindfs)", Duration::from_secs(10), || {
            let text = fs::read_to_string(&pid_file).map_err(|error| error.to_string())?;
            text.trim().parse().ok().and_then(Pid::from_raw).ok_or(text)
        });
        (agent, Self { point, pid })
    }

    /// Where it will be mounted.
    pub fn point_of(site: &Site) -> PathBuf {
        site.path().join("mounted")
    }

    pub fn point(&self) -> &str {
        self.point.to_str().expect("UTF-8")
    }

    pub fn hang(&self) {
        kill_process(self.pid, Signal::STOP).expect("the daemon lives");
    }

    pub fn go_on(&self) {
        kill_process(self.pid, Signal::CONT).expect("the daemon lives");
    }
}

impl Drop for Hanging {
    /// Whoever waits for it gets an error.
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }
}
