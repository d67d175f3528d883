//! Counts of the kernel as a whole, from `/proc/stat` (Documentation/filesystems/proc.rst). The lines of the CPUs are
//! the collector `cpu`'s; interrupts by number and soft interrupts are left out, as node_exporter has them off.

use std::path::PathBuf;

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, Settings, float, read};

struct Field {
    /// The line's first word.
    word: &'static str,
    kind: HostKind,
    name: &'static str,
    help: &'static str,
}

const FIELDS: [Field; 6] = [
    Field {
        word: "intr",
        kind: HostKind::Counter,
        name: "node_intr_total",
        help: "Interrupts that were served since boot.",
    },
    Field {
        word: "ctxt",
        kind: HostKind::Counter,
        name: "node_context_switches_total",
        help: "Context switches since boot.",
    },
    Field {
        word: "processes",
        kind: HostKind::Counter,
        name: "node_forks_total",
        help: "Processes and threads that were started since boot.",
    },
    Field {
        word: "btime",
        kind: HostKind::Gauge,
        name: "node_boot_time_seconds",
        help: "When the host booted, in seconds since the Unix epoch.",
    },
    Field {
        word: "procs_running",
        kind: HostKind::Gauge,
        name: "node_procs_running",
        help: "Processes that run or could run.",
    },
    Field {
        word: "procs_blocked",
        kind: HostKind::Gauge,
        name: "node_procs_blocked",
        help: "Processes that wait for I/O.",
    },
];

pub struct Stat {
    path: PathBuf,
}

impl Stat {
    pub fn new(settings: &Settings) -> Self {
        Self { path: settings.roots.proc("stat") }
    }
}

impl Collector for Stat {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let text = read(&self.path)?;
        let mut problem = None;
        for line in text.lines() {
            let Some((field, value)) = parse(line) else { continue };
            let Some(value) = value else {
                let odd = || CollectError::odd(&self.path, format!("the line {:?} has no count", field.word));
                problem.get_or_insert_with(odd);
                continue;
            };
            let family = out.family(field.kind, field.name, field.help);
            if family.series.is_empty() {
                family.add(&[], float(value));
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

/// Which field a line has, and its first number, which is the total where more follow.
fn parse(line: &str) -> Option<(&'static Field, Option<u64>)> {
    let mut words = line.split_ascii_whitespace();
    let word = words.next()?;
    let field = FIELDS.iter().find(|field| field.word == word)?;
    Some((field, words.next().and_then(|value| value.parse().ok())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    fn seen(text: &str) -> (Families, Result<(), CollectError>) {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/stat", text);
        seen_by(&mut Stat::new(&Settings::below(dir.path())))
    }

    #[test]
    fn counts_of_the_kernel() {
        let (out, ended) = seen(
            "cpu  10 0 0 0\ncpu0 10 0 0 0\nintr 421 0 9 0 412\nctxt 777\nbtime 1790000000\nprocesses 31\n\
             procs_running 2\nprocs_blocked 1\nsoftirq 5 1 1 1 1 1\n",
        );
        ended.unwrap();
        let wanted = [421.0, 777.0, 31.0, 1_790_000_000.0, 2.0, 1.0];
        for (field, wanted) in FIELDS.iter().zip(wanted) {
            assert_eq!(out.value(field.name, ""), Some(wanted), "{}", field.word);
        }
        assert_eq!(out.0.len(), FIELDS.len());
    }

    #[test]
    fn a_container_that_shows_less_has_less() {
        // As lxcfs and gVisor show it.
        let (out, ended) = seen("cpu  10 0 0 0\nintr 0\nctxt 0\nbtime 1790000000\n");
        ended.unwrap();
        assert_eq!(out.value("node_context_switches_total", ""), Some(0.0));
        assert_eq!(out.value("node_procs_running", ""), None);
    }

    #[test]
    fn an_odd_line_costs_itself() {
        let (out, ended) = seen("intr\nctxt x\nbtime 5\nbtime 6\n");
        assert!(ended.unwrap_err().to_string().contains("intr"));
        assert_eq!(out.0.len(), 1);
        assert_eq!(out.value("node_boot_time_seconds", ""), Some(5.0));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".*", rest in "[ 0-9x-]{0,30}") {
            parse(&line);
            parse(&format!("intr{rest}"));
        }
    }
}
