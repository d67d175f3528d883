//! What ZFS counts: the kstats that OpenZFS shows in `/proc/spl/kstat/zfs`, of the module as a whole and of each pool.
//!
//! A kstat is a line of its own numbers, a line with the names of its columns, and one line for each statistic
//! (`module/os/linux/spl/spl-kstat.c` of OpenZFS). Which there are depends on the version: what there is is shown, if
//! it is an unsigned number. Names that no metric may have are left out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use super::collector::{self, CollectError, Collector, Families, Roots, Settings, float};
use crate::model::host::{HostKind, HostSeries, Labels};

pub struct Zfs {
    roots: Roots,
}

/// Files of the whole module, and how their metrics' names begin.
const FILES: [(&str, &str); 11] = [
    ("abdstats", "node_zfs_abd"),
    ("arcstats", "node_zfs_arc"),
    ("dbuf_stats", "node_zfs_dbuf"),
    ("dmu_tx", "node_zfs_dmu_tx"),
    ("dnodestats", "node_zfs_dnode"),
    ("fm", "node_zfs_fm"),
    ("vdev_cache_stats", "node_zfs_vdev_cache"),
    ("vdev_mirror_stats", "node_zfs_vdev_mirror"),
    ("xuio_stats", "node_zfs_xuio"),
    ("zfetchstats", "node_zfs_zfetch"),
    ("zil", "node_zfs_zil"),
];

const STATES: [&str; 6] = ["online", "degraded", "faulted", "offline", "removed", "unavail"];
/// `KSTAT_DATA_UINT64`.
const UINT64: &str = "4";

impl Zfs {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Zfs {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let all = self.roots.proc("spl/kstat/zfs");
        let entries = collector::entries(&all).map_err(CollectError::or_absent)?;
        let mut reading = Reading { out, error: None };
        for (file, prefix) in FILES {
            reading.module(&all.join(file), file, prefix);
        }
        for pool in entries {
            let dir = all.join(&pool);
            if dir.is_dir() {
                reading.pool(&dir, &pool);
            }
        }
        reading.error.map_or(Ok(()), Err)
    }
}

struct Reading<'a> {
    out: &'a mut Families,
    error: Option<CollectError>,
}

impl Reading<'_> {
    fn module(&mut self, path: &Path, file: &str, prefix: &str) {
        let Some(text) = self.read(path) else { return };
        let Some(statistics) = statistics(&text) else { return self.odd(path, "there are no statistics") };
        for (name, _, value) in statistics.filter(|(_, kind, _)| *kind == UINT64) {
            match value.parse() {
                Ok(value) => self.add(prefix, file, name, &[], value),
                Err(_) => self.odd(path, &format!("{name} is {value:?}, which is not a number")),
            }
        }
    }

    fn pool(&mut self, dir: &Path, pool: &str) {
        self.io(&dir.join("io"), pool);
        if let Some(state) = self.read(&dir.join("state")) {
            for known in STATES {
                let is = state.trim().eq_ignore_ascii_case(known);
                let help = "1 for the state that the pool is in.";
                self.out
                    .family(HostKind::Gauge, "node_zfs_zpool_state", help)
                    .add(&[("zpool", pool), ("state", known)], f64::from(u8::from(is)));
            }
        }
        let mut shown = BTreeSet::new();
        for objset in collector::entries(dir).unwrap_or_default() {
            if objset.starts_with("objset-") {
                self.dataset(&dir.join(objset), pool, &mut shown);
            }
        }
    }

    /// A line of names, then a line of numbers; versions since 2.0 do not have it.
    fn io(&mut self, path: &Path, pool: &str) {
        let Some(text) = self.read(path) else { return };
        let mut lines = text.lines().map(str::split_ascii_whitespace);
        let Some(names) = lines.find(|words| words.clone().next() == Some("nread")) else {
            return self.odd(path, "there are no statistics");
        };
        for (name, value) in names.zip(lines.next().into_iter().flatten()) {
            match value.parse() {
                Ok(value) => self.add("node_zfs_zpool", "io", name, &[("zpool", pool)], value),
                Err(_) => self.odd(path, &format!("{name} is {value:?}, which is not a number")),
            }
        }
    }

    fn dataset(&mut self, path: &Path, pool: &str, shown: &mut BTreeSet<String>) {
        let Some(text) = self.read(path) else { return };
        let Some(statistics) = statistics(&text) else { return self.odd(path, "there are no statistics") };
        let mut dataset = "";
        for (name, kind, value) in statistics {
            if name == "dataset_name" {
                dataset = value;
                if !shown.insert(dataset.to_owned()) {
                    return;
                }
            } else if kind == UINT64 && !dataset.is_empty() {
                let labels = [("zpool", pool), ("dataset", dataset)];
                match value.parse() {
                    Ok(value) => self.add("node_zfs_zpool_dataset", "objset", name, &labels, value),
                    Err(_) => self.odd(path, &format!("{name} is {value:?}, which is not a number")),
                }
            }
        }
    }

    fn add(&mut self, prefix: &str, kstat: &str, name: &str, labels: &[(&str, &str)], value: u64) {
        // Some have names with dots, whose last part says what they are.
        let name: Cow<'_, str> = match name.rsplit('.').next().unwrap_or(name) {
            plain if plain.contains('-') => plain.replace('-', "_").into(),
            plain => plain.into(),
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return;
        }
        let help = format!("The statistic {name} of ZFS's {kstat}.");
        let family = self.out.family(HostKind::Untyped, format!("{prefix}_{name}"), help);
        let labels = Labels::new(labels);
        // Two names may become one.
        if family.series.last().is_none_or(|last| last.labels != labels) {
            family.series.push(HostSeries { suffix: "", labels, value: float(value) });
        }
    }

    /// None where there is no such file, which is no fault: versions differ, and pools go.
    fn read(&mut self, path: &Path) -> Option<String> {
        match collector::read(path) {
            Ok(text) => return Some(text),
            Err(CollectError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => self.error = Some(error),
        }
        None
    }

    fn odd(&mut self, path: &Path, problem: &str) {
        self.error = Some(CollectError::odd(path, problem));
    }
}

/// Name, type and value of each statistic; none if the file has no table of them.
fn statistics(text: &str) -> Option<impl Iterator<Item = (&str, &str, &str)>> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    lines.find(|words| words.clone().eq(["name", "type", "data"]))?;
    Some(lines.filter_map(|mut words| Some((words.next()?, words.next()?, words.next()?))))
}

#[cfg(test)]
#[path = "zfs_tests.rs"]
mod tests;
