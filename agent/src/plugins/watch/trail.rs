//! Which directories are to be watched so that a change of what a path leads to is seen: what holds the last component,
//! and what holds each link on the way. A Kubernetes volume is `app.wasm -> ..data/app.wasm`, `..data -> ..2026_07/`:
//! the file that is read never changes, a link two steps before it does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// What the kernel follows before it gives up.
const MAX_LINKS: usize = 40;
/// Links in the watched directories that are followed: each may lead to a directory of its own.
const MAX_FOLLOWED: usize = 1_000;

/// Of which names in a directory changes matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of every name.
    pub all: bool,
    /// Of names that end so and do not begin with a dot: the others are somebody's temporary files.
    pub endings: BTreeSet<&'static str>,
    pub names: BTreeSet<OsString>,
    /// Of names that begin so: volumes are swapped by links and directories that begin with two dots.
    pub volumes: bool,
    /// Also that a file is written, not only that a name comes or goes.
    pub content: bool,
}

impl Filter {
    pub fn matters(&self, name: Option<&OsStr>) -> bool {
        let Some(name) = name else { return true };
        let bytes = name.as_encoded_bytes();
        let ends = || self.endings.iter().any(|ending| bytes.ends_with(ending.as_bytes()));
        self.all
            || self.names.contains(name)
            || (self.volumes && bytes.starts_with(b".."))
            || (!bytes.starts_with(b".") && ends())
    }
}

/// Directories and what matters in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted(pub BTreeMap<PathBuf, Filter>);

impl Wanted {
    /// What is in a directory, whether it is there yet or not, and what its links lead to: all of it, or names of this
    /// ending and what volumes are swapped by.
    pub fn directory(&mut self, dir: &Path, ending: Option<&'static str>) {
        let Some(real) = self.follow(dir, false) else { return };
        let filter = self.at(&real);
        filter.content = true;
        match ending {
            Some(ending) => {
                filter.endings.insert(ending);
                filter.volumes = true;
            }
            None => filter.all = true,
        }
        let Ok(entries) = std::fs::read_dir(&real) else { return };
        let is_link = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
        for entry in entries.flatten().filter(is_link).take(MAX_FOLLOWED) {
            self.follow(&entry.path(), true);
        }
    }

    /// One file, and nothing beside it.
    pub fn file(&mut self, path: &Path) {
        self.follow(path, true);
        if let Some(dir) = path.parent()
            && let Ok(real) = std::fs::canonicalize(dir)
        {
            self.at(&real).volumes = true;
        }
    }

    fn at(&mut self, dir: &Path) -> &mut Filter {
        self.0.entry(dir.to_owned()).or_default()
    }

    fn name(&mut self, dir: &Path, name: &OsStr, content: bool) {
        let filter = self.at(dir);
        filter.names.insert(name.to_owned());
        filter.content |= content;
    }

    /// Goes where the path leads: every link on the way is wanted, and the last component. The real path; none where
    /// something is missing, which is then wanted. A directory that is renamed higher up tells by itself.
    fn follow(&mut self, path: &Path, content: bool) -> Option<PathBuf> {
        let mut rest: VecDeque<OsString> = components(&std::path::absolute(path).ok()?).collect();
        let (mut current, mut links) = (PathBuf::from("/"), 0);
        while let Some(component) = rest.pop_front() {
            if component == ".." {
                current.pop();
                continue;
            }
            let next = current.join(&component);
            let Ok(meta) = std::fs::symlink_metadata(&next) else {
                self.name(&current, &component, content);
                return None;
            };
            if meta.is_symlink() {
                self.name(&current, &component, content);
                links += 1;
                let target = std::fs::read_link(&next).ok().filter(|_| links <= MAX_LINKS)?;
                if target.is_absolute() {
                    current = PathBuf::from("/");
                }
                for component in components(&target).rev() {
                    rest.push_front(component);
                }
                continue;
            }
            if rest.is_empty() {
                self.name(&current, &component, content);
            }
            current = next;
        }
        Some(current)
    }
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let named = |component: Component<'_>| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(named)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("tempdir");
        let real = fs::canonicalize(dir.path()).expect("real");
        (dir, real)
    }

    fn sees(wanted: &Wanted, dir: &Path, name: &str) -> bool {
        wanted.0.get(dir).is_some_and(|filter| filter.matters(Some(OsStr::new(name))))
    }

    #[test]
    fn a_volume_is_seen_through_all_its_links() {
        let (_dir, root) = place();
        let volume = root.join("plugins");
        fs::create_dir_all(volume.join("..1")).expect("mkdir");
        fs::write(volume.join("..1/app.wasm"), "x").expect("write");
        symlink("..1", volume.join("..data")).expect("link");
        symlink("..data/app.wasm", volume.join("app.wasm")).expect("link");
        let mut wanted = Wanted::default();
        wanted.directory(&volume, Some(".wasm"));
        assert!(sees(&wanted, &volume, "anything.wasm") && sees(&wanted, &root, "plugins"));
        assert!(sees(&wanted, &volume.join("..1"), "app.wasm"));
        assert!(sees(&wanted, &volume, "..data") && !sees(&wanted, &volume, "upload.tmp"));
        assert!(!sees(&wanted, &volume, ".app.wasm"));
        assert!(!sees(&wanted, &root, "other") && !sees(&wanted, &volume.join("..1"), "other"));
    }

    #[test]
    fn a_directory_behind_a_link_is_seen_where_the_link_is_swapped() {
        let (_dir, root) = place();
        fs::create_dir_all(root.join("releases/7/plugins")).expect("mkdir");
        symlink("releases/7", root.join("current")).expect("link");
        let mut wanted = Wanted::default();
        wanted.directory(&root.join("current/plugins"), None);
        assert!(sees(&wanted, &root, "current"));
        assert!(sees(&wanted, &root.join("releases/7"), "plugins"));
        assert!(sees(&wanted, &root.join("releases/7/plugins"), "a.wasm"));
    }

    #[test]
    fn what_is_missing_is_awaited_where_it_would_be() {
        let (_dir, root) = place();
        let mut wanted = Wanted::default();
        wanted.directory(&root.join("a/b/plugins"), None);
        assert!(sees(&wanted, &root, "a") && !sees(&wanted, &root, "b"));
    }

    #[test]
    fn of_a_file_nothing_else_matters() {
        let (_dir, root) = place();
        fs::write(root.join("vitald.toml"), "").expect("write");
        let mut wanted = Wanted::default();
        wanted.file(&root.join("vitald.toml"));
        assert!(sees(&wanted, &root, "vitald.toml") && sees(&wanted, &root, "..data"));
        assert!(!sees(&wanted, &root, ".bash_history"));
        assert!(wanted.0[&root].content);
    }

    #[test]
    fn links_in_circles_end() {
        let (_dir, root) = place();
        symlink("b", root.join("a")).expect("link");
        symlink("a", root.join("b")).expect("link");
        let mut wanted = Wanted::default();
        wanted.directory(&root.join("a"), None);
        assert!(sees(&wanted, &root, "a") && sees(&wanted, &root, "b"));
    }
}
