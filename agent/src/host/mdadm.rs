//! Software RAID: `/proc/mdstat`, which `Documentation/admin-guide/md.rst` and `drivers/md/md.c` of the kernel describe.
//!
//! An array is a line with its name, its state and its disks, then indented lines: blocks and disks in use, what it is
//! being synchronised for, its bitmap. What cannot be understood costs its array. A reshape is not among the states,
//! as node_exporter has none for it.

use super::collector::{self, CollectError, Collector, Families, Roots, Settings, float};
use crate::model::host::HostKind;

pub struct Mdadm {
    roots: Roots,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Array<'a> {
    name: &'a str,
    state: &'a str,
    active: u64,
    required: u64,
    failed: u64,
    spare: u64,
    blocks: u64,
    synced: u64,
}

/// The states that are shown, by their label.
const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

impl Mdadm {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Mdadm {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("mdstat");
        // The file comes with the kernel's md module.
        let text = collector::read(&path).map_err(CollectError::or_absent)?;
        let (arrays, odd) = parse(&text);
        for array in &arrays {
            array.show(out);
        }
        match odd {
            Some(name) => Err(CollectError::odd(path, format!("what is said of {name} cannot be understood"))),
            None => Ok(()),
        }
    }
}

impl Array<'_> {
    fn show(&self, out: &mut Families) {
        let device = ("device", self.name);
        let mut gauge = |name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64| {
            out.family(HostKind::Gauge, name, help).add(labels, float(value));
        };
        for state in STATES {
            let is = u64::from(self.state == state);
            gauge("node_md_state", "1 for the state that the array is in.", &[device, ("state", state)], is);
        }
        for (state, disks) in [("active", self.active), ("failed", self.failed), ("spare", self.spare)] {
            gauge("node_md_disks", "Disks of the array, by state.", &[device, ("state", state)], disks);
        }
        gauge("node_md_disks_required", "Disks that the whole array has.", &[device], self.required);
        gauge("node_md_blocks", "Blocks of the array.", &[device], self.blocks);
        gauge("node_md_blocks_synced", "Blocks of the array that are in sync.", &[device], self.synced);
    }
}

/// The arrays of the file, and the first that cannot be understood.
fn parse(text: &str) -> (Vec<Array<'_>>, Option<&str>) {
    let (mut arrays, mut odd) = (Vec::new(), None);
    let mut lines = text.lines().peekable();
    while let Some(head) = lines.next() {
        let mut words = head.split_ascii_whitespace();
        if head.starts_with(' ') || head.starts_with("Personalities") || head.starts_with("unused") {
            continue;
        }
        let Some(name) = words.next() else { continue };
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
            body.push(line.trim());
        }
        match parse_array(name, head, &body) {
            Some(array) => arrays.push(array),
            None => odd = odd.or(Some(name)),
        }
    }
    (arrays, odd)
}

fn parse_array<'a>(name: &'a str, head: &'a str, body: &[&str]) -> Option<Array<'a>> {
    let mut words = head.split_ascii_whitespace().skip(1);
    if words.next()? != ":" {
        return None;
    }
    let state = words.next()?;
    // An array without disks has no blocks.
    let status = body.first().copied().filter(|line| !line.is_empty());
    let blocks = status.map_or(Some(0), |line| line.split_ascii_whitespace().next()?.parse().ok())?;
    let (required, active) = disks(head, status)?;
    let sync = body.iter().skip(1).find_map(|line| parse_sync(line));
    let (state, synced) = sync.map_or((state, blocks), |(doing, synced)| (doing, synced));
    let count = |mark: &str| u64::try_from(head.matches(mark).count()).unwrap_or(u64::MAX);
    Some(Array { name, state, active, required, failed: count("(F)"), spare: count("(S)"), blocks, synced })
}

/// Disks that the array should have, and those that work: `[4/3]`. Arrays that can lose no disk do not say, so all
/// that are listed count.
fn disks(head: &str, status: Option<&str>) -> Option<(u64, u64)> {
    if head.contains("raid0") || head.contains("linear") {
        let listed = u64::try_from(head.matches('[').count()).ok()?;
        return Some((listed, listed));
    }
    if head.contains("inactive") {
        return Some((0, 0));
    }
    status?.split_ascii_whitespace().find_map(|word| {
        let (required, active) = word.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
        Some((required.parse().ok()?, active.parse().ok()?))
    })
}

/// What an array is being synchronised for, and how many blocks are done. One that waits for its turn has none.
fn parse_sync(line: &str) -> Option<(&'static str, u64)> {
    let doing = [("recovery", "recovering"), ("resync", "resync"), ("check", "check")];
    let (_, state) = doing.into_iter().find(|(word, _)| line.split([' ', '=']).any(|part| part == *word))?;
    let done = line.split_once('(').and_then(|(_, rest)| rest.split_once('/')?.0.parse().ok());
    Some((state, done.unwrap_or(0)))
}

#[cfg(test)]
#[path = "mdadm_tests.rs"]
mod tests;
