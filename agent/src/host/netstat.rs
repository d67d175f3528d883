//! `netstat`: what the kernel's network protocols count, from `/proc/net/netstat`, `/proc/net/snmp` and, where there is
//! IPv6, `/proc/net/snmp6` (Documentation/networking/snmp_counter.rst).
//!
//! There are some five hundred counters, and the filter lets a tenth of them pass. Which ones these are is worked out
//! once for each heading, and again only when the kernel writes another. A line that does not fit its heading, and a
//! value that is no number, cost themselves.

use super::collector::{
    CollectError, Collector, Families, Filter, FirstFault, Oddities, Roots, Settings, is_metric_name, read,
};
use crate::model::host::HostKind;

/// A counter that is shown.
#[derive(Debug, Clone)]
struct Shown {
    family: String,
    help: String,
}

/// A line of headings, and which of its columns are shown.
#[derive(Debug, Default)]
struct Heading {
    text: String,
    columns: usize,
    shown: Vec<(usize, Shown)>,
}

/// A name at the beginning of a line.
#[derive(Debug, Default)]
struct Name {
    text: String,
    shown: Option<Shown>,
}

pub struct Netstat {
    roots: Roots,
    filter: Filter,
    tables: [(&'static str, Vec<Heading>); 2],
    names: Vec<Name>,
}

impl Netstat {
    pub fn new(settings: &Settings) -> Self {
        Self {
            roots: settings.roots.clone(),
            filter: settings.filter("netstat"),
            tables: [("net/netstat", Vec::new()), ("net/snmp", Vec::new())],
            names: Vec::new(),
        }
    }
}

impl Collector for Netstat {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let mut fault = FirstFault::default();
        for (file, headings) in &mut self.tables {
            let path = self.roots.proc(file);
            let Some(text) = fault.keep(read(&path)) else { continue };
            let mut odd = Oddities::default();
            show_table(&text, headings, &self.filter, out, &mut odd);
            fault.keep(odd.finish(&path));
        }
        let path = self.roots.proc("net/snmp6");
        match read(&path).map_err(CollectError::or_absent) {
            // Without IPv6 there is no such file.
            Err(CollectError::Absent(_)) => {}
            other => {
                let mut odd = Oddities::default();
                let text = fault.keep(other).unwrap_or_default();
                show_list(&text, &mut self.names, &self.filter, out, &mut odd);
                fault.keep(odd.finish(&path));
            }
        }
        fault.into_result()
    }
}

/// `Tcp: RtoMin ..`, and on the next line `Tcp: 200 ..`.
fn show_table(text: &str, headings: &mut Vec<Heading>, filter: &Filter, out: &mut Families, odd: &mut Oddities) {
    let mut lines = text.lines();
    let mut index = 0;
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        if headings.len() <= index {
            headings.push(Heading::default());
        }
        let Some(heading) = headings.get_mut(index) else { return };
        index += 1;
        if heading.text != names {
            *heading = Heading::read(names, filter);
        }
        if same_protocol(names, values) && values.split_ascii_whitespace().count() == heading.columns {
            show_row(values, heading, out, odd);
        } else {
            odd.line(values);
        }
    }
}

fn same_protocol(names: &str, values: &str) -> bool {
    let protocol = |line: &str| line.split_once(':').map(|(protocol, _)| protocol.to_owned());
    protocol(names).is_some_and(|name| protocol(values) == Some(name))
}

fn show_row(values: &str, heading: &Heading, out: &mut Families, odd: &mut Oddities) {
    let mut values = values.split_ascii_whitespace().enumerate();
    for (column, shown) in &heading.shown {
        let Some((_, word)) = values.find(|(index, _)| index == column) else { return };
        shown.add(word, out, odd);
    }
}

/// `Ip6InReceives 12`, a line a counter.
fn show_list(text: &str, known: &mut Vec<Name>, filter: &Filter, out: &mut Families, odd: &mut Oddities) {
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let (Some(text), Some(value)) = (words.next(), words.next()) else { continue };
        if known.len() <= index {
            known.resize_with(index + 1, Name::default);
        }
        let Some(name) = known.get_mut(index) else { return };
        if name.text != text {
            *name = Name::read(text, filter);
        }
        if let Some(shown) = &name.shown {
            shown.add(value, out, odd);
        }
    }
}

impl Heading {
    fn read(text: &str, filter: &Filter) -> Self {
        let mut columns = text.split_ascii_whitespace();
        let protocol = columns.next().unwrap_or_default().trim_end_matches(':');
        let shown = |(index, name): (usize, &str)| Some((index + 1, Shown::new(protocol, name, filter)?));
        Self {
            text: text.to_owned(),
            columns: text.split_ascii_whitespace().count(),
            shown: columns.enumerate().filter_map(shown).collect(),
        }
    }
}

impl Name {
    /// The protocol's name ends with the first 6: `Ip6`, `Icmp6`, `UdpLite6`.
    fn read(text: &str, filter: &Filter) -> Self {
        let parts = text.split_once('6').filter(|(_, name)| !name.is_empty());
        let shown = parts.and_then(|(protocol, name)| Shown::new(&format!("{protocol}6"), name, filter));
        Self { text: text.to_owned(), shown }
    }
}

impl Shown {
    fn new(protocol: &str, name: &str, filter: &Filter) -> Option<Self> {
        let key = format!("{protocol}_{name}");
        (is_metric_name(&key) && filter.allows(&key)).then(|| Self {
            family: format!("node_netstat_{key}"),
            help: format!("What the kernel counts for {protocol} as {name}."),
        })
    }

    fn add(&self, word: &str, out: &mut Families, odd: &mut Oddities) {
        let Ok(value) = word.parse() else { return odd.line(&format!("{}: {word}", self.family)) };
        let family = out.family(HostKind::Untyped, self.family.clone(), self.help.clone());
        // A second line of the same name says nothing that can be shown.
        if family.series.is_empty() {
            family.add(&[], value);
        }
    }
}

#[cfg(test)]
#[path = "netstat_tests.rs"]
mod tests;
