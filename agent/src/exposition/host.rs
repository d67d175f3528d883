//! The host's part of `/metrics`, encoded once for each sample.
//!
//! The forms that somebody asked for lately are made where the sample is made, so that a scrape only hands them over;
//! a form that nobody wants costs nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::model::host::{HostBlock, HostFamily, HostKind, HostSample};

use super::gzip::Deflated;
use super::{Format, head, number};

/// A form is made ahead for so long after it was asked for: some scrapes of the slowest usual interval.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Who asked for which form, when.
#[derive(Debug)]
pub struct Demand {
    base: Instant,
    /// Milliseconds since `base` plus one; 0 is never. In the order of [`slot`].
    last: [AtomicU64; 4],
}

impl Default for Demand {
    fn default() -> Self {
        Self { base: Instant::now(), last: Default::default() }
    }
}

fn slot(format: Format, zipped: bool) -> usize {
    usize::from(format == Format::OpenMetrics) * 2 + usize::from(zipped)
}

impl Demand {
    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn note(&self, format: Format, zipped: bool) {
        if let Some(last) = self.last.get(slot(format, zipped)) {
            last.store(self.now(), Ordering::Relaxed);
        }
    }

    fn wants(&self, format: Format, zipped: bool) -> bool {
        let last = self.last.get(slot(format, zipped)).map_or(0, |last| last.load(Ordering::Relaxed));
        last > 0 && Duration::from_millis(self.now().saturating_sub(last)) < REMEMBERED
    }
}

/// How one collector fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CollectorState {
    pub name: &'static str,
    /// It did what it could: a host that has nothing of the kind is no failure.
    pub success: bool,
    /// It saw something. (What node_exporter calls success.)
    pub found: bool,
    pub took: Duration,
}

/// A sample, ready to be served.
#[derive(Debug, Default)]
pub struct HostText {
    blocks: Arc<[Arc<HostBlock>]>,
    states: Vec<CollectorState>,
    /// The collectors that are on, whether they have been run or not.
    names: Vec<&'static str>,
    demand: Arc<Demand>,
    plain: [OnceLock<Bytes>; 2],
    zipped: [OnceLock<Deflated>; 2],
}

impl HostText {
    /// Of the time before the first sample.
    pub fn of_none(names: &[&'static str]) -> Self {
        Self { names: names.to_vec(), ..Self::default() }
    }

    /// Encodes what was asked for lately.
    pub fn new(sample: &HostSample, states: Vec<CollectorState>, demand: Arc<Demand>) -> Self {
        let names = states.iter().map(|state| state.name).collect();
        let text = Self { blocks: sample.blocks.clone(), states, names, demand, ..Self::default() };
        for format in [Format::Text, Format::OpenMetrics] {
            if text.demand.wants(format, true) {
                text.made_zipped(format);
            } else if text.demand.wants(format, false) {
                text.made(format);
            }
        }
        text
    }

    /// Everything.
    pub fn plain(&self, format: Format) -> Bytes {
        self.demand.note(format, false);
        self.made(format)
    }

    /// Everything, deflated.
    pub fn zipped(&self, format: Format) -> Deflated {
        self.demand.note(format, true);
        self.made_zipped(format)
    }

    fn made(&self, format: Format) -> Bytes {
        let make = || Bytes::from(self.encode(format, |_| true));
        self.plain
            .get(usize::from(format == Format::OpenMetrics))
            .map_or_else(make, |made| made.get_or_init(make).clone())
    }

    fn made_zipped(&self, format: Format) -> Deflated {
        let make = || Deflated::part(&self.made(format));
        self.zipped
            .get(usize::from(format == Format::OpenMetrics))
            .map_or_else(make, |made| made.get_or_init(make).clone())
    }

    #[cfg(test)]
    pub fn states(&self) -> Vec<CollectorState> {
        self.states.clone()
    }

    /// The collectors that are on.
    pub fn collectors(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().copied()
    }

    pub fn has(&self, collector: &str) -> bool {
        self.collectors().any(|name| name == collector)
    }

    /// What the chosen collectors saw.
    pub fn encode(&self, format: Format, chosen: impl Fn(&str) -> bool) -> String {
        let mut out = String::with_capacity(96 * 1024);
        for block in self.blocks.iter().filter(|block| chosen(block.collector)) {
            for family in block.families.iter().filter(|family| !family.series.is_empty()) {
                write_family(&mut out, family, format);
            }
        }
        let states: Vec<&CollectorState> = self.states.iter().filter(|state| chosen(state.name)).collect();
        for (name, help, value) in STATES {
            if !states.is_empty() {
                head(&mut out, name, help, "gauge", format);
            }
            for state in &states {
                line(&mut out, name, "", &format!("collector=\"{}\"", state.name), value(state));
            }
        }
        out
    }
}

type StateValue = fn(&CollectorState) -> f64;

/// What is said of each collector: in node_exporter's words, which dashboards know, and in ours.
const STATES: [(&str, &str, StateValue); 4] = [
    ("node_scrape_collector_duration_seconds", "How long the collector took.", |state| state.took.as_secs_f64()),
    (
        "node_scrape_collector_success",
        "1 where the collector saw something; 0 too where the host has nothing of the kind.",
        |state| f64::from(u8::from(state.found)),
    ),
    ("vitald_host_collector_duration_seconds", "How long the collector took.", |state| state.took.as_secs_f64()),
    (
        "vitald_host_collector_success",
        "0 where the collector failed or hangs; 1 too where the host has nothing of the kind.",
        |state| f64::from(u8::from(state.success)),
    ),
];

/// The families that every sample has beside what its collectors saw.
pub fn state_names() -> impl Iterator<Item = &'static str> {
    STATES.iter().map(|(name, ..)| *name)
}

fn write_family(out: &mut String, family: &HostFamily, format: Format) {
    head(out, &family.name, &family.help, family.kind.word(), format);
    for series in &family.series {
        line(out, &family.name, series.suffix, series.labels.rendered(), series.value);
    }
    debug_assert!(family.kind != HostKind::Counter || family.series.iter().all(|series| series.suffix.is_empty()));
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &str, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    out.push(' ');
    number(out, value);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use crate::model::time::Moment;

    use super::*;

    fn sample() -> HostSample {
        let family = |name: &'static str, kind, labels: &[(&str, &str)]| {
            let mut family = HostFamily { name: name.into(), help: "Help.".into(), kind, series: Vec::new() };
            family.add(labels, 1.5);
            family
        };
        let cpu = family("node_cpu_seconds_total", HostKind::Counter, &[("cpu", "0"), ("mode", "user")]);
        let load = family("node_load1", HostKind::Gauge, &[]);
        let empty = HostFamily { series: Vec::new(), ..family("node_nothing", HostKind::Gauge, &[]) };
        let block = |collector, families| Arc::new(HostBlock { collector, taken: Moment::default(), families });
        HostSample {
            blocks: [block("cpu", vec![cpu]), block("loadavg", vec![load, empty])].into(),
            ..HostSample::default()
        }
    }

    fn text(demand: &Arc<Demand>) -> HostText {
        let state = |name| CollectorState { name, success: true, found: false, took: Duration::from_millis(250) };
        HostText::new(&sample(), vec![state("cpu"), state("loadavg")], demand.clone())
    }

    #[test]
    fn both_formats() {
        let text = text(&Arc::default());
        let plain = String::from_utf8(text.plain(Format::Text).to_vec()).unwrap();
        let wanted = "# HELP node_cpu_seconds_total Help.\n# TYPE node_cpu_seconds_total counter\n\
                      node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1.5\n\
                      # HELP node_load1 Help.\n# TYPE node_load1 gauge\nnode_load1 1.5\n";
        assert!(plain.starts_with(wanted), "{plain}");
        assert!(plain.contains("\nnode_scrape_collector_success{collector=\"cpu\"} 0\n"), "{plain}");
        assert!(plain.contains("\nvitald_host_collector_success{collector=\"loadavg\"} 1\n"), "{plain}");
        let open = String::from_utf8(text.plain(Format::OpenMetrics).to_vec()).unwrap();
        assert!(open.contains("# TYPE node_cpu_seconds counter\nnode_cpu_seconds_total{"), "{open}");
        assert!(!open.contains("node_nothing"), "{open}");
    }

    #[test]
    fn the_chosen_collectors_alone() {
        let chosen = text(&Arc::default()).encode(Format::Text, |name| name == "loadavg");
        assert!(chosen.contains("node_load1 1.5") && !chosen.contains("cpu"), "{chosen}");
    }

    #[test]
    fn what_was_asked_for_is_made_ahead() {
        let demand = Arc::default();
        let first = text(&demand);
        assert!(first.plain.iter().all(|made| made.get().is_none()), "nobody has asked");
        first.zipped(Format::OpenMetrics);
        let second = text(&demand);
        assert!(second.zipped[1].get().is_some() && second.plain[0].get().is_none());
    }
}
