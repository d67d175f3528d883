//! Memory, from `/proc/meminfo` (Documentation/filesystems/proc.rst): every line, whatever its name, because kernels
//! keep adding some. What has a unit is in kB there, and in bytes here.
//!
//! `procfs::Meminfo` would lose the lines that it does not know. An odd line costs itself.

use std::path::PathBuf;

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, Settings, float, is_metric_name, read};

pub struct Meminfo {
    path: PathBuf,
}

impl Meminfo {
    pub fn new(settings: &Settings) -> Self {
        Self { path: settings.roots.proc("meminfo") }
    }
}

impl Collector for Meminfo {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let text = read(&self.path)?;
        let mut problem = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Some((field, value)) = parse(line) else {
                problem.get_or_insert_with(|| CollectError::odd(&self.path, format!("cannot read {line:?}")));
                continue;
            };
            let kind = if field.ends_with("_total") { HostKind::Counter } else { HostKind::Gauge };
            let help = format!("The field {field} of /proc/meminfo.");
            let family = out.family(kind, format!("node_memory_{field}"), help);
            if family.series.is_empty() {
                family.add(&[], value);
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

/// `Active(anon):  12 kB` is the field `Active_anon_bytes`, `HugePages_Free:  0` has no unit.
fn parse(line: &str) -> Option<(String, f64)> {
    let mut fields = line.split_ascii_whitespace();
    let name = fields.next()?.strip_suffix(':').filter(|name| !name.is_empty())?;
    let value: u64 = fields.next()?.parse().ok()?;
    let mut field = match name.split_once('(') {
        Some((before, rest)) => {
            let (inside, after) = rest.rsplit_once(')')?;
            format!("{before}_{inside}{after}")
        }
        None => name.to_owned(),
    };
    let value = match (fields.next(), fields.next()) {
        (None, _) => float(value),
        (Some("kB"), None) => {
            field.push_str("_bytes");
            float(value) * 1024.0
        }
        _ => return None,
    };
    is_metric_name(&field).then_some((field, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn fields_of_several_kernels() {
        let cases = [
            ("MemTotal:        4028712 kB", Some(("MemTotal_bytes", 4_028_712.0 * 1024.0))),
            ("Active(anon):      12 kB", Some(("Active_anon_bytes", 12_288.0))),
            ("HugePages_Total:       3", Some(("HugePages_Total", 3.0))),
            ("DirectMap1G:     2097152 kB", Some(("DirectMap1G_bytes", 2_147_483_648.0))),
            ("SecPageTables:         0 kB", Some(("SecPageTables_bytes", 0.0))),
            ("        total:    used:    free:", None),
            ("Mem:  64446464 60000000 4446464", None),
            ("MemFree 12 kB", None),
            ("MemFree: -1 kB", None),
            ("MemFree: 1 MB", None),
            ("Odd-name: 1 kB", None),
            ("Half(open: 1 kB", None),
        ];
        for (line, wanted) in cases {
            let wanted = wanted.map(|(field, value): (&str, f64)| (field.to_owned(), value));
            assert_eq!(parse(line), wanted, "{line}");
        }
    }

    #[test]
    fn an_odd_line_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/meminfo", "MemTotal: 2 kB\n\nwhat is this\nMemFree: 1 kB\nMemFree: 7 kB\n");
        let (out, ended) = seen_by(&mut Meminfo::new(&Settings::below(dir.path())));
        assert!(ended.unwrap_err().to_string().contains("what is this"));
        assert_eq!(out.value("node_memory_MemTotal_bytes", ""), Some(2048.0));
        assert_eq!(out.value("node_memory_MemFree_bytes", ""), Some(1024.0));
        assert_eq!(out.count("node_memory_MemFree_bytes"), 1);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".*", inside in "[()a-z:]{0,12}") {
            parse(&line);
            parse(&format!("{inside}: 1 kB"));
        }

        #[test]
        fn what_is_written_is_read(name in "[A-Z][A-Za-z0-9_]{0,20}", kilobytes in 0_u64..1 << 40) {
            let wanted = Some((format!("{name}_bytes"), float(kilobytes) * 1024.0));
            prop_assert_eq!(parse(&format!("{name}:   {kilobytes} kB")), wanted);
        }
    }
}
