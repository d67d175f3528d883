//! `conntrack`: how full the table of tracked connections is, from `/proc/sys/net/netfilter`
//! (Documentation/networking/nf_conntrack-sysctl.rst), and what its CPUs count, from `/proc/net/stat/nf_conntrack`.
//!
//! A host whose kernel tracks nothing lacks the files. Columns are found by their headings, because kernels renamed and
//! dropped some; what is not there is left out. An odd line costs its CPU.

use super::collector::{
    CollectError, Collector, Families, Oddities, Roots, Settings, float, parse_u64, read, read_value,
};

const COLUMNS: [(&str, &str, &str); 8] = [
    ("found", "node_nf_conntrack_stat_found", "Lookups that found a connection."),
    ("invalid", "node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
    ("ignore", "node_nf_conntrack_stat_ignore", "Packets that belonged to a connection already."),
    ("insert", "node_nf_conntrack_stat_insert", "Connections put into the table."),
    ("insert_failed", "node_nf_conntrack_stat_insert_failed", "Connections that could not be put into the table."),
    ("drop", "node_nf_conntrack_stat_drop", "Packets dropped because no connection could be made for them."),
    ("early_drop", "node_nf_conntrack_stat_early_drop", "Connections thrown out to make room for others."),
    ("search_restart", "node_nf_conntrack_stat_search_restart", "Lookups begun anew because the table was resized."),
];

pub struct Conntrack {
    roots: Roots,
}

impl Conntrack {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }

    fn sysctl(&self, file: &str) -> Result<f64, CollectError> {
        let path = self.roots.proc(file);
        let word = read_value(&path).map_err(CollectError::or_absent)?;
        parse_u64(&word).map(float).ok_or_else(|| CollectError::odd(path, format!("{word:?} is no number")))
    }

    fn counters(&self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("net/stat/nf_conntrack");
        let text = read(&path).map_err(CollectError::or_absent)?;
        let mut odd = Oddities::default();
        for (column, sum) in COLUMNS.into_iter().zip(parse(&text, &mut odd)) {
            if let (Some(sum), (_, family, help)) = (sum, column) {
                // They only grow, but dashboards know them as gauges.
                out.gauge(family, help, float(sum));
            }
        }
        odd.finish(&path)
    }
}

impl Collector for Conntrack {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let entries = self.sysctl("sys/net/netfilter/nf_conntrack_count")?;
        out.gauge("node_nf_conntrack_entries", "Connections in the table.", entries);
        let limit = self.sysctl("sys/net/netfilter/nf_conntrack_max")?;
        out.gauge("node_nf_conntrack_entries_limit", "Connections that the table can hold.", limit);
        self.counters(out)
    }
}

/// The sum over the CPUs (a line each, hexadecimal) of each column that the line of headings has.
fn parse(text: &str, odd: &mut Oddities) -> [Option<u64>; COLUMNS.len()] {
    let mut lines = text.lines();
    let headings: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let places = COLUMNS.map(|(name, ..)| headings.iter().position(|heading| *heading == name));
    let mut sums = places.map(|place| place.map(|_| 0_u64));
    for line in lines {
        let values: Option<Vec<u64>> =
            line.split_ascii_whitespace().map(|word| u64::from_str_radix(word, 16).ok()).collect();
        let Some(values) = values.filter(|values| values.len() >= headings.len()) else {
            odd.line(line);
            continue;
        };
        for (sum, place) in sums.iter_mut().zip(places) {
            let value = place.and_then(|place| values.get(place)).copied().unwrap_or_default();
            *sum = sum.map(|sum| sum.saturating_add(value));
        }
    }
    sums
}

#[cfg(test)]
#[path = "conntrack_tests.rs"]
mod tests;
