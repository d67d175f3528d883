//! Errors that memory controllers corrected, and could not correct: `/sys/devices/system/edac/mc`, described in
//! `Documentation/admin-guide/ras.rst`.
//!
//! Rows of chips are left out where the kernel has them no more (it names DIMMs instead).

use std::path::Path;

use super::collector::{self, CollectError, Collector, Families, Roots, Settings, float, parse_u64};
use crate::model::host::HostKind;

pub struct Edac {
    roots: Roots,
}

struct Errors {
    controller: (&'static str, &'static str),
    csrow: (&'static str, &'static str),
}

const CORRECTABLE: Errors = Errors {
    controller: ("node_edac_correctable_errors_total", "Memory errors that the controller corrected."),
    csrow: ("node_edac_csrow_correctable_errors_total", "Memory errors of the row that were corrected."),
};
const UNCORRECTABLE: Errors = Errors {
    controller: ("node_edac_uncorrectable_errors_total", "Memory errors that the controller could not correct."),
    csrow: ("node_edac_csrow_uncorrectable_errors_total", "Memory errors of the row that could not be corrected."),
};

impl Edac {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Edac {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let controllers = self.roots.sys("devices/system/edac/mc");
        let mut reading = Reading { out, error: None };
        for (name, number) in numbered(&controllers, "mc").map_err(CollectError::or_absent)? {
            reading.controller(&controllers.join(name), &number);
        }
        reading.error.map_or(Ok(()), Err)
    }
}

/// The entries `NAME` and a number, and that number.
fn numbered(dir: &Path, name: &str) -> Result<Vec<(String, String)>, CollectError> {
    let number = |entry: &str| entry.strip_prefix(name).map(str::to_owned);
    let is_number = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let entries = collector::entries(dir)?;
    Ok(entries.into_iter().filter_map(|entry| number(&entry).filter(is_number).map(|number| (entry, number))).collect())
}

struct Reading<'a> {
    out: &'a mut Families,
    error: Option<CollectError>,
}

impl Reading<'_> {
    fn controller(&mut self, dir: &Path, controller: &str) {
        let labels = [("controller", controller)];
        let unknown = [("controller", controller), ("csrow", "unknown")];
        self.count(&dir.join("ce_count"), CORRECTABLE.controller, &labels);
        self.count(&dir.join("ce_noinfo_count"), CORRECTABLE.csrow, &unknown);
        self.count(&dir.join("ue_count"), UNCORRECTABLE.controller, &labels);
        self.count(&dir.join("ue_noinfo_count"), UNCORRECTABLE.csrow, &unknown);
        for (name, csrow) in numbered(dir, "csrow").unwrap_or_default() {
            let labels = [("controller", controller), ("csrow", &csrow)];
            let csrow = dir.join(name);
            self.count(&csrow.join("ce_count"), CORRECTABLE.csrow, &labels);
            self.count(&csrow.join("ue_count"), UNCORRECTABLE.csrow, &labels);
        }
    }

    fn count(&mut self, path: &Path, (name, help): (&'static str, &'static str), labels: &[(&str, &str)]) {
        let number = collector::read_value(path).and_then(|text| {
            parse_u64(&text).ok_or_else(|| CollectError::odd(path, format!("{text:?} is not a number")))
        });
        match number {
            Ok(number) => self.out.family(HostKind::Counter, name, help).add(labels, float(number)),
            Err(error) => self.error = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(families: &Families) -> Vec<String> {
        let mut shown: Vec<String> = families
            .0
            .iter()
            .flat_map(|family| family.series.iter().map(move |series| (family, series)))
            .map(|(family, series)| format!("{} {} {}", family.name, series.labels.rendered(), series.value))
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn controllers_and_their_rows_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = Edac { roots: Roots { sysfs: dir.path().into(), ..Roots::default() } };
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Absent(_))));

        let mc = dir.path().join("devices/system/edac/mc");
        for (file, text) in [
            ("mc0/ce_count", "1\n"),
            ("mc0/ce_noinfo_count", "2\n"),
            ("mc0/ue_count", "3\n"),
            ("mc0/ue_noinfo_count", "4\n"),
            ("mc0/csrow0/ce_count", "5\n"),
            ("mc0/csrow0/ue_count", "6\n"),
            ("mc0/dimm0/dimm_ce_count", "7\n"),
            ("mc12/ce_count", "none\n"),
            ("mc12/ce_noinfo_count", "0\n"),
            ("mc12/ue_count", "8\n"),
            ("mc12/ue_noinfo_count", "0\n"),
            ("power/ce_count", "9\n"),
        ] {
            let path = mc.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut families = Families::default();
        let error = collector.collect(&mut families).unwrap_err().to_string();
        assert!(error.ends_with("mc12/ce_count: \"none\" is not a number"), "{error}");
        assert_eq!(
            shown(&families),
            [
                r#"node_edac_correctable_errors_total controller="0" 1"#,
                r#"node_edac_csrow_correctable_errors_total controller="0",csrow="0" 5"#,
                r#"node_edac_csrow_correctable_errors_total controller="0",csrow="unknown" 2"#,
                r#"node_edac_csrow_correctable_errors_total controller="12",csrow="unknown" 0"#,
                r#"node_edac_csrow_uncorrectable_errors_total controller="0",csrow="0" 6"#,
                r#"node_edac_csrow_uncorrectable_errors_total controller="0",csrow="unknown" 4"#,
                r#"node_edac_csrow_uncorrectable_errors_total controller="12",csrow="unknown" 0"#,
                r#"node_edac_uncorrectable_errors_total controller="0" 3"#,
                r#"node_edac_uncorrectable_errors_total controller="12" 8"#,
            ]
        );
    }
}
