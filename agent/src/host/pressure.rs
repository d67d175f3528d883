//! Pressure stall information: how long tasks waited for CPU, memory and I/O, from `/proc/pressure`
//! (Documentation/accounting/psi.rst). Only the totals are shown: averages can be had from them, over any time.
//!
//! Kernels before 4.20, and those that have it off (`psi=0`), have nothing to show.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::collector::{CollectError, Collector, Families, FirstFault, Settings, float, read};

struct Resource {
    file: &'static str,
    /// Name and help of the family for `some`: at least one task waited.
    waiting: (&'static str, &'static str),
    /// The same for `full`: all tasks waited. A host as a whole has none for CPU.
    stalled: Option<(&'static str, &'static str)>,
}

const RESOURCES: [Resource; 3] = [
    Resource {
        file: "pressure/cpu",
        waiting: ("node_pressure_cpu_waiting_seconds_total", "Time in which some task waited for a CPU, in seconds."),
        stalled: None,
    },
    Resource {
        file: "pressure/io",
        waiting: ("node_pressure_io_waiting_seconds_total", "Time in which some task waited for I/O, in seconds."),
        stalled: Some((
            "node_pressure_io_stalled_seconds_total",
            "Time in which every task waited for I/O, in seconds.",
        )),
    },
    Resource {
        file: "pressure/memory",
        waiting: (
            "node_pressure_memory_waiting_seconds_total",
            "Time in which some task waited for memory, in seconds.",
        ),
        stalled: Some((
            "node_pressure_memory_stalled_seconds_total",
            "Time in which every task waited for memory, in seconds.",
        )),
    },
];

pub struct Pressure {
    paths: [PathBuf; RESOURCES.len()],
}

impl Pressure {
    pub fn new(settings: &Settings) -> Self {
        Self { paths: RESOURCES.map(|resource| settings.roots.proc(resource.file)) }
    }
}

impl Collector for Pressure {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let mut faults = FirstFault::default();
        for (resource, path) in RESOURCES.iter().zip(&self.paths) {
            let text = match read(path) {
                // Where one of them is not there, none is.
                Err(error) if is_off(&error) => return Err(CollectError::Absent(format!("no pressure: {error}"))),
                text => faults.keep(text),
            };
            let Some(text) = text else { continue };
            let totals = parse(&text);
            if let Some(some) = totals.some {
                out.counter(resource.waiting.0, resource.waiting.1, seconds(some));
            } else {
                faults.keep::<()>(Err(CollectError::odd(path, "no total after \"some\"")));
            }
            if let (Some((name, help)), Some(full)) = (resource.stalled, totals.full) {
                out.counter(name, help, seconds(full));
            }
        }
        faults.into_result()
    }
}

/// Not built in, or built in and off: then reading fails with EOPNOTSUPP.
pub(super) fn is_off(error: &CollectError) -> bool {
    matches!(error, CollectError::Read { source, .. }
        if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::Unsupported))
}

/// Microseconds since boot.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub some: Option<u64>,
    pub full: Option<u64>,
}

/// Lines such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; other lines are for what is to come.
pub(super) fn parse(text: &str) -> Totals {
    let mut totals = Totals::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let place = match words.next() {
            Some("some") => &mut totals.some,
            Some("full") => &mut totals.full,
            _ => continue,
        };
        *place = words.find_map(|word| word.strip_prefix("total=")?.parse().ok());
    }
    totals
}

pub(super) fn seconds(microseconds: u64) -> f64 {
    float(microseconds) / 1e6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    const SOME: &str = "some avg10=0.64 avg60=1.14 avg300=1.62 total=889274932\n";
    const FULL: &str = "full avg10=0.00 avg60=0.00 avg300=0.00 total=25039775\n";

    #[test]
    fn totals_in_seconds() {
        let dir = tempfile::tempdir().unwrap();
        // Before 5.13 the file of the CPU had no second line; since then it is zero for the host.
        put(dir.path(), "proc/pressure/cpu", SOME);
        put(dir.path(), "proc/pressure/io", &format!("{SOME}{FULL}"));
        put(dir.path(), "proc/pressure/memory", &format!("{SOME}{FULL}"));
        let (out, ended) = seen_by(&mut Pressure::new(&Settings::below(dir.path())));
        ended.unwrap();
        assert_eq!(out.0.len(), 5);
        assert_eq!(out.value("node_pressure_cpu_waiting_seconds_total", ""), Some(889.274_932));
        assert_eq!(out.value("node_pressure_io_stalled_seconds_total", ""), Some(25.039_775));
        assert_eq!(out.value("node_pressure_memory_waiting_seconds_total", ""), Some(889.274_932));
    }

    #[test]
    fn a_kernel_without_pressure_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let (out, ended) = seen_by(&mut Pressure::new(&Settings::below(dir.path())));
        assert!(matches!(ended, Err(CollectError::Absent(_))));
        assert!(out.0.is_empty());
        let off = CollectError::Read { path: "cpu".into(), source: std::io::Error::from_raw_os_error(95) };
        assert!(is_off(&off), "EOPNOTSUPP");
    }

    #[test]
    fn an_odd_file_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/pressure/cpu", "some avg10=0 total=x\n");
        put(dir.path(), "proc/pressure/io", &format!("{SOME}later things=5\n"));
        put(dir.path(), "proc/pressure/memory", FULL);
        let (out, ended) = seen_by(&mut Pressure::new(&Settings::below(dir.path())));
        assert!(ended.unwrap_err().to_string().contains("pressure/cpu"));
        let names: Vec<&str> = out.0.iter().map(|family| &*family.name).collect();
        assert_eq!(names, ["node_pressure_io_waiting_seconds_total", "node_pressure_memory_stalled_seconds_total"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*", rest in "[ a-z0-9=.]{0,40}") {
            parse(&text);
            parse(&format!("some{rest}\nfull{rest}"));
        }

        #[test]
        fn what_is_written_is_read(some: u64, full: u64) {
            let text = format!("some avg10=0.00 avg60=1.00 avg300=0.22 total={some}\nfull avg10=0.00 total={full}\n");
            prop_assert_eq!(parse(&text), Totals { some: Some(some), full: Some(full) });
        }
    }
}
