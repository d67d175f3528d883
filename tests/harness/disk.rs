//! A file system of its own: ext4 in a sparse file, so that filling it costs nothing. It needs root and loop devices.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::recorder::passes;

/// Where disks are mounted: not below a directory whose mounts exporters leave out.
const MOUNTS: &str = "/mnt/vitald-test-disks";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What the mount points of this process begin with: other tests may run on this machine.
pub fn mounts() -> String {
    format!("{MOUNTS}/{}-", std::process::id())
}

/// Unmounted in `Drop`.
pub struct Disk {
    mount_point: PathBuf,
    filled: u64,
    _dir: TempDir,
}

impl Disk {
    /// Mounts an empty one of that size.
    pub fn of(bytes: u64) -> Self {
        remove_what_was_left();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let image = dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        passes("e2fsprogs", Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        let mount_point = PathBuf::from(format!("{}{}", mounts(), NEXT.fetch_add(1, Ordering::Relaxed)));
        // Once more: another run may just have taken the directory away.
        let made = fs::create_dir_all(&mount_point).or_else(|_| fs::create_dir_all(&mount_point));
        made.expect("disks are mounted below /mnt: run the tests as root");
        passes("mount", Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount_point));
        Self { mount_point, filled: 0, _dir: dir }
    }

    pub fn mount_point(&self) -> &str {
        self.mount_point.to_str().expect("UTF-8")
    }

    /// Takes that many bytes of it, beside those that are taken.
    pub fn fill(&mut self, bytes: u64) {
        self.filled += bytes;
        let file = self.mount_point.join("filled");
        passes("util-linux", Command::new("fallocate").args(["--length", &self.filled.to_string()]).arg(file));
    }

    pub fn read_only(&self) {
        passes("mount", Command::new("mount").args(["-o", "remount,ro"]).arg(&self.mount_point));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.mount_point);
        // The last one does.
        let _ = fs::remove_dir(MOUNTS);
    }
}

/// Lazily: whoever looks at it may go on.
fn unmount(mount_point: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(mount_point).status();
    let _ = fs::remove_dir(mount_point);
}

/// Of tests that were killed.
fn remove_what_was_left() {
    for entry in fs::read_dir(MOUNTS).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let lives = name.split('-').next().is_some_and(|pid| Path::new("/proc").join(pid).exists());
        if !lives {
            unmount(&entry.path());
        }
    }
}
