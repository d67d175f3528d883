//! An agent that comes up at another time: after another boot of the host, or with another clock of it. It needs root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::agent::{Agent, program};
use super::site::{Site, write};

/// What the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Agent {
    /// On the same host after another boot, as far as the boot's id says so.
    pub fn after_another_boot(site: &Site) -> Self {
        let id = site.path().join("boot-id");
        write(&id, "01234567-89ab-4def-8123-456789abcdef\n");
        let enter = format!("unshare --mount sh -ec 'mount --bind {} {BOOT_ID}; exec \"$@\"' sh", id.display());
        Self::start_program(site, &wrapped(site, "after-another-boot", &enter), &[])
    }

    /// On a host whose clock since its boot (`CLOCK_BOOTTIME`) is that far ahead.
    pub fn with_boot_clock_ahead(site: &Site, ahead: Duration) -> Self {
        let seconds = ahead.as_secs();
        // Older kernels move no more than the children of whoever asks for it.
        let moved = format!(
            "read up rest </proc/uptime; [ \"${{up%%.*}}\" -ge {seconds} ] || {{ echo a kernel from 6.3 on is wanted; exit 1; }}"
        );
        let enter = format!("unshare --time --boottime {seconds} sh -ec '{moved}; exec \"$@\"' sh");
        Self::start_program(site, &wrapped(site, "with-boot-clock-ahead", &enter), &[])
    }
}

/// A program that runs the agent in there. It is replaced by it, so that signals reach the agent.
fn wrapped(site: &Site, name: &str, enter: &str) -> PathBuf {
    assert!(rustix::process::geteuid().is_root(), "namespaces want root: run the tests as root");
    let path = site.path().join(name);
    write(&path, format!("#!/bin/sh\nexec {enter} {} \"$@\"\n", program().display()));
    executable(&path);
    path
}

fn executable(path: &Path) {
    let made = Command::new("chmod").arg("755").arg(path).status().expect("chmod");
    assert!(made.success(), "{}", path.display());
}
