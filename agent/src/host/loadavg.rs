//! Load averages, from `/proc/loadavg` (Documentation/filesystems/proc.rst). What follows the third number is left out.

use std::path::PathBuf;

use super::collector::{CollectError, Collector, Families, Settings, read};

pub struct Loadavg {
    path: PathBuf,
}

impl Loadavg {
    pub fn new(settings: &Settings) -> Self {
        Self { path: settings.roots.proc("loadavg") }
    }
}

impl Collector for Loadavg {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let text = read(&self.path)?;
        let [one, five, fifteen] =
            parse(&text).ok_or_else(|| CollectError::odd(&self.path, format!("no three loads in {text:?}")))?;
        out.gauge("node_load1", "Load average over one minute.", one);
        out.gauge("node_load5", "Load average over five minutes.", five);
        out.gauge("node_load15", "Load average over fifteen minutes.", fifteen);
        Ok(())
    }
}

fn parse(text: &str) -> Option<[f64; 3]> {
    let mut loads = text.split_ascii_whitespace().map(|load| load.parse().ok().filter(|load: &f64| load.is_finite()));
    Some([loads.next()??, loads.next()??, loads.next()??])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn three_loads() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/loadavg", "0.21 1.37 12.05 1/719 19737\n");
        let (out, ended) = seen_by(&mut Loadavg::new(&Settings::below(dir.path())));
        ended.unwrap();
        let loads = ["node_load1", "node_load5", "node_load15"].map(|name| out.value(name, "").unwrap());
        assert_eq!(loads, [0.21, 1.37, 12.05]);
    }

    #[test]
    fn odd_text_is_an_error() {
        for odd in ["", "0.1 0.2", "0.1 x 0.3 1/2 3", "NaN 0.1 0.1"] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            parse(&text);
        }
    }
}
