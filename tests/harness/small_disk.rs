//! A disk of its own that is soon full. It needs root.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system at a directory, gone in `Drop`.
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// At a directory that is made for it.
    pub fn at(dir: &Path, kib: usize) -> Self {
        Self::with(dir, &format!("size={kib}k,mode=700"))
    }

    /// With these options of a tmpfs.
    pub fn with(dir: &Path, options: &str) -> Self {
        fs::create_dir_all(dir).expect("a directory");
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).output().expect("mount");
        assert!(output.status.success(), "run the tests as root: {}", String::from_utf8_lossy(&output.stderr));
        Self { dir: dir.to_owned() }
    }

    /// Takes all that is left.
    pub fn fill(&self) {
        let _ = fs::write(self.dir.join("filler"), vec![b'x'; 64 << 20]);
        assert!(fs::write(self.dir.join("probe"), [b'x'; 4096]).is_err(), "the disk is not full");
        let _ = fs::remove_file(self.dir.join("probe"));
    }

    /// Makes a file so long: what is missing is written.
    pub fn grow(&self, name: &str, length: u64) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.dir.join(name)).expect("a file");
        let have = file.metadata().expect("its length").len();
        let zeros = vec![0; usize::try_from(length.saturating_sub(have)).expect("a small disk")];
        file.write_all(&zeros).expect("the disk has room");
    }

    /// Lets it be written, or not.
    pub fn writable(&self, writable: bool) {
        let options = if writable { "remount,rw" } else { "remount,ro" };
        let status = Command::new("mount").args(["-o", options]).arg(&self.dir).status().expect("mount");
        assert!(status.success(), "it cannot be mounted anew");
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.dir.join("filler")).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever uses it still may be ended after us.
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
