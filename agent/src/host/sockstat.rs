//! `sockstat`: how many sockets there are and what memory they hold, from `/proc/net/sockstat` and
//! `/proc/net/sockstat6` (Documentation/filesystems/proc.rst).
//!
//! A host without IPv4 or IPv6 lacks the file, and is well. An odd line costs its protocol.

use super::collector::{CollectError, Collector, Families, Oddities, Roots, Settings, is_metric_name, read};
use crate::model::host::HostKind;

pub struct Sockstat {
    roots: Roots,
    page_size: i64,
}

/// What the kernel writes of a protocol, and what it is.
const FIELDS: [(&str, &str); 6] = [
    ("inuse", "sockets in use"),
    ("orphan", "sockets that no process holds any more"),
    ("tw", "sockets that wait after their end (TIME_WAIT)"),
    ("alloc", "sockets allocated, whatever their state"),
    ("mem", "memory of the sockets, in pages"),
    ("memory", "memory of the fragments that wait, in bytes"),
];

/// A protocol and its numbers, in the order of the fields.
#[derive(Debug, PartialEq)]
struct Protocol<'a> {
    name: &'a str,
    values: [Option<i64>; FIELDS.len()],
}

#[derive(Debug, Default, PartialEq)]
struct Sockets<'a> {
    used: Option<i64>,
    protocols: Vec<Protocol<'a>>,
}

impl Sockstat {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone(), page_size: i64::try_from(procfs::page_size()).unwrap_or(i64::MAX) }
    }

    fn show(&self, file: &str, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc(file);
        let text = match read(&path).map_err(CollectError::or_absent) {
            Err(CollectError::Absent(_)) => return Ok(()),
            other => other?,
        };
        let mut odd = Oddities::default();
        let sockets = parse(&text, &mut odd);
        if let Some(used) = sockets.used {
            set(out, "node_sockstat_sockets_used".into(), "Sockets of all kinds in use.".into(), used);
        }
        for protocol in &sockets.protocols {
            self.show_protocol(protocol, out);
        }
        odd.finish(&path)
    }

    fn show_protocol(&self, protocol: &Protocol<'_>, out: &mut Families) {
        let name = protocol.name;
        for ((field, meaning), value) in FIELDS.iter().zip(protocol.values) {
            let Some(value) = value else { continue };
            set(out, format!("node_sockstat_{name}_{field}"), format!("{name}: {meaning}."), value);
            if *field == "mem" {
                let help = format!("{name}: memory of the sockets, in bytes.");
                set(out, format!("node_sockstat_{name}_mem_bytes"), help, value.saturating_mul(self.page_size));
            }
        }
    }
}

impl Collector for Sockstat {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let ipv4 = self.show("net/sockstat", out);
        let ipv6 = self.show("net/sockstat6", out);
        ipv4.and(ipv6)
    }
}

/// `TCP: inuse 2 orphan 0 ..`, a line a protocol, and `sockets: used 17`.
fn parse<'a>(text: &'a str, odd: &mut Oddities) -> Sockets<'a> {
    let mut sockets = Sockets::default();
    for line in text.lines() {
        match parse_line(line) {
            Some(("sockets", pairs)) => sockets.used = Some(number(&pairs, "used").unwrap_or_default()),
            Some((name, _)) if sockets.protocols.iter().any(|protocol| protocol.name == name) => odd.line(line),
            Some((name, pairs)) => {
                let mut values = FIELDS.map(|(field, _)| number(&pairs, field));
                // Every protocol has sockets, and they may be none.
                let [inuse, ..] = &mut values;
                inuse.get_or_insert(0);
                sockets.protocols.push(Protocol { name, values });
            }
            None => odd.line(line),
        }
    }
    sockets
}

fn parse_line(line: &str) -> Option<(&str, Vec<(&str, i64)>)> {
    let (name, rest) = line.split_once(':')?;
    let mut words = rest.split_ascii_whitespace();
    let mut pairs = Vec::with_capacity(FIELDS.len());
    while let Some(key) = words.next() {
        pairs.push((key, words.next()?.parse().ok()?));
    }
    (is_metric_name(name) && !pairs.is_empty()).then_some((name, pairs))
}

fn number(pairs: &[(&str, i64)], key: &str) -> Option<i64> {
    pairs.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// Both files are shown under the same names; what the first said stays.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles")]
fn set(out: &mut Families, name: String, help: String, value: i64) {
    let family = out.family(HostKind::Gauge, name, help);
    if family.series.is_empty() {
        family.add(&[], value as f64);
    }
}

#[cfg(test)]
#[path = "sockstat_tests.rs"]
mod tests;
