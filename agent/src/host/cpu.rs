//! What the CPUs did: time by mode from `/proc/stat` (Documentation/filesystems/proc.rst), throttling and isolation from
//! `/sys/devices/system/cpu` (Documentation/ABI/testing/sysfs-devices-system-cpu).
//!
//! Counters never go back, although the kernel's idle and iowait do by some ticks; those of a CPU that was plugged in
//! anew begin again. A CPU that is offline has no line in `/proc/stat`. Below the last one that is online it is shown all
//! the same, as node_exporter 1.5 does: with what it last had, which is zero if it was never seen. `node_cpu_info` is
//! left out: node_exporter has it off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::model::host::HostKind;

use super::collector::{
    CollectError, Collector, Families, FirstFault, Settings, entries, float, parse_u64, read, read_value,
};

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// They come after [`MODES`] in a line, and are part of user and nice as well.
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const IDLE: usize = 3;
/// `USER_HZ`: 100 on every architecture that has a Rust standard library.
const TICKS_PER_SECOND: f64 = 100.0;
/// Idle time that falls by 3 s or more is that of a CPU which was plugged in anew: its counters begin again.
const REPLUGGED: u64 = 300;
/// No kernel is built for more (x86 allows 8192).
const MAX_CPUS: usize = 1 << 14;
/// Where the kernel does not tell how many are possible. It bounds what an odd line may cost: all CPUs below the last
/// one are shown.
const MAX_UNTOLD: usize = 1 << 10;

/// By mode.
type Ticks = [u64; MODES.len() + GUEST_MODES.len()];

pub struct Cpu {
    stat: PathBuf,
    devices: PathBuf,
    /// By number, the highest values until now.
    seen: Vec<Ticks>,
    /// How many CPUs there may be. It is set at boot; None until it was read.
    possible: Option<usize>,
    /// It is set at boot, too.
    isolated: Option<BTreeSet<usize>>,
    /// Package and core, by the name of the CPU's directory. They stay.
    places: BTreeMap<String, (u64, u64)>,
}

impl Cpu {
    pub fn new(settings: &Settings) -> Self {
        Self {
            stat: settings.roots.proc("stat"),
            devices: settings.roots.sys("devices/system/cpu"),
            seen: Vec::new(),
            possible: None,
            isolated: None,
            places: BTreeMap::new(),
        }
    }

    fn times(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let possible = *self.possible.get_or_insert_with(|| possible(&self.devices.join("possible")));
        let parsed = parse(&read(&self.stat)?, possible);
        merge(&mut self.seen, &parsed.cpus);
        let shown: Vec<(String, &Ticks)> =
            self.seen.iter().take(parsed.cpus.len()).enumerate().map(|(cpu, ticks)| (cpu.to_string(), ticks)).collect();
        let family =
            out.family(HostKind::Counter, "node_cpu_seconds_total", "Time the CPUs spent in each mode, in seconds.");
        for (cpu, ticks) in &shown {
            for (mode, ticks) in MODES.iter().zip(*ticks) {
                family.add(&[("cpu", cpu), ("mode", mode)], seconds(*ticks));
            }
        }
        let help = "Time the CPUs spent in guests (virtual machines), in seconds; it is part of user and nice too.";
        let family = out.family(HostKind::Counter, "node_cpu_guest_seconds_total", help);
        for (cpu, ticks) in &shown {
            for (mode, ticks) in GUEST_MODES.iter().zip(ticks.iter().skip(MODES.len())) {
                family.add(&[("cpu", cpu), ("mode", mode)], seconds(*ticks));
            }
        }
        parsed.problem.map_or(Ok(()), |problem| Err(CollectError::odd(&self.stat, problem)))
    }

    fn isolation(&mut self, out: &mut Families) -> Result<(), CollectError> {
        if self.isolated.is_none() {
            self.isolated = Some(isolated(&self.devices.join("isolated"))?);
        }
        let help = "1 for each CPU that the scheduler leaves alone (isolcpus).";
        let family = out.family(HostKind::Gauge, "node_cpu_isolated", help);
        for cpu in self.isolated.iter().flatten() {
            family.add(&[("cpu", &cpu.to_string())], 1.0);
        }
        Ok(())
    }

    fn throttles(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let names = match entries(&self.devices).map_err(CollectError::or_absent) {
            Err(CollectError::Absent(_)) => return Ok(()),
            names => names?,
        };
        let mut packages: BTreeMap<u64, u64> = BTreeMap::new();
        let mut cores: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for name in names.iter().filter(|name| is_cpu(name)) {
            let Some((package, core)) = self.place(name) else { continue };
            let counts = self.devices.join(name).join("thermal_throttle");
            // Threads of a core count the same; so do cores of a package.
            first(&mut cores, (package, core), &counts.join("core_throttle_count"));
            first(&mut packages, package, &counts.join("package_throttle_count"));
        }
        let help = "How often the core was throttled because of heat.";
        let family = out.family(HostKind::Counter, "node_cpu_core_throttles_total", help);
        for ((package, core), count) in cores {
            family.add(&[("core", &core.to_string()), ("package", &package.to_string())], float(count));
        }
        let help = "How often the package was throttled because of heat.";
        let family = out.family(HostKind::Counter, "node_cpu_package_throttles_total", help);
        for (package, count) in packages {
            family.add(&[("package", &package.to_string())], float(count));
        }
        Ok(())
    }

    /// Package and core of a CPU; None where the kernel does not say, or says -1.
    fn place(&mut self, name: &str) -> Option<(u64, u64)> {
        if let Some(place) = self.places.get(name) {
            return Some(*place);
        }
        let topology = self.devices.join(name).join("topology");
        let place = (count(&topology.join("physical_package_id"))?, count(&topology.join("core_id"))?);
        self.places.insert(name.to_owned(), place);
        Some(place)
    }
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let mut faults = FirstFault::default();
        faults.keep(self.times(out));
        faults.keep(self.isolation(out));
        faults.keep(self.throttles(out));
        faults.into_result()
    }
}

/// Whether a directory of `devices/system/cpu` is that of a CPU.
pub(super) fn is_cpu(name: &str) -> bool {
    name.strip_prefix("cpu").is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

fn seconds(ticks: u64) -> f64 {
    float(ticks) / TICKS_PER_SECOND
}

fn count(path: &Path) -> Option<u64> {
    parse_u64(&read_value(path).ok()?)
}

fn first<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, path: &Path) {
    if !counts.contains_key(&key)
        && let Some(count) = count(path)
    {
        counts.insert(key, count);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Parsed {
    /// By number; None where the CPU has no line.
    cpus: Vec<Option<Ticks>>,
    /// Of the first odd line, which is left out.
    problem: Option<String>,
}

/// The lines `cpuN user nice system ...` of `/proc/stat`. Old kernels have fewer columns, newer ones may have more. That
/// of a CPU which is not possible is odd.
fn parse(text: &str, possible: usize) -> Parsed {
    let mut parsed = Parsed::default();
    for line in text.lines().filter(|line| is_cpu(line)) {
        let Some((cpu, ticks)) = parse_line(line).filter(|(cpu, _)| *cpu < possible) else {
            parsed.problem.get_or_insert_with(|| format!("cannot read {line:?}"));
            continue;
        };
        if parsed.cpus.len() <= cpu {
            parsed.cpus.resize(cpu + 1, None);
        }
        if let Some(place) = parsed.cpus.get_mut(cpu) {
            *place = Some(ticks);
        }
    }
    parsed
}

fn parse_line(line: &str) -> Option<(usize, Ticks)> {
    let mut fields = line.split_ascii_whitespace();
    let cpu = fields.next()?.strip_prefix("cpu")?.parse().ok()?;
    let mut ticks = Ticks::default();
    for (place, field) in ticks.iter_mut().zip(fields) {
        *place = field.parse().ok()?;
    }
    Some((cpu, ticks))
}

fn merge(seen: &mut Vec<Ticks>, cpus: &[Option<Ticks>]) {
    if seen.len() < cpus.len() {
        seen.resize(cpus.len(), Ticks::default());
    }
    for (seen, new) in seen.iter_mut().zip(cpus) {
        let Some(new) = new else { continue };
        if let (Some(before), Some(after)) = (seen.get(IDLE), new.get(IDLE))
            && before.saturating_sub(*after) >= REPLUGGED
        {
            *seen = Ticks::default();
        }
        for (highest, value) in seen.iter_mut().zip(new) {
            *highest = (*highest).max(*value);
        }
    }
}

/// One more than the highest number that a CPU may have.
fn possible(path: &Path) -> usize {
    let highest = read_value(path).ok().and_then(|list| parse_list(&list)?.last().copied());
    highest.map_or(MAX_UNTOLD, |highest| highest.saturating_add(1))
}

/// None are isolated where the kernel is too old to say (before 4.2).
fn isolated(path: &Path) -> Result<BTreeSet<usize>, CollectError> {
    match read_value(path).map_err(CollectError::or_absent) {
        Ok(list) => parse_list(&list).ok_or_else(|| CollectError::odd(path, format!("{list:?} is no list of CPUs"))),
        Err(CollectError::Absent(_)) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// A list of CPUs as the kernel writes it: `1,3-5,9`.
fn parse_list(list: &str) -> Option<BTreeSet<usize>> {
    let mut cpus = BTreeSet::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        if to >= MAX_CPUS {
            return None;
        }
        cpus.extend(from..=to);
    }
    Some(cpus)
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
