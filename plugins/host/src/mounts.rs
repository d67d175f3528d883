//! The mounts among the host's numbers: those that were asked for, each file system once.

use std::collections::BTreeMap;

use vitald_sdk::host::Series;
use vitald_sdk::wildcard_matches;

use crate::numbers::Numbers;

pub(crate) const FAMILIES: &str = "node_filesystem_";

/// One file system, where it is mounted. Sizes are bytes; what is not known is zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mount {
    pub(crate) point: String,
    pub(crate) device: String,
    pub(crate) kind: String,
    pub(crate) size: f64,
    pub(crate) free: f64,
    /// What those have who are not root.
    pub(crate) available: f64,
    pub(crate) files: f64,
    pub(crate) files_free: f64,
    pub(crate) read_only: bool,
    /// It could not be asked: it hangs, or this agent may not see it.
    pub(crate) unreachable: bool,
}

/// Which of them to look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// None: all.
    pub(crate) mounts: Vec<String>,
    pub(crate) exclude_mounts: Vec<String>,
    pub(crate) exclude_types: Vec<String>,
}

impl Selection {
    fn takes(&self, mount: &Mount) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| wildcard_matches(pattern, text));
        (self.mounts.is_empty() || any(&self.mounts, &mount.point))
            && !any(&self.exclude_mounts, &mount.point)
            && !any(&self.exclude_types, &mount.kind)
    }
}

impl Mount {
    /// As df has it: what root alone may use counts as used.
    pub(crate) fn used(&self) -> Option<f64> {
        let used = self.size - self.free;
        let whole = used + self.available;
        (self.size > 0.0 && whole > 0.0).then(|| (used / whole).clamp(0.0, 1.0))
    }

    /// None where the file system makes inodes as it needs them.
    pub(crate) fn inodes_used(&self) -> Option<f64> {
        (self.files > 0.0).then(|| (1.0 - self.files_free / self.files).clamp(0.0, 1.0))
    }

    fn set(&mut self, series: &Series) {
        let value = series.value;
        match series.name.strip_prefix(FAMILIES).unwrap_or_default() {
            "size_bytes" => self.size = value,
            "free_bytes" => self.free = value,
            "avail_bytes" => self.available = value,
            "files" => self.files = value,
            "files_free" => self.files_free = value,
            "readonly" => self.read_only = value != 0.0,
            "device_error" => self.unreachable = value != 0.0,
            _ => {}
        }
    }

    /// Something can be written there, and it is known how much.
    pub(crate) fn has_space(&self) -> bool {
        !self.read_only && !self.unreachable && self.size > 0.0
    }

    /// Tells file systems apart. `tmpfs`, `overlay`, `/dev/fuse` and the like are names of no device: each mount is its
    /// own.
    fn identity(&self) -> (String, String, String) {
        let fuse = self.device == "/dev/fuse" || self.kind == "fuse" || self.kind.starts_with("fuse.");
        let device = self.device.contains(['/', ':']) && !fuse;
        let place = if device { "" } else { self.point.as_str() };
        (self.device.clone(), self.kind.clone(), place.to_owned())
    }
}

/// By mount point. A file system that is mounted several times is shown at the shortest place.
pub(crate) fn select(numbers: &Numbers, selection: &Selection) -> Vec<Mount> {
    let mut distinct: BTreeMap<(String, String, String), Mount> = BTreeMap::new();
    for mount in all(&numbers.series).into_values().filter(|mount| selection.takes(mount)) {
        let order = |mount: &Mount| (mount.unreachable, mount.read_only, mount.point.len(), mount.point.clone());
        let kept = distinct.entry(mount.identity()).or_insert_with(|| mount.clone());
        if order(&mount) < order(kept) {
            *kept = mount;
        }
    }
    let mut mounts: Vec<Mount> = distinct.into_values().collect();
    mounts.sort_by(|a, b| a.point.cmp(&b.point));
    mounts
}

/// The mount points that were asked for by name, and where nothing is mounted.
pub(crate) fn absent<'a>(numbers: &Numbers, selection: &'a Selection) -> Vec<&'a str> {
    let mounts = all(&numbers.series);
    let named = selection.mounts.iter().map(String::as_str).filter(|pattern| !pattern.contains('*'));
    named.filter(|name| !mounts.keys().any(|(point, ..)| point == name)).collect()
}

/// The mounts that were asked for by name, and where no space can be judged. Where one lies over another, one with
/// space is enough.
pub(crate) fn without_space(numbers: &Numbers, selection: &Selection) -> Vec<Mount> {
    let by_name = |mount: &Mount| selection.mounts.contains(&mount.point) && selection.takes(mount);
    let (good, bad): (Vec<Mount>, Vec<Mount>) =
        all(&numbers.series).into_values().filter(by_name).partition(Mount::has_space);
    let mut bad: Vec<Mount> =
        bad.into_iter().filter(|mount| !good.iter().any(|good| good.point == mount.point)).collect();
    bad.dedup_by(|a, b| a.point == b.point);
    bad
}

/// By mount point, device and type.
fn all(series: &[Series]) -> BTreeMap<(&str, &str, &str), Mount> {
    let mut mounts: BTreeMap<(&str, &str, &str), Mount> = BTreeMap::new();
    for series in series.iter().filter(|series| series.name.starts_with(FAMILIES)) {
        let label = |name| series.label(name).unwrap_or_default();
        let key = (label("mountpoint"), label("device"), label("fstype"));
        let new =
            || Mount { point: key.0.to_owned(), device: key.1.to_owned(), kind: key.2.to_owned(), ..Mount::default() };
        mounts.entry(key).or_insert_with(new).set(series);
    }
    mounts
}

#[cfg(test)]
pub(crate) mod testing {
    use std::fmt::Write as _;

    use super::*;

    impl Mount {
        pub(crate) fn of(point: &str, size: f64, available: f64) -> Self {
            Self {
                point: point.into(),
                device: format!("/dev/{}", point.replace('/', "")),
                kind: "ext4".into(),
                size,
                free: available,
                available,
                files: 100.0,
                files_free: 50.0,
                ..Self::default()
            }
        }
    }

    /// As the agent would show them.
    pub(crate) fn shown(mounts: &[Mount]) -> String {
        let mut text = String::new();
        for mount in mounts {
            let labels =
                format!("{{device=\"{}\",fstype=\"{}\",mountpoint=\"{}\"}}", mount.device, mount.kind, mount.point);
            let error = u8::from(mount.unreachable);
            writeln!(text, "node_filesystem_device_error{labels} {error}").unwrap();
            if mount.unreachable {
                continue;
            }
            let values = [
                ("size_bytes", mount.size),
                ("free_bytes", mount.free),
                ("avail_bytes", mount.available),
                ("files", mount.files),
                ("files_free", mount.files_free),
                ("readonly", f64::from(u8::from(mount.read_only))),
            ];
            for (name, value) in values {
                writeln!(text, "node_filesystem_{name}{labels} {value}").unwrap();
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::testing::shown;
    use super::*;
    use crate::numbers::testing::sample;

    fn points(mounts: &[Mount], selection: &Selection) -> Vec<String> {
        let numbers = Numbers { boot: std::time::Duration::ZERO, series: sample(1, &shown(mounts)).series };
        select(&numbers, selection).into_iter().map(|mount| mount.point).collect()
    }

    fn patterns(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn df_counts_what_root_keeps_as_used() {
        let mount = Mount { size: 100.0, free: 25.0, available: 20.0, ..Mount::of("/", 0.0, 0.0) };
        assert!((mount.used().unwrap() - 75.0 / 95.0).abs() < 1e-9);
        assert_eq!(Mount::default().used(), None);
        assert_eq!(Mount { size: f64::NAN, ..mount }.used(), None);
    }

    #[test]
    fn patterns_choose() {
        let tmpfs = Mount { kind: "tmpfs".into(), device: "tmpfs".into(), ..Mount::of("/run", 9.0, 9.0) };
        let mounts = [Mount::of("/", 9.0, 9.0), Mount::of("/var", 9.0, 9.0), Mount::of("/var/lib", 9.0, 9.0), tmpfs];
        assert_eq!(points(&mounts, &Selection::default()), ["/", "/run", "/var", "/var/lib"]);
        let selection = Selection { mounts: patterns(&["/var*"]), ..Selection::default() };
        assert_eq!(points(&mounts, &selection), ["/var", "/var/lib"]);
        let selection = Selection {
            exclude_mounts: patterns(&["/var/*", "/"]),
            exclude_types: patterns(&["tmp*"]),
            ..Selection::default()
        };
        assert_eq!(points(&mounts, &selection), ["/var"]);
    }

    #[test]
    fn what_was_named_must_be_there() {
        let selection = Selection { mounts: patterns(&["/var", "/data", "/mnt/*"]), ..Selection::default() };
        let numbers = Numbers {
            boot: std::time::Duration::ZERO,
            series: sample(1, &shown(&[Mount::of("/var", 9.0, 9.0)])).series,
        };
        assert_eq!(absent(&numbers, &selection), ["/data"]);
    }

    #[test]
    fn a_file_system_that_is_mounted_twice_counts_once_and_two_tmpfs_are_two() {
        let data = Mount::of("/data", 9.0, 9.0);
        let bound = Mount { point: "/srv/www/data".into(), ..data.clone() };
        let read_only = Mount { point: "/d".into(), read_only: true, ..data.clone() };
        assert_eq!(points(&[bound, data, read_only], &Selection::default()), ["/data"]);
        let tmpfs = |point| Mount { device: "tmpfs".into(), kind: "tmpfs".into(), ..Mount::of(point, 9.0, 9.0) };
        assert_eq!(points(&[tmpfs("/run"), tmpfs("/tmp")], &Selection::default()), ["/run", "/tmp"]);
        let fuse =
            |point, kind: &str| Mount { device: "/dev/fuse".into(), kind: kind.into(), ..Mount::of(point, 9.0, 9.0) };
        assert_eq!(points(&[fuse("/a", "fuse"), fuse("/b", "fuse")], &Selection::default()), ["/a", "/b"]);
        assert_eq!(points(&[fuse("/a", "fuse.x"), fuse("/b", "fuse.x")], &Selection::default()), ["/a", "/b"]);
        let ntfs = Mount { kind: "fuseblk".into(), ..Mount::of("/n", 9.0, 9.0) };
        let bound = Mount { point: "/elsewhere".into(), ..ntfs.clone() };
        assert_eq!(points(&[ntfs, bound], &Selection::default()), ["/n"]);
    }
}
