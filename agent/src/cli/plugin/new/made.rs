//! What `plugin new` has written so far: half a project would be in the way of the next attempt, so that all of it goes
//! again if the rest cannot be written. What was there before stays.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Failure;

/// Removed when it is dropped, unless it is kept.
#[derive(Debug, Default)]
pub struct Made {
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    /// A file that is not there yet, and the directories that it is in.
    pub fn write(&mut self, path: &Path, text: &str, executable: bool) -> Result<(), Failure> {
        let failed = |source| Failure::Write { path: path.to_owned(), source };
        let above: Vec<&Path> = path.ancestors().skip(1).take_while(|dir| is_missing(dir)).collect();
        for dir in above.into_iter().rev() {
            fs::create_dir(dir).map_err(|source| Failure::Write { path: dir.to_owned(), source })?;
            self.dirs.push(dir.to_owned());
        }
        let mode = if executable { 0o777 } else { 0o666 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
        self.files.push(path.to_owned());
        file.write_all(text.as_bytes()).map_err(failed)
    }

    /// All of it is there.
    pub fn keep(mut self) {
        self.dirs.clear();
        self.files.clear();
    }
}

/// `""` is where we are.
fn is_missing(dir: &Path) -> bool {
    !dir.as_os_str().is_empty() && !dir.exists()
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed is what could not be written well either: that is said already.
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
        self.dirs.iter().rev().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_project_goes_again() {
        let root = tempfile::tempdir().expect("a directory");
        let (dir, own) = (root.path().join("a/b"), root.path().join("own"));
        fs::write(&own, "mine").expect("written");
        let mut made = Made::default();
        made.write(&dir.join("c/one"), "1", false).expect("written");
        assert!(made.write(&own, "theirs", false).is_err());
        assert!(made.write(&own.join("under"), "a file", false).is_err());
        drop(made);
        let left: Vec<_> = fs::read_dir(root.path()).expect("a directory").flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["own"]);
        assert_eq!(fs::read_to_string(own).expect("a file"), "mine");

        let mut made = Made::default();
        made.write(&dir.join("one"), "1", false).expect("written");
        made.keep();
        assert!(dir.join("one").is_file());
    }
}
