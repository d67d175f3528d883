//! The ways in which files come to an agent.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The same component with other bytes: a custom section more, as a build's number would be.
pub fn stamped(component: &[u8], number: u64) -> Vec<u8> {
    let name = b"stamp";
    let length = u8::try_from(1 + name.len() + 8).expect("one byte of LEB128");
    let mut bytes = component.to_vec();
    bytes.extend([0, length, 5]);
    bytes.extend(name);
    bytes.extend(number.to_le_bytes());
    bytes
}

/// A directory that an agent trusts.
pub fn make_dir(path: &Path) {
    fs::create_dir_all(path).expect("a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// Makes a symlink, or leads an old one elsewhere, in one step.
pub fn link(from: &Path, to: &Path) {
    let name = from.file_name().expect("a name").to_string_lossy();
    let temporary = from.with_file_name(format!("{name}.link"));
    symlink(to, &temporary).and_then(|()| fs::rename(&temporary, from)).expect("a symlink");
}

/// A directory in which the kubelet keeps a ConfigMap.
///
/// Source: `AtomicWriter.Write` in <https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go>
pub struct ConfigMap {
    dir: PathBuf,
    versions: u32,
}

impl ConfigMap {
    pub fn at(dir: &Path) -> Self {
        make_dir(dir);
        Self { dir: dir.to_owned(), versions: 0 }
    }

    /// What the ConfigMap holds from now on.
    pub fn holds<B: AsRef<[u8]>>(&mut self, files: &[(&str, B)]) {
        self.versions += 1;
        let data = self.dir.join("..data");
        let before = fs::read_link(&data).ok();
        let version = format!("..2026_01_01_00_00_00.{}", self.versions);
        make_dir(&self.dir.join(&version));
        for (name, bytes) in files {
            let path = self.dir.join(&version).join(name);
            fs::write(&path, bytes).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        }
        let temporary = self.dir.join("..data_tmp");
        symlink(&version, &temporary).and_then(|()| fs::rename(&temporary, &data)).expect("a symlink");
        for (name, _) in files {
            let path = self.dir.join(name);
            if fs::symlink_metadata(&path).is_err() {
                symlink(Path::new("..data").join(name), &path).expect("a symlink");
            }
        }
        let Some(before) = before.map(|before| self.dir.join(before)) else { return };
        for entry in fs::read_dir(&before).expect("the version before").flatten() {
            let name = entry.file_name();
            if !files.iter().any(|(own, _)| **own == *name) {
                fs::remove_file(self.dir.join(name)).expect("a symlink");
            }
        }
        fs::remove_dir_all(before).expect("the version before");
    }
}
