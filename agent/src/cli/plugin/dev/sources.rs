//! What a plugin is built from: the files of its project, without what tools make of them. Looked at again and again, so
//! that it works on every file system, and a change that nobody notifies of is seen as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::Stamp;

/// Directories that tools make, or whose content is not built. Also in `build_templates.rs`, which is no part of this crate.
const MADE: [&str; 5] = ["target", "node_modules", "__pycache__", "build", "dist"];
/// What tools put into a directory that is theirs alone (https://bford.info/cachedir/).
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// What is built from is seldom hidden.
const HIDDEN: [&str; 1] = [".cargo"];
/// Files that tools write, often during a build.
const WRITTEN: [&str; 2] = ["Cargo.lock", "package-lock.json"];
/// Endings of what is built, and of what editors leave beside a file.
const ENDINGS: [&str; 8] = [".wasm", ".o", ".pyc", "~", ".swp", ".swx", ".tmp", ".bak"];
/// More files than this are no plugin's; those that come first are enough.
const MAX_FILES: usize = 5_000;

/// When and how each file was written last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sources {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Sources {
    pub fn of(dir: &Path) -> Self {
        let mut sources = Self::default();
        sources.add(dir);
        sources
    }

    /// A directory that vanishes meanwhile is seen the next time.
    fn add(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if self.stamps.len() >= MAX_FILES || !belongs(&name.to_string_lossy(), is_dir) {
                continue;
            }
            let path = entry.path();
            if is_dir && path.join(CACHE_TAG).exists() {
                continue;
            }
            if is_dir {
                self.add(&path);
            } else {
                let stamp = Stamp::of(&path);
                self.stamps.insert(path, stamp);
            }
        }
    }
}

fn belongs(name: &str, is_dir: bool) -> bool {
    if is_dir {
        return !MADE.contains(&name) && (!name.starts_with('.') || HIDDEN.contains(&name));
    }
    !name.starts_with('.') && !WRITTEN.contains(&name) && !ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_from_counts_and_what_is_built_does_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("src/lib.rs", "one");
        write("Cargo.toml", "[package]");
        let first = Sources::of(dir.path());
        for made in
            ["target/x.rs", "node_modules/a/b.js", ".venv/bin/python", "app.wasm", "Cargo.lock", "src/.lib.rs.swp"]
        {
            write(made, "made");
        }
        write("out/CACHEDIR.TAG", "");
        write("out/x.rs", "made");
        assert_eq!(Sources::of(dir.path()), first);
        write("src/lib.rs", "another");
        let second = Sources::of(dir.path());
        assert_ne!(second, first);
        write(".cargo/config.toml", "");
        assert_ne!(Sources::of(dir.path()), second);
        fs::remove_file(dir.path().join("src/lib.rs")).expect("removed");
        assert_ne!(Sources::of(dir.path()), second);
    }
}
