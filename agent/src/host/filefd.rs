//! Open files of the whole host: `fs.file-nr`, described in `Documentation/admin-guide/sysctl/fs.rst`.
//!
//! Its second number is zero since Linux 2.6 and is not shown.

use super::collector::{self, CollectError, Collector, Families, Roots, Settings};

pub struct Filefd {
    roots: Roots,
}

impl Filefd {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Filefd {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("sys/fs/file-nr");
        let text = collector::read(&path)?;
        let Some((allocated, maximum)) = parse(&text) else {
            return Err(CollectError::odd(path, format!("{:?} is not three numbers", text.trim())));
        };
        out.gauge("node_filefd_allocated", "File handles that the kernel has given out.", allocated);
        out.gauge("node_filefd_maximum", "File handles that the kernel may give out.", maximum);
        Ok(())
    }
}

/// Handles in use and their limit. The limit is beyond what a double holds exactly on hosts that set none.
fn parse(text: &str) -> Option<(f64, f64)> {
    let mut words = text.split_ascii_whitespace();
    let allocated: u64 = words.next()?.parse().ok()?;
    let _: u64 = words.next()?.parse().ok()?;
    let maximum: u64 = words.next()?.parse().ok()?;
    Some((collector::float(allocated), collector::float(maximum)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn handles_are_read() {
        assert_eq!(parse("1024\t0\t1631329\n"), Some((1024.0, 1_631_329.0)));
        assert_eq!(parse("1632\t0\t9223372036854775807\n"), Some((1632.0, 9_223_372_036_854_775_807.0)));
        for odd in ["", "1 2", "a 0 3", "1 0 -3"] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn this_machine_has_them() {
        let mut families = Families::default();
        Filefd { roots: Roots::default() }.collect(&mut families).unwrap();
        let names: Vec<&str> = families.0.iter().map(|family| &*family.name).collect();
        assert_eq!(names, ["node_filefd_allocated", "node_filefd_maximum"]);
    }

    #[test]
    fn an_odd_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = Filefd { roots: Roots { procfs: dir.path().into(), ..Roots::default() } };
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Read { .. })));
        std::fs::create_dir_all(dir.path().join("sys/fs")).unwrap();
        std::fs::write(dir.path().join("sys/fs/file-nr"), "12 0\n").unwrap();
        let error = collector.collect(&mut Families::default()).unwrap_err().to_string();
        assert!(error.ends_with("file-nr: \"12 0\" is not three numbers"), "{error}");
    }

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(allocated: u32, maximum: u32) {
            let text = format!("{allocated}\t0\t{maximum}\n");
            prop_assert_eq!(parse(&text), Some((f64::from(allocated), f64::from(maximum))));
        }

        #[test]
        fn any_text_is_read(text in "[\\PC\t\n]*") {
            let _ = parse(&text);
        }
    }
}
