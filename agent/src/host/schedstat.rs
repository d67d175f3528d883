//! What the scheduler did on each CPU, from `/proc/schedstat` (Documentation/scheduler/sched-stats.rst): time that tasks
//! ran and waited, and how many turns they had. Kernels without CONFIG_SCHEDSTATS have no such file.

use std::path::PathBuf;

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, Settings, float, read};

pub struct Schedstat {
    path: PathBuf,
}

impl Schedstat {
    pub fn new(settings: &Settings) -> Self {
        Self { path: settings.roots.proc("schedstat") }
    }
}

impl Collector for Schedstat {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let text = read(&self.path).map_err(CollectError::or_absent)?;
        let mut problem = None;
        let mut cpus = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("cpu")) {
            match parse(line) {
                Some(cpu) if cpus.iter().all(|seen: &Turns| seen.cpu != cpu.cpu) => cpus.push(cpu),
                Some(_) => {}
                None => {
                    problem.get_or_insert_with(|| CollectError::odd(&self.path, format!("cannot read {line:?}")));
                }
            }
        }
        show(&cpus, out);
        problem.map_or(Ok(()), Err)
    }
}

#[derive(Debug, PartialEq)]
struct Turns<'a> {
    cpu: &'a str,
    running_ns: u64,
    waiting_ns: u64,
    timeslices: u64,
}

/// `cpuN` and nine numbers, of which the last three are shown. They have kept their places since version 14.
fn parse(line: &str) -> Option<Turns<'_>> {
    let mut words = line.split_ascii_whitespace();
    let cpu = words.next()?.strip_prefix("cpu")?;
    if cpu.is_empty() || !cpu.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut numbers = words.skip(6).map(|word| word.parse().ok());
    Some(Turns { cpu, running_ns: numbers.next()??, waiting_ns: numbers.next()??, timeslices: numbers.next()?? })
}

fn show(cpus: &[Turns<'_>], out: &mut Families) {
    let mut family = |name, help, value: fn(&Turns<'_>) -> f64| {
        let family = out.family(HostKind::Counter, name, help);
        for cpu in cpus {
            family.add(&[("cpu", cpu.cpu)], value(cpu));
        }
    };
    let help = "Time in which the CPU ran a task, in seconds.";
    family("node_schedstat_running_seconds_total", help, |cpu| float(cpu.running_ns) / 1e9);
    let help = "Time that tasks waited for this CPU, in seconds: of all waiting tasks together.";
    family("node_schedstat_waiting_seconds_total", help, |cpu| float(cpu.waiting_ns) / 1e9);
    family("node_schedstat_timeslices_total", "Turns that tasks had on the CPU.", |cpu| float(cpu.timeslices));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn versions_15_and_17() {
        let dir = tempfile::tempdir().unwrap();
        let mut schedstat = Schedstat::new(&Settings::below(dir.path()));
        let old = "version 15\ntimestamp 15819019232\ncpu0 49 0 35 25 38 24 2500000000 500000000 47\n\
                   domain0 00000000,00000003 212 210 186 186\ncpu12 1 0 1 1 1 1 1000000000 0 3\n";
        let new = "version 17\ntimestamp 4294942132\ncpu0 0 0 0 0 0 0 2500000000 500000000 47\n\
                   domain0 SMT 3 0 0 0 0\ncpu12 0 0 0 0 0 0 1000000000 0 3 8 9\n";
        for text in [old, new] {
            put(dir.path(), "proc/schedstat", text);
            let (out, ended) = seen_by(&mut schedstat);
            ended.unwrap();
            assert_eq!(out.value("node_schedstat_running_seconds_total", r#"cpu="0""#), Some(2.5));
            assert_eq!(out.value("node_schedstat_waiting_seconds_total", r#"cpu="0""#), Some(0.5));
            assert_eq!(out.value("node_schedstat_timeslices_total", r#"cpu="12""#), Some(3.0));
            assert_eq!(out.count("node_schedstat_timeslices_total"), 2);
        }
    }

    #[test]
    fn an_odd_line_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/schedstat", "cpu0 1 2 3\ncpux 1 1 1 1 1 1 1 1 1\ncpu1 0 0 0 0 0 0 1 1 7\n");
        let (out, ended) = seen_by(&mut Schedstat::new(&Settings::below(dir.path())));
        assert!(ended.unwrap_err().to_string().contains("cpu0 1 2 3"));
        assert_eq!(out.value("node_schedstat_timeslices_total", r#"cpu="1""#), Some(7.0));
        assert_eq!(out.count("node_schedstat_timeslices_total"), 1);
    }

    #[test]
    fn a_kernel_without_it_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let (_, ended) = seen_by(&mut Schedstat::new(&Settings::below(dir.path())));
        assert!(matches!(ended, Err(CollectError::Absent(_))));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".*", rest in "[ 0-9x]{0,40}") {
            parse(&line);
            parse(&format!("cpu{rest}"));
        }

        #[test]
        fn what_is_written_is_read(running_ns: u64, waiting_ns: u64, timeslices: u64) {
            let line = format!("cpu7 1 0 2 3 4 5 {running_ns} {waiting_ns} {timeslices}");
            prop_assert_eq!(parse(&line), Some(Turns { cpu: "7", running_ns, waiting_ns, timeslices }));
        }
    }
}
