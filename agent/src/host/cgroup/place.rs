//! Where the agent's control group is, below the mounts of cgroup v2.

use std::path::{Path, PathBuf};

use super::super::collector::{CollectError, Roots, read};

/// Below `sysfs`: where version 2 has the whole tree, and where it stands beside version 1.
const TREES: [&str; 2] = ["fs/cgroup", "fs/cgroup/unified"];

pub struct Place {
    own: PathBuf,
    mounts: PathBuf,
    trees: [PathBuf; TREES.len()],
    /// The group as `/proc/self/cgroup` has it, and its directory.
    known: Option<(String, PathBuf)>,
}

impl Place {
    pub fn new(roots: &Roots) -> Self {
        Self {
            own: roots.proc("self/cgroup"),
            mounts: roots.proc("self/mountinfo"),
            trees: TREES.map(|tree| roots.sys(tree)),
            known: None,
        }
    }

    /// The mounts are looked at when the agent was moved, or the directory is gone; not each time, since they may be
    /// thousands.
    pub fn find(&mut self) -> Result<PathBuf, CollectError> {
        let text = read(&self.own).map_err(CollectError::or_absent)?;
        let group = own_group(&text).ok_or_else(|| CollectError::Absent("no control group of version 2".into()))?;
        if let Some((known, dir)) = &self.known
            && known == group
            && is_group(dir)
        {
            return Ok(dir.clone());
        }
        let dir = self.look(group)?;
        self.known = Some((group.to_owned(), dir.clone()));
        Ok(dir)
    }

    fn look(&self, group: &str) -> Result<PathBuf, CollectError> {
        let absent = |why: &str| CollectError::Absent(format!("control group {group}: {why}"));
        let Some(tree) = self.trees.iter().find(|tree| is_group(tree)) else {
            return Err(absent("no tree of version 2 is mounted"));
        };
        let mounts = read(&self.mounts).map_err(CollectError::or_absent);
        let top = mounts.ok().and_then(|mounts| top_of_mount(&mounts, tree)).unwrap_or_else(|| "/".into());
        let below = below(group, &top).ok_or_else(|| absent("it is outside of the tree that is mounted"))?;
        let dir = tree.join(below);
        if is_group(&dir) { Ok(dir) } else { Err(absent("it has no directory")) }
    }
}

/// Every group of version 2 has this file, those without a controller too; no group of version 1 has it.
fn is_group(dir: &Path) -> bool {
    dir.join("cgroup.controllers").exists()
}

/// The line `0::/path`. `/proc/self/cgroup` has one line for each tree, and version 2 is number 0.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|group| group.starts_with('/'))
}

/// Which group is at the top of the tree that is mounted at `tree`: `/` on a host and in a private namespace, something
/// below it where a container was given only its part, `/../..` where a tree from outside of the namespace was mounted.
fn top_of_mount(mounts: &str, tree: &Path) -> Option<String> {
    let top = |line: &str| {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (top, point) = (fields.next()?, fields.next()?);
        (rest.split(' ').next() == Some("cgroup2") && Path::new(point) == tree).then(|| top.to_owned())
    };
    // What was mounted last is on top.
    mounts.lines().rev().find_map(top)
}

/// The group's path relative to the top; None where it is not below it.
fn below<'a>(group: &'a str, top: &str) -> Option<&'a str> {
    if group.split('/').chain(top.split('/')).any(|part| part == "..") {
        return None;
    }
    let rest = group.strip_prefix(top.trim_end_matches('/'))?;
    // An absolute path would take the place of the tree.
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/').filter(|below| !below.starts_with('/')) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{Settings, put};

    const HYBRID: &str = "12:memory:/user.slice\n1:name=systemd:/system.slice/vitald.service\n\
                          0::/system.slice/vitald.service\n";

    struct Host(tempfile::TempDir);

    impl Host {
        fn new(own: &str, groups: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), "proc/self/cgroup", own);
            for group in groups {
                put(dir.path(), &format!("sys/fs/cgroup/{group}/cgroup.controllers"), "cpu memory\n");
            }
            Self(dir)
        }

        /// As a mount of cgroup2 is shown, below other mounts.
        fn mounted(self, top: &str) -> Self {
            let at = self.0.path().join("sys/fs/cgroup");
            let text = format!(
                "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                 30 22 0:26 {top} {} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\nnot a mount\n",
                at.display()
            );
            put(self.0.path(), "proc/self/mountinfo", &text);
            self
        }

        fn find(&self) -> Result<String, CollectError> {
            let mut place = Place::new(&Settings::below(self.0.path()).roots);
            let dir = place.find()?;
            assert_eq!(place.find().unwrap(), dir, "what is kept is the same");
            let below = dir.strip_prefix(self.0.path().join("sys/fs/cgroup")).unwrap();
            Ok(below.to_str().unwrap().trim_end_matches('/').to_owned())
        }
    }

    #[test]
    fn a_service_of_a_host() {
        let groups = ["", "system.slice/vitald.service"];
        let host = Host::new("0::/system.slice/vitald.service\n", &groups);
        assert_eq!(host.find().unwrap(), "system.slice/vitald.service");
        assert_eq!(host.mounted("/").find().unwrap(), "system.slice/vitald.service");
    }

    #[test]
    fn a_container_with_a_private_namespace() {
        assert_eq!(Host::new("0::/\n", &[""]).mounted("/").find().unwrap(), "");
    }

    #[test]
    fn a_container_that_was_given_its_part_of_the_host_s_tree() {
        let host = Host::new("0::/system.slice/docker-abc.scope\n", &["", "sub"]);
        assert_eq!(host.mounted("/system.slice/docker-abc.scope").find().unwrap(), "");
        let host = Host::new("0::/system.slice/docker-abc.scope/sub\n", &["", "sub"]);
        assert_eq!(host.mounted("/system.slice/docker-abc.scope").find().unwrap(), "sub");
    }

    #[test]
    fn version_2_beside_version_1() {
        let host = Host::new(HYBRID, &["unified", "unified/system.slice/vitald.service"]);
        assert_eq!(host.find().unwrap(), "unified/system.slice/vitald.service");
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let cases = [
            Host::new("5:memory:/a\n4:cpu:/a\n", &[]),
            Host::new(HYBRID, &[]),
            Host::new("0::/gone (deleted)\n", &[""]),
            Host::new("0::/../other\n", &["", "other"]),
            // The host's tree, seen from a private namespace: its top is not this process's group.
            Host::new("0::/\n", &[""]).mounted("/../.."),
            Host::new("0::/b\n", &["", "b"]).mounted("/a"),
        ];
        for host in cases {
            assert!(matches!(host.find(), Err(CollectError::Absent(_))));
        }
        let dir = tempfile::tempdir().unwrap();
        let gone = Place::new(&Settings::below(dir.path()).roots).find();
        assert!(matches!(gone, Err(CollectError::Absent(_))), "no /proc/self/cgroup");
    }

    #[test]
    fn an_agent_that_was_moved_is_found_again() {
        let host = Host::new("0::/a\n", &["", "a", "b"]);
        let mut place = Place::new(&Settings::below(host.0.path()).roots);
        assert!(place.find().unwrap().ends_with("fs/cgroup/a"));
        put(host.0.path(), "proc/self/cgroup", "0::/b\n");
        assert!(place.find().unwrap().ends_with("fs/cgroup/b"));
        std::fs::remove_dir_all(host.0.path().join("sys/fs/cgroup/b")).unwrap();
        assert!(matches!(place.find(), Err(CollectError::Absent(_))));
    }

    #[test]
    fn a_group_whose_name_only_begins_alike_is_another() {
        assert_eq!(below("/ab", "/a"), None);
        assert_eq!(below("/a/b", "/a"), Some("b"));
        assert_eq!(below("/a", "/a"), Some(""));
        assert_eq!(below("/", "/"), Some(""));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*", line in "[0-9a-z/ .-]{0,40}( - cgroup2)?", top in "[/a.]{0,6}") {
            own_group(&text);
            top_of_mount(&text, Path::new("/sys/fs/cgroup"));
            top_of_mount(&line, Path::new("/sys/fs/cgroup"));
            below(&format!("/{text}"), &top);
        }

        #[test]
        fn the_place_is_below_the_tree(group in "(/[a.]{1,3}){0,4}", top in "(/[a.]{1,3}){0,2}") {
            if let Some(below) = below(&format!("/{group}"), &top) {
                prop_assert!(!Path::new(below).is_absolute() && !below.split('/').any(|part| part == ".."));
            }
        }
    }
}
