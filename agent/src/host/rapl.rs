//! Energy that CPUs and memory used, from `/sys/class/powercap` (Documentation/power/powercap/powercap.rst).
//!
//! Since 2020 the kernel shows the counters to root alone: an agent that is not root has none of them. They begin
//! again at 0 after some minutes or hours, as counters may. A zone that counts nothing is left out; one that cannot be
//! read costs itself, and is reported once the others are there.

use std::collections::HashMap;
use std::path::Path;

use super::collector::{CollectError, Collector, Families, Roots, Settings, entries, float, parse_u64, read_value};
use crate::model::host::HostKind;

pub struct Rapl {
    roots: Roots,
}

impl Rapl {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Rapl {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let class = self.roots.sys("class/powercap");
        let mut used = HashMap::new();
        let mut denied = false;
        let mut result = Ok(());
        for entry in entries(&class).map_err(CollectError::or_absent)? {
            let dir = class.join(entry);
            let Ok(name) = read_value(&dir.join("name")) else { continue };
            let (index, name) = place(&name, &mut used);
            match read_energy(&dir) {
                Ok(Some(microjoules)) => add(out, &name, index, &dir, microjoules),
                Ok(None) => {}
                Err(CollectError::Read { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                    denied = true;
                }
                Err(error) => result = Err(error),
            }
        }
        if denied && result.is_ok() {
            return Err(CollectError::Absent("the kernel shows used energy to root alone".to_owned()));
        }
        result
    }
}

fn read_energy(dir: &Path) -> Result<Option<u64>, CollectError> {
    let path = dir.join("energy_uj");
    match read_value(&path) {
        Ok(text) => {
            parse_u64(&text).map(Some).ok_or_else(|| CollectError::odd(path, format!("{text:?} is no whole number")))
        }
        Err(CollectError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn add(out: &mut Families, name: &str, index: u32, dir: &Path, microjoules: u64) {
    let family = format!("node_rapl_{}_joules_total", sanitized(name));
    let help = format!("Energy that {name} used, in joules.");
    let labels = [("index", &*index.to_string()), ("path", &*dir.to_string_lossy())];
    out.family(HostKind::Counter, family, help).add(&labels, float(microjoules) / 1e6);
}

/// `package-1` is number 1 of `package`. Zones of one name without a number are counted.
fn place(name: &str, used: &mut HashMap<String, u32>) -> (u32, String) {
    let numbered = name.split_once('-').and_then(|(name, number)| Some((number.parse().ok()?, name)));
    let (index, name) = numbered.unwrap_or_else(|| (used.get(name).copied().unwrap_or(0), name));
    used.insert(name.to_owned(), index.saturating_add(1));
    (index, name.to_owned())
}

/// What a name must not have becomes one underscore, together with the underscores around it.
fn sanitized(name: &str) -> String {
    let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut text = String::with_capacity(name.len());
    let mut gap = false;
    for letter in name.chars() {
        if good(letter) && !(gap && letter == '_') {
            text.push(letter);
            gap = false;
        } else if !gap {
            text.truncate(text.trim_end_matches('_').len());
            text.push('_');
            gap = true;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn zone(sys: &Path, zone: &str, files: &[(&str, &str)]) {
        let dir = sys.join("class/powercap").join(zone);
        fs::create_dir_all(&dir).unwrap();
        files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
    }

    fn collect(sys: &Path) -> (Vec<String>, Result<(), CollectError>) {
        let mut out = Families::default();
        let result = Rapl { roots: Roots { sysfs: sys.to_owned(), ..Roots::default() } }.collect(&mut out);
        let path = format!("{}/class/powercap/", sys.display());
        let lines = out.0.iter().flat_map(|family| {
            let line = |labels: &str, value: f64| format!("{}{{{}}} {value}", family.name, labels.replace(&path, ""));
            family.series.iter().map(|one| line(one.labels.rendered(), one.value)).collect::<Vec<_>>()
        });
        (lines.collect(), result)
    }

    #[test]
    fn zones_are_numbered() {
        let sys = tempfile::tempdir().unwrap();
        zone(sys.path(), "intel-rapl", &[("enabled", "1\n")]);
        zone(sys.path(), "intel-rapl:0", &[("name", "package-0\n"), ("energy_uj", "240422366267\n")]);
        zone(sys.path(), "intel-rapl:0:0", &[("name", "dram\n"), ("energy_uj", "1\n")]);
        zone(sys.path(), "intel-rapl:1", &[("name", "package-1\n"), ("energy_uj", "0\n")]);
        zone(sys.path(), "intel-rapl:1:0", &[("name", "dram\n"), ("energy_uj", "2000000\n")]);
        zone(sys.path(), "intel-rapl:1:1", &[("name", "package-0-die-1\n"), ("energy_uj", "3000000\n")]);
        zone(sys.path(), "dtpm", &[("name", "root\n")]);
        let (lines, result) = collect(sys.path());
        result.unwrap();
        assert_eq!(
            lines,
            [
                r#"node_rapl_package_joules_total{index="0",path="intel-rapl:0"} 240422.366267"#,
                r#"node_rapl_package_joules_total{index="1",path="intel-rapl:1"} 0"#,
                r#"node_rapl_dram_joules_total{index="0",path="intel-rapl:0:0"} 0.000001"#,
                r#"node_rapl_dram_joules_total{index="1",path="intel-rapl:1:0"} 2"#,
                r#"node_rapl_package_0_die_1_joules_total{index="0",path="intel-rapl:1:1"} 3"#,
            ]
        );
    }

    #[test]
    fn an_odd_zone_costs_itself() {
        let sys = tempfile::tempdir().unwrap();
        zone(sys.path(), "intel-rapl:0", &[("name", "core\n"), ("energy_uj", "much\n")]);
        zone(sys.path(), "intel-rapl:1", &[("name", "uncore\n"), ("energy_uj", "1000000\n")]);
        let (lines, result) = collect(sys.path());
        assert_eq!(lines, [r#"node_rapl_uncore_joules_total{index="0",path="intel-rapl:1"} 1"#]);
        assert!(result.unwrap_err().to_string().ends_with("intel-rapl:0/energy_uj: \"much\" is no whole number"));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(collect(empty.path()).1, Err(CollectError::Absent(_))));
    }

    proptest! {
        #[test]
        fn every_zone_gives_a_good_name(name in "\\PC*") {
            let (_, place) = place(&name, &mut HashMap::new());
            let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            prop_assert!(sanitized(&place).chars().all(good));
        }
    }
}
