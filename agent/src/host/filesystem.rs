//! How full the mounted file systems are: `statfs(2)` of the mounts that the table shows.
//!
//! Nothing is looked up inside them. One that does not answer within the mount timeout, or answers with an error, is
//! shown by `node_filesystem_device_error` alone; [`probe`] has what happens then. Where some do not answer, the collector
//! says so once the others are shown.

mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use regex::Regex;

use super::collector::{CollectError, Collector, Families, Filter, Roots, Settings, read};
use super::mounts;
use crate::model::host::{HostKind, HostSeries, Labels};

use self::probe::{Ids, Point, Probe, Said, Usage};

pub struct Filesystem {
    roots: Roots,
    points: Filter,
    types_exclude: Option<Regex>,
    probe: Probe,
    table: Table,
}

/// What a table of mounts means. It stays as it is most of the time.
#[derive(Default)]
struct Table {
    text: String,
    shown: Vec<Shown>,
    /// The mount points, once each.
    points: Arc<[Point]>,
    odd: Option<String>,
}

struct Shown {
    labels: Labels,
    read_only: bool,
    /// Among the table's.
    point: usize,
}

type Value = fn(&Usage) -> f64;

const SIZES: [(&str, &str, Value); 5] = [
    ("node_filesystem_size_bytes", "Size of the file system.", |usage| usage.size),
    ("node_filesystem_free_bytes", "Free space of the file system.", |usage| usage.free),
    ("node_filesystem_avail_bytes", "Space that users other than root can have.", |usage| usage.avail),
    ("node_filesystem_files", "Inodes of the file system.", |usage| usage.files),
    ("node_filesystem_files_free", "Free inodes of the file system.", |usage| usage.files_free),
];

impl Filesystem {
    pub fn new(settings: &Settings) -> Self {
        Self {
            roots: settings.roots.clone(),
            points: settings.filter("filesystem"),
            types_exclude: settings.fs_types_exclude.clone(),
            probe: Probe::new(Arc::new(probe::statfs), settings.mount_timeout),
            table: Table::default(),
        }
    }

    fn understand(&self, text: String) -> Table {
        let (mounts, odd) = mounts::parse(&text, &self.roots.rootfs);
        let odd = odd.map(str::to_owned);
        let mut table = Table { text, odd, ..Table::default() };
        // Of several mounts at one point the last is the one that answers, shown or not.
        let on_top: BTreeMap<&str, &mounts::Mount> = mounts.iter().map(|mount| (mount.point.as_str(), mount)).collect();
        let mut points: Vec<Point> = Vec::new();
        let mut point_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shown_of: BTreeMap<Labels, usize> = BTreeMap::new();
        for mount in mounts.iter().filter(|mount| self.shows(mount)) {
            let point = *point_of.entry(&mount.point).or_insert_with(|| {
                let top = on_top.get(mount.point.as_str()).copied().unwrap_or(mount);
                let mounted = format!("{} {}", top.device, top.fstype);
                points.push(Point { path: self.roots.host(&mount.point), mounted });
                points.len() - 1
            });
            let labels =
                Labels::new(&[("device", &mount.device), ("fstype", &mount.fstype), ("mountpoint", &mount.point)]);
            // The same thing mounted again hides the first: what the later mount says is true.
            match shown_of.get(&labels).and_then(|&place| table.shown.get_mut(place)) {
                Some(shown) => shown.read_only = mount.read_only,
                None => {
                    shown_of.insert(labels.clone(), table.shown.len());
                    table.shown.push(Shown { labels, read_only: mount.read_only, point });
                }
            }
        }
        table.points = points.into();
        table
    }

    fn shows(&self, mount: &mounts::Mount) -> bool {
        self.points.allows(&mount.point)
            && !self.types_exclude.as_ref().is_some_and(|types| types.is_match(&mount.fstype))
    }
}

impl Collector for Filesystem {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let (path, text) = mounts::read(&self.roots)?;
        if text != self.table.text {
            self.table = self.understand(text);
        }
        let ids = || ids(&path, &self.roots);
        let said = self.probe.ask(&self.table.points, &ids).map_err(|error| {
            CollectError::odd(&path, format!("no thread could be started to ask the mounts: {error}"))
        })?;
        self.table.show(&said, out);
        match &self.table.odd {
            Some(line) => Err(CollectError::odd(path, format!("{line:?} is no mount"))),
            None => self.table.silence(&said).map_or(Ok(()), |silence| Err(CollectError::Stuck(silence))),
        }
    }
}

/// The numbers of the mounts, from the file beside the table. Where it cannot be read, none are known.
fn ids(table: &Path, roots: &Roots) -> Ids {
    let text = read(&table.with_file_name("mountinfo")).unwrap_or_default();
    // Its lines begin otherwise than the table's: with number, parent, device and root. The point is the same.
    let lines: String = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some(format!("{} {} - -\n", words.next()?, words.nth(3)?))
        })
        .collect();
    let (mounts, _) = mounts::parse(&lines, &roots.rootfs);
    mounts.iter().filter_map(|mount| Some((roots.host(&mount.point), mount.device.parse().ok()?))).collect()
}

impl Table {
    /// Which mounts do not answer, in words.
    fn silence(&self, said: &[Said]) -> Option<String> {
        const NAMED: usize = 5;
        /// Letters of each.
        const SHOWN: usize = 100;
        let is_silent = |shown: &&Shown| said.get(shown.point) == Some(&Said::Nothing);
        let silent: BTreeSet<String> = self
            .shown
            .iter()
            .filter(is_silent)
            .filter_map(|shown| Some(shown.labels.get("mountpoint")?.escape_debug().take(SHOWN).collect()))
            .collect();
        let named: Vec<&str> = silent.iter().take(NAMED).map(String::as_str).collect();
        let more = if silent.len() > NAMED { " ..." } else { "" };
        match silent.len() {
            0 => None,
            1 => Some(format!("1 mount does not answer: {}", named.join(", "))),
            count => Some(format!("{count} mounts do not answer: {}{more}", named.join(", "))),
        }
    }

    fn show(&self, said: &[Said], out: &mut Families) {
        let usage = |shown: &Shown| match said.get(shown.point) {
            Some(Said::Usage(usage)) => Some(*usage),
            Some(Said::Error | Said::Nothing) | None => None,
        };
        self.family(
            out,
            "node_filesystem_device_error",
            "1 where the file system gave an error or no answer.",
            |shown| Some(f64::from(u8::from(usage(shown).is_none()))),
        );
        for (name, help, value) in SIZES {
            self.family(out, name, help, |shown| usage(shown).as_ref().map(value));
        }
        self.family(out, "node_filesystem_readonly", "1 where the file system is mounted read-only.", |shown| {
            usage(shown).map(|_| f64::from(u8::from(shown.read_only)))
        });
    }

    fn family(
        &self,
        out: &mut Families,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Shown) -> Option<f64>,
    ) {
        let series = self
            .shown
            .iter()
            .filter_map(|shown| Some(HostSeries { suffix: "", labels: shown.labels.clone(), value: value(shown)? }));
        out.family(HostKind::Gauge, name, help).series.extend(series);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// A collector over a mount table of its own, and what its `statfs` answers.
    fn collector(dir: &tempfile::TempDir, mounts: &str, statfs: Arc<probe::Statfs>) -> Filesystem {
        std::fs::write(dir.path().join("mounts"), mounts).unwrap();
        let exclude = |pattern: &str| Some(Regex::new(pattern).unwrap());
        let settings = Settings {
            roots: Roots { procfs: dir.path().into(), rootfs: "/host".into(), ..Roots::default() },
            filters: [("filesystem", Filter { include: None, exclude: exclude("^/(dev|proc)($|/)") })].into(),
            fs_types_exclude: exclude("^(proc|overlay)$"),
            mount_timeout: Duration::from_secs(2),
            ..Settings::below(dir.path())
        };
        let mut collector = Filesystem::new(&settings);
        collector.probe = Probe::new(statfs, settings.mount_timeout);
        collector
    }

    fn shown(families: &Families, name: &str) -> Vec<(String, f64)> {
        let family = families.0.iter().find(|family| family.name == name).unwrap();
        family.series.iter().map(|series| (series.labels.rendered().to_owned(), series.value)).collect()
    }

    fn labels(device: &str, fstype: &str, point: &str) -> String {
        format!(r#"device="{device}",fstype="{fstype}",mountpoint="{point}""#)
    }

    #[test]
    fn mounts_that_pass_the_filters_are_shown_once() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = "rootfs / rootfs rw 0 0\n\
                      proc /proc proc rw 0 0\n\
                      /dev/vda / ext4 rw 0 0\n\
                      tmpfs /dev/shm tmpfs rw 0 0\n\
                      overlay /var/lib/x overlay rw 0 0\n\
                      nas:/a /mnt/a nfs rw 0 0\n\
                      nas:/a /mnt/a nfs ro 0 0\n";
        let usage = Usage { size: 100.0, free: 40.0, avail: 30.0, files: 20.0, files_free: 10.0 };
        let statfs = move |path: &Path| {
            assert!(path == Path::new("/host/") || path == Path::new("/host/mnt/a"), "{path:?}");
            Ok(usage)
        };
        let mut families = Families::default();
        collector(&dir, mounts, Arc::new(statfs)).collect(&mut families).unwrap();
        let each = |value: f64| {
            vec![
                (labels("rootfs", "rootfs", "/"), value),
                (labels("/dev/vda", "ext4", "/"), value),
                (labels("nas:/a", "nfs", "/mnt/a"), value),
            ]
        };
        for (name, value) in [
            ("node_filesystem_device_error", 0.0),
            ("node_filesystem_size_bytes", 100.0),
            ("node_filesystem_free_bytes", 40.0),
            ("node_filesystem_avail_bytes", 30.0),
            ("node_filesystem_files", 20.0),
            ("node_filesystem_files_free", 10.0),
        ] {
            assert_eq!(shown(&families, name), each(value), "{name}");
        }
        let mut read_only = each(0.0);
        read_only[2].1 = 1.0;
        assert_eq!(shown(&families, "node_filesystem_readonly"), read_only);
    }

    #[test]
    fn one_without_an_answer_is_an_error_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (let_go, hang) = std::sync::mpsc::channel::<()>();
        let (hang, is_dead) = (std::sync::Mutex::new(hang), Arc::new(AtomicBool::new(true)));
        let dead = Arc::clone(&is_dead);
        let statfs = move |path: &Path| {
            if path.ends_with("dead") && dead.load(Ordering::SeqCst) {
                let _ = hang.lock().unwrap().recv();
            }
            Ok(Usage { size: 1.0, free: 1.0, avail: 1.0, files: 1.0, files_free: 1.0 })
        };
        let mut collector = collector(&dir, "a /dead nfs rw 0 0\nb /home ext4 rw 0 0\n", Arc::new(statfs));
        let (dead, home) = (labels("a", "nfs", "/dead"), labels("b", "ext4", "/home"));
        for _ in 0..2 {
            let mut families = Families::default();
            let error = collector.collect(&mut families).unwrap_err();
            assert!(matches!(&error, CollectError::Stuck(_)), "{error:?}");
            assert_eq!(error.to_string(), "1 mount does not answer: /dead");
            assert_eq!(shown(&families, "node_filesystem_device_error"), [(dead.clone(), 1.0), (home.clone(), 0.0)]);
            assert_eq!(shown(&families, "node_filesystem_size_bytes"), [(home.clone(), 1.0)]);
            assert_eq!(shown(&families, "node_filesystem_readonly"), [(home.clone(), 0.0)]);
        }
        // Another one in its place answers, while the dead one still waits.
        std::fs::write(dir.path().join("mounts"), "fresh /dead tmpfs rw 0 0\nb /home ext4 rw 0 0\n").unwrap();
        is_dead.store(false, Ordering::SeqCst);
        let mut families = Families::default();
        collector.collect(&mut families).unwrap();
        let fresh = labels("fresh", "tmpfs", "/dead");
        assert_eq!(shown(&families, "node_filesystem_device_error"), [(fresh, 0.0), (home, 0.0)]);
        drop(let_go);
    }

    #[test]
    fn the_same_mounted_anew_is_told_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let (let_go, hang) = std::sync::mpsc::channel::<()>();
        let (hang, is_dead) = (std::sync::Mutex::new(hang), Arc::new(AtomicBool::new(true)));
        let dead = Arc::clone(&is_dead);
        let statfs = move |_: &Path| {
            if dead.load(Ordering::SeqCst) {
                let _ = hang.lock().unwrap().recv();
            }
            Ok(Usage { size: 1.0, free: 1.0, avail: 1.0, files: 1.0, files_free: 1.0 })
        };
        let number = |id: u32| {
            let text = format!("{id} 25 0:40 / /host/mnt/a\\040b rw - nfs a rw\n");
            std::fs::write(dir.path().join("mountinfo"), text).unwrap();
        };
        number(40);
        let mut collector = collector(&dir, "a /host/mnt/a\\040b nfs rw 0 0\n", Arc::new(statfs));
        for _ in 0..2 {
            assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Stuck(_))));
        }
        is_dead.store(false, Ordering::SeqCst);
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Stuck(_))));
        number(41);
        collector.collect(&mut Families::default()).unwrap();
        drop(let_go);
    }

    #[test]
    fn of_many_that_do_not_answer_five_are_named() {
        let mount = |point: &str| Shown { labels: Labels::new(&[("mountpoint", point)]), read_only: false, point: 0 };
        let table =
            |points: &[&str]| Table { shown: points.iter().map(|point| mount(point)).collect(), ..Table::default() };
        let silence = |points: &[&str]| table(points).silence(&[Said::Nothing]);
        assert_eq!(silence(&["/b\nx", "/a"]).unwrap(), "2 mounts do not answer: /a, /b\\nx");
        let many = ["/1", "/2", "/3", "/4", "/5", "/6", "/6"];
        assert_eq!(silence(&many).unwrap(), "6 mounts do not answer: /1, /2, /3, /4, /5 ...");
        assert_eq!(table(&many).silence(&[Said::Error]), None);
    }

    #[test]
    fn a_table_that_changes_is_read_again_and_an_odd_line_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let statfs = |_: &Path| Err(std::io::ErrorKind::PermissionDenied.into());
        let mut collector = collector(&dir, "a /a nfs rw 0 0\n", Arc::new(statfs));
        collector.collect(&mut Families::default()).unwrap();
        std::fs::write(dir.path().join("mounts"), "nonsense\nb /b nfs rw 0 0\n").unwrap();
        for _ in 0..2 {
            let mut families = Families::default();
            let error = collector.collect(&mut families).unwrap_err().to_string();
            assert!(error.ends_with("mounts: \"nonsense\" is no mount"), "{error}");
            assert_eq!(shown(&families, "node_filesystem_device_error"), [(labels("b", "nfs", "/b"), 1.0)]);
        }
    }
}
