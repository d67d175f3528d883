//! The kernel's random number generator, from `/proc/sys/kernel/random` (random(4)). Since Linux 5.18 both numbers are
//! 256 as soon as the generator was seeded.

use std::path::{Path, PathBuf};

use super::collector::{CollectError, Collector, Families, FirstFault, Settings, float, parse_u64, read_value};

pub struct Entropy {
    available: PathBuf,
    pool: PathBuf,
}

impl Entropy {
    pub fn new(settings: &Settings) -> Self {
        Self {
            available: settings.roots.proc("sys/kernel/random/entropy_avail"),
            pool: settings.roots.proc("sys/kernel/random/poolsize"),
        }
    }
}

impl Collector for Entropy {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let mut faults = FirstFault::default();
        if let Some(bits) = faults.keep(number(&self.available)) {
            out.gauge("node_entropy_available_bits", "Entropy that is available, in bits.", bits);
        }
        if let Some(bits) = faults.keep(number(&self.pool)) {
            out.gauge("node_entropy_pool_size_bits", "Size of the entropy pool, in bits.", bits);
        }
        faults.into_result()
    }
}

fn number(path: &Path) -> Result<f64, CollectError> {
    let text = read_value(path)?;
    parse_u64(&text).map(float).ok_or_else(|| CollectError::odd(path, format!("{text:?} is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn each_file_on_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut entropy = Entropy::new(&Settings::below(dir.path()));
        put(dir.path(), "proc/sys/kernel/random/entropy_avail", "1337\n");
        put(dir.path(), "proc/sys/kernel/random/poolsize", "4096\n");
        let (out, ended) = seen_by(&mut entropy);
        ended.unwrap();
        assert_eq!(out.value("node_entropy_available_bits", ""), Some(1337.0));
        assert_eq!(out.value("node_entropy_pool_size_bits", ""), Some(4096.0));

        put(dir.path(), "proc/sys/kernel/random/entropy_avail", "much\n");
        let (out, ended) = seen_by(&mut entropy);
        assert!(ended.unwrap_err().to_string().contains("entropy_avail"));
        assert_eq!(out.value("node_entropy_pool_size_bits", ""), Some(4096.0));
    }
}
