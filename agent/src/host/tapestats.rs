//! What SCSI tape drives read and wrote: `/sys/class/scsi_tape/stN/stats`, described in `Documentation/scsi/st.rst` and
//! `Documentation/ABI/testing/sysfs-class-scsi_tape`.
//!
//! Each drive has more names there, for its modes and for keeping the tape where it is: they count the same and are
//! left out.

use super::collector::{self, CollectError, Collector, Families, Filter, Roots, Settings, float, parse_u64};
use crate::model::host::HostKind::{self, Counter, Gauge};

pub struct Tapestats {
    roots: Roots,
    filter: Filter,
}

const NANOSECOND: f64 = 1e-9;

/// File, kind, name, what is said of it, and what its unit is of the metric's.
const FILES: [(&str, HostKind, &str, &str, f64); 10] = [
    ("in_flight", Gauge, "node_tape_io_now", "Requests under way.", 1.0),
    (
        "io_ns",
        Counter,
        "node_tape_io_time_seconds_total",
        "Time spent waiting for the drive, for anything.",
        NANOSECOND,
    ),
    ("other_cnt", Counter, "node_tape_io_others_total", "Requests that neither read nor write.", 1.0),
    ("read_byte_cnt", Counter, "node_tape_read_bytes_total", "Bytes that were read.", 1.0),
    ("read_cnt", Counter, "node_tape_reads_completed_total", "Requests to read.", 1.0),
    ("read_ns", Counter, "node_tape_read_time_seconds_total", "Time spent waiting for reads.", NANOSECOND),
    ("resid_cnt", Counter, "node_tape_residual_total", "Requests that moved fewer bytes than were asked for.", 1.0),
    ("write_byte_cnt", Counter, "node_tape_written_bytes_total", "Bytes that were written.", 1.0),
    ("write_cnt", Counter, "node_tape_writes_completed_total", "Requests to write.", 1.0),
    ("write_ns", Counter, "node_tape_write_time_seconds_total", "Time spent waiting for writes.", NANOSECOND),
];

impl Tapestats {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), filter: settings.filter("tapestats") }
    }
}

impl Collector for Tapestats {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/scsi_tape");
        let mut result = Ok(());
        for device in collector::entries(&class).map_err(CollectError::or_absent)? {
            if !is_drive(&device) || !self.filter.allows(&device) {
                continue;
            }
            for (file, kind, name, help, unit) in FILES {
                let path = class.join(&device).join("stats").join(file);
                let number = collector::read_value(&path).and_then(|text| {
                    parse_u64(&text).ok_or_else(|| CollectError::odd(&path, format!("{text:?} is not a number")))
                });
                match number {
                    Ok(number) => out.family(kind, name, help).add(&[("device", &device)], float(number) * unit),
                    Err(error) => result = Err(error),
                }
            }
        }
        result
    }
}

/// `st` and a number: neither `nst0` nor `st0a`.
fn is_drive(name: &str) -> bool {
    name.strip_prefix("st").is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_are_told_from_their_other_names() {
        for (name, wanted) in
            [("st0", true), ("st12", true), ("nst0", false), ("st0a", false), ("st", false), ("sg0", false)]
        {
            assert_eq!(is_drive(name), wanted, "{name}");
        }
    }

    #[test]
    fn drives_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { sysfs: dir.path().into(), ..Roots::default() };
        let exclude = Some(regex::Regex::new("^st9$").unwrap());
        let mut collector = Tapestats { roots, filter: Filter { include: None, exclude } };
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Absent(_))));

        for device in ["st0", "st0a", "nst0", "st1", "st9"] {
            let stats = dir.path().join("class/scsi_tape").join(device).join("stats");
            std::fs::create_dir_all(&stats).unwrap();
            for (number, (file, ..)) in FILES.into_iter().enumerate() {
                std::fs::write(stats.join(file), format!("{number}000000000\n")).unwrap();
            }
        }
        std::fs::write(dir.path().join("class/scsi_tape/st1/stats/io_ns"), "long\n").unwrap();
        let mut families = Families::default();
        let error = collector.collect(&mut families).unwrap_err().to_string();
        assert!(error.ends_with("st1/stats/io_ns: \"long\" is not a number"), "{error}");
        let shown: Vec<(&str, &str, f64)> = families
            .0
            .iter()
            .flat_map(|family| family.series.iter().map(|s| (&*family.name, s.labels.rendered(), s.value)))
            .collect();
        let (st0, st1) = (r#"device="st0""#, r#"device="st1""#);
        assert_eq!(
            shown.get(..5).unwrap(),
            [
                ("node_tape_io_now", st0, 0.0),
                ("node_tape_io_now", st1, 0.0),
                ("node_tape_io_time_seconds_total", st0, 1.0),
                ("node_tape_io_others_total", st0, 2e9),
                ("node_tape_io_others_total", st1, 2e9),
            ]
        );
        assert_eq!(shown.last(), Some(&("node_tape_write_time_seconds_total", st1, 9.0)));
        assert_eq!(shown.len(), 19);
    }
}
