//! Block caches of bcache: `/sys/fs/bcache/UUID`, described in `Documentation/admin-guide/bcache.rst`.
//!
//! The kernel writes sizes for people (`1.5G`): they are as exact as it writes them. What a kernel counts no more (as
//! readaheads, gone in 5.14) is shown as 0, as node_exporter does. `priority_stats` cost the kernel much to tell, and
//! are left out, as by default there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::collector::{self, CollectError, Collector, Families, Roots, Settings};
use crate::model::host::HostKind::{self, Counter, Gauge};

pub struct Bcache {
    roots: Roots,
}

/// File, kind, name, what is said of it, and what its unit is of the metric's.
type Number = (&'static str, HostKind, &'static str, &'static str, f64);

/// Of a cache set.
const SET: [Number; 10] = [
    ("average_key_size", Gauge, "node_bcache_average_key_size_sectors", "Data for each key of the tree.", 1.0),
    ("btree_cache_size", Gauge, "node_bcache_btree_cache_size_bytes", "Memory that holds parts of the tree.", 1.0),
    (
        "cache_available_percent",
        Gauge,
        "node_bcache_cache_available_percent",
        "Part of the cache without data that is still to be written back.",
        1.0,
    ),
    ("congested", Gauge, "node_bcache_congested", "How congested the cache is.", 1.0),
    ("root_usage_percent", Gauge, "node_bcache_root_usage_percent", "Part of the tree's root that is in use.", 1.0),
    ("tree_depth", Gauge, "node_bcache_tree_depth", "Depth of the tree.", 1.0),
    (
        "internal/active_journal_entries",
        Gauge,
        "node_bcache_active_journal_entries",
        "Entries of the journal that are newer than the tree.",
        1.0,
    ),
    ("internal/btree_nodes", Gauge, "node_bcache_btree_nodes", "Nodes of the tree.", 1.0),
    (
        // The file has microseconds; node_exporter takes them for nanoseconds, and who knows its numbers expects that.
        "internal/btree_read_average_duration_us",
        Gauge,
        "node_bcache_btree_read_average_duration_seconds",
        "Mean time that a read of the tree takes.",
        1e-9,
    ),
    (
        "internal/cache_read_races",
        Counter,
        "node_bcache_cache_read_races_total",
        "Reads of data that was thrown out of the cache meanwhile.",
        1.0,
    ),
];

/// Of a device behind the cache.
const BACKING: [Number; 8] = [
    ("dirty_data", Gauge, "node_bcache_dirty_data_bytes", "Data that is still to be written back.", 1.0),
    ("stats_total/bypassed", Counter, "node_bcache_bypassed_bytes_total", "Data read and written past the cache.", 1.0),
    ("stats_total/cache_hits", Counter, "node_bcache_cache_hits_total", "Requests that the cache served.", 1.0),
    ("stats_total/cache_misses", Counter, "node_bcache_cache_misses_total", "Requests that it could not serve.", 1.0),
    (
        "stats_total/cache_bypass_hits",
        Counter,
        "node_bcache_cache_bypass_hits_total",
        "Requests past the cache which it could have served.",
        1.0,
    ),
    (
        "stats_total/cache_bypass_misses",
        Counter,
        "node_bcache_cache_bypass_misses_total",
        "Requests past the cache which it could not have served.",
        1.0,
    ),
    (
        "stats_total/cache_miss_collisions",
        Counter,
        "node_bcache_cache_miss_collisions_total",
        "Data that was written while a read was putting it into the cache.",
        1.0,
    ),
    (
        "stats_total/cache_readaheads",
        Counter,
        "node_bcache_cache_readaheads_total",
        "Data that was read before it was asked for.",
        1.0,
    ),
];

/// Of a device that caches.
const CACHE: [Number; 3] = [
    ("io_errors", Gauge, "node_bcache_io_errors", "Errors of the device, of which old ones count less.", 1.0),
    (
        "metadata_written",
        Counter,
        "node_bcache_metadata_written_bytes_total",
        "Bytes of the tree, and of whatever else is no data, written to the cache.",
        1.0,
    ),
    ("written", Counter, "node_bcache_written_bytes_total", "Bytes of data written to the cache.", 1.0),
];

/// Of `writeback_rate_debug`: how the line begins, how its value ends, the metric, and what is said of it.
const WRITEBACK: [(&str, &str, &str, &str); 5] = [
    ("target:", "", "node_bcache_dirty_target_bytes", "Data to be written back that the device may have."),
    ("rate:", "/sec", "node_bcache_writeback_rate", "Bytes a second at which data is written back."),
    (
        "proportional:",
        "",
        "node_bcache_writeback_rate_proportional_term",
        "What being off the target adds to the rate.",
    ),
    ("integral:", "", "node_bcache_writeback_rate_integral_term", "What having been off the target adds to the rate."),
    ("change:", "/sec", "node_bcache_writeback_change", "How the rate changed last."),
];

impl Bcache {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Bcache {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let all = self.roots.sys("fs/bcache");
        let mut reading = Reading { out, error: None };
        for uuid in collector::entries(&all).map_err(CollectError::or_absent)? {
            if uuid.contains('-') {
                reading.set(&all.join(&uuid), &uuid);
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
    fn set(&mut self, dir: &Path, uuid: &str) {
        self.numbers(dir, &SET, &[("uuid", uuid)]);
        for entry in collector::entries(dir).unwrap_or_default() {
            if is_numbered(&entry, "bdev") {
                let labels = [("uuid", uuid), ("backing_device", &entry)];
                self.numbers(&dir.join(&entry), &BACKING, &labels);
                self.writeback(&dir.join(&entry).join("writeback_rate_debug"), &labels);
            } else if is_numbered(&entry, "cache") {
                self.numbers(&dir.join(&entry), &CACHE, &[("uuid", uuid), ("cache_device", &entry)]);
            }
        }
    }

    fn numbers(&mut self, dir: &Path, numbers: &[Number], labels: &[(&str, &str)]) {
        for &(file, kind, name, help, unit) in numbers {
            let path = dir.join(file);
            let text = match collector::read_value(&path) {
                Ok(text) => text,
                Err(CollectError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => "0".to_owned(),
                Err(error) => {
                    self.error = Some(error);
                    continue;
                }
            };
            match parse_size(&text) {
                Some(value) => self.out.family(kind, name, help).add(labels, value * unit),
                None => self.odd(path, &text),
            }
        }
    }

    fn writeback(&mut self, path: &Path, labels: &[(&str, &str)]) {
        let text = match collector::read(path) {
            Ok(text) => text,
            Err(error) => return self.error = Some(error),
        };
        for (begin, end, name, help) in WRITEBACK {
            let value = text.lines().find_map(|line| line.strip_prefix(begin)).map_or("0", str::trim);
            match parse_signed_size(value.strip_suffix(end).unwrap_or(value)) {
                Some(value) => self.out.family(Gauge, name, help).add(labels, value),
                None => self.odd(path.to_owned(), value),
            }
        }
    }

    fn odd(&mut self, path: PathBuf, text: &str) {
        self.error = Some(CollectError::odd(path, format!("{text:?} is not a size")));
    }
}

fn is_numbered(entry: &str, name: &str) -> bool {
    entry.strip_prefix(name).is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

fn parse_signed_size(text: &str) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(size) => parse_size(size).map(|size| -size),
        None => parse_size(text),
    }
}

/// A size as `bch_hprint` of the kernel's `drivers/md/bcache/util.c` writes it, in whole bytes. What stands behind the
/// point counts hundreds of 1024 parts, so that `1.10` is more than `1.9`.
fn parse_size(text: &str) -> Option<f64> {
    let plain = |text: &str| text.parse::<u64>().ok().map(collector::float);
    let Some(letter) = text.chars().next_back().filter(|letter| !letter.is_ascii_digit()) else { return plain(text) };
    let power = "kMGTPEZY".chars().position(|known| known == letter)?;
    let mantissa = text.strip_suffix(letter)?;
    let mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => plain(whole)? + plain(part)? / 10.24,
        None => plain(mantissa)?,
    };
    Some((mantissa * 1024_f64.powi(i32::try_from(power).ok()?.saturating_add(1))).trunc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_the_kernel_writes_them() {
        for (text, wanted) in [
            ("0", Some(0.0)),
            ("512", Some(512.0)),
            ("4.0k", Some(4096.0)),
            ("1.10k", Some(2024.0)),
            ("10.9M", Some(11_407_360.0)),
            ("2G", Some(2_147_483_648.0)),
            ("", None),
            ("k", None),
            ("1.5", None),
            ("1.k", None),
            ("-1k", None),
            ("1.5x", None),
            ("1é", None),
        ] {
            assert_eq!(parse_size(text), wanted, "{text:?}");
        }
        assert_eq!(parse_signed_size("-4.0k"), Some(-4096.0));
        assert_eq!(parse_signed_size("--4"), None);
    }

    #[test]
    fn a_cache_set_is_shown_with_its_devices() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = Bcache { roots: Roots { sysfs: dir.path().into(), ..Roots::default() } };
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Absent(_))));
        for (file, text) in [
            ("btree_cache_size", "1.5M\n"),
            ("internal/btree_read_average_duration_us", "1305\n"),
            ("congested", "much\n"),
            ("bdev0/dirty_data", "0\n"),
            ("bdev0/stats_total/cache_hits", "546\n"),
            (
                "bdev0/writeback_rate_debug",
                "rate:\t\t1.1M/sec\ndirty:\t\t20.4G\ntarget:\t\t20.4G\nproportional:\t-427.5k\nintegral:\t790.0k\n\
                 change:\t\t321.5k/sec\nnext io:\t17ms\n",
            ),
            ("cache0/written", "2.0G\n"),
            ("cache0/io_errors", "3\n"),
            ("cache_available_percent", "100\n"),
        ] {
            let path = dir.path().join("fs/bcache/u-1").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut families = Families::default();
        let error = collector.collect(&mut families).unwrap_err().to_string();
        assert!(error.ends_with("congested: \"much\" is not a size"), "{error}");
        let shown: Vec<String> = families
            .0
            .iter()
            .flat_map(|family| family.series.iter().map(move |series| (family, series)))
            .map(|(family, s)| format!("{}{{{}}} {}", family.name, s.labels.rendered(), s.value))
            .collect();
        assert_eq!(shown.len(), SET.len() - 1 + BACKING.len() + WRITEBACK.len() + CACHE.len());
        for wanted in [
            r#"node_bcache_cache_available_percent{uuid="u-1"} 100"#,
            r#"node_bcache_btree_read_average_duration_seconds{uuid="u-1"} 0.000001305"#,
            r#"node_bcache_cache_hits_total{uuid="u-1",backing_device="bdev0"} 546"#,
            r#"node_bcache_cache_readaheads_total{uuid="u-1",backing_device="bdev0"} 0"#,
            r#"node_bcache_writeback_rate{uuid="u-1",backing_device="bdev0"} 1150976"#,
            r#"node_bcache_writeback_rate_proportional_term{uuid="u-1",backing_device="bdev0"} -437748"#,
            r#"node_bcache_written_bytes_total{uuid="u-1",cache_device="cache0"} 2147483648"#,
        ] {
            assert!(shown.iter().any(|series| series == wanted), "{wanted} is not in {shown:#?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "-?[0-9]{0,30}(\\.[0-9]*)?[kMGx\\PC]?") {
            parse_signed_size(&text);
        }

        #[test]
        fn small_sizes_come_out_as_they_went_in(size: u32) {
            prop_assert_eq!(parse_size(&size.to_string()), Some(f64::from(size)));
        }
    }
}
