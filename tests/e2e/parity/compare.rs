//! Compares what the agent serves with what node_exporter served just before and just after.
//!
//! Names, labels and types must be the same. A counter must lie between the two, any other value between the smaller and
//! the larger one, widened by a tolerance. What moves may still miss: every series must agree once, not all of them at
//! once. What is wrong never agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::exceptions::{self, Kind};
use crate::harness::{Labels, Metrics};

/// Two ways of computing the same double may differ in its last bits.
const ROUNDING: f64 = 1e-9;
/// Of what is not a counter, on a machine that lives: how far it may be outside of what was seen before and after.
const DRIFT: f64 = 0.02;

/// What is compared: `node_*`, and what a text file adds, which node_exporter does not tell from its own.
type Series = (String, Labels);

/// The three scrapes of one look.
pub struct Look {
    pub before: Metrics,
    pub ours: Metrics,
    pub after: Metrics,
}

/// What is known after some looks.
pub struct Comparison<'a> {
    scene: &'a str,
    /// The values of this scene move while the test looks.
    live: bool,
    /// Series whose values have agreed once.
    agreed: BTreeSet<Series>,
    /// What the last look found.
    faults: Vec<Fault>,
    surplus: BTreeSet<String>,
    compared: usize,
}

pub enum Fault {
    Missing(Series),
    Type { name: String, ours: String, theirs: String },
    Value { series: Series, ours: f64, before: f64, after: f64 },
    Surplus(Series),
}

impl<'a> Comparison<'a> {
    pub fn of(scene: &'a str, live: bool) -> Self {
        let (agreed, surplus) = (BTreeSet::new(), BTreeSet::new());
        Self { scene, live, agreed, faults: Vec::new(), surplus, compared: 0 }
    }

    /// Compares once more; `Ok` once all is well.
    pub fn look(&mut self, look: &Look) -> Result<(), String> {
        let (before, after, ours) = (of_node(&look.before), of_node(&look.after), of_node(&look.ours));
        self.faults.clear();
        self.surplus.clear();
        // What comes or goes between the two scrapes is not compared.
        let theirs: Vec<_> =
            before.iter().filter_map(|(series, was)| Some((series, *was, *after.get(series)?))).collect();
        self.compared = theirs.len();
        for (series, was, is) in theirs {
            self.series(series, ours.get(series).copied(), (was, is), look);
        }
        for series in ours.keys().filter(|series| !before.contains_key(*series) && !after.contains_key(*series)) {
            if exceptions::holds(self.scene, Kind::Surplus, &series.0, &series.1) {
                self.surplus.insert(series.0.clone());
            } else {
                self.faults.push(Fault::Surplus(series.clone()));
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.told()) }
    }

    fn series(&mut self, series: &Series, ours: Option<f64>, theirs: (f64, f64), look: &Look) {
        let excepted = |kind| exceptions::holds(self.scene, kind, &series.0, &series.1);
        let Some(ours) = ours else {
            if !excepted(Kind::Missing) {
                self.faults.push(Fault::Missing(series.clone()));
            }
            return;
        };
        let kind = |metrics: &Metrics| metrics.kind(&series.0).unwrap_or("nothing").to_owned();
        let (own, other) = (kind(&look.ours), kind(&look.before));
        if own != other && !excepted(Kind::Type) {
            self.faults.push(Fault::Type { name: series.0.clone(), ours: own, theirs: other.clone() });
        }
        let moves = self.live || exceptions::moves(&series.0);
        let asked = if self.live { exceptions::of_the_scrape(&series.0) } else { 0.0 };
        if agrees(&other, ours, (theirs.0 - asked, theirs.1), moves) || excepted(Kind::Value) {
            self.agreed.insert(series.clone());
        } else if !self.agreed.contains(series) {
            self.faults.push(Fault::Value { series: series.clone(), ours, before: theirs.0, after: theirs.1 });
        }
    }

    fn told(&self) -> String {
        let mut lines: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        lines.sort();
        let total = lines.len();
        lines.dedup();
        format!("{total} differences on {:?} in {} series:\n{}", self.scene, self.compared, lines.join("\n"))
    }

    /// For the test's output: what was compared, and what we have that node_exporter has not.
    pub fn report(&self) {
        let surplus: Vec<&str> = self.surplus.iter().map(String::as_str).collect();
        println!("PARITY | {} | {} series | only here: {}", self.scene, self.compared, surplus.join(", "));
    }

    pub fn compared(&self) -> usize {
        self.compared
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing((name, labels)) => write!(f, "missing  {name}{}", shown(labels)),
            Self::Surplus((name, labels)) => write!(f, "surplus  {name}{}", shown(labels)),
            Self::Type { name, ours, theirs } => write!(f, "type     {name}: {ours} here, {theirs} there"),
            Self::Value { series: (name, labels), ours, before, after } => {
                write!(f, "value    {name}{}: {ours} here, {before} and {after} there", shown(labels))
            }
        }
    }
}

fn shown(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(","))
}

/// The series that are compared: not what either says of its own process. A label without a value is no label to
/// Prometheus; node_exporter's `textfile` adds some, so that all series of a family have the same.
fn of_node(metrics: &Metrics) -> BTreeMap<Series, f64> {
    let own = ["go_", "process_", "promhttp_", "vitald_"];
    let compared = metrics.series().filter(|(name, ..)| !own.iter().any(|prefix| name.starts_with(prefix)));
    let valued = |labels: &Labels| {
        let pairs = labels.iter().filter(|(_, value)| !value.is_empty());
        pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    compared.map(|(name, labels, value)| ((name.to_owned(), valued(labels)), value)).collect()
}

fn agrees(kind: &str, ours: f64, (before, after): (f64, f64), moves: bool) -> bool {
    if before.is_nan() || after.is_nan() {
        return ours.is_nan();
    }
    let (low, high) = (before.min(after), before.max(after));
    let scale = low.abs().max(high.abs());
    let drift = if moves && kind != "counter" { scale * DRIFT } else { 0.0 };
    let slack = drift + scale * ROUNDING;
    // Infinite bounds make an infinite slack.
    ours == before || (ours.is_finite() && ours >= low - slack && ours <= high + slack)
}

#[test]
fn values_agree_within_what_is_said_above() {
    assert!(agrees("counter", 5.0, (4.0, 6.0), true));
    assert!(!agrees("counter", 6.1, (4.0, 6.0), true));
    assert!(agrees("gauge", 6.1, (4.0, 6.0), true));
    assert!(!agrees("gauge", 6.1, (4.0, 6.0), false));
    assert!(!agrees("gauge", 7.0, (4.0, 6.0), true));
    assert!(agrees("gauge", f64::NAN, (f64::NAN, f64::NAN), false) && !agrees("gauge", 1.0, (f64::NAN, 1.0), false));
    assert!(agrees("gauge", -5.0, (-5.1, -4.9), false) && agrees("gauge", 0.1 + 0.2, (0.3, 0.3), false));
}

#[test]
fn every_kind_of_difference_is_found() {
    let parse = |text: &str| Metrics::parse(text).unwrap();
    let theirs = "# TYPE node_a counter\nnode_a 1\n# TYPE node_b gauge\nnode_b{x=\"1\"} 2\nnode_b{x=\"2\"} 3\n";
    let ours = "# TYPE node_a gauge\nnode_a 9\n# TYPE node_b gauge\nnode_b{x=\"1\"} 2\nnode_b{x=\"3\"} 3\n";
    let look = Look { before: parse(theirs), ours: parse(ours), after: parse(theirs) };
    let found = Comparison::of("none", false).look(&look).unwrap_err();
    for fault in [
        "4 differences",
        "missing  node_b{x=\"2\"}",
        "surplus  node_b{x=\"3\"}",
        "type     node_a: gauge here, counter there",
        "value    node_a{}: 9 here, 1 and 1 there",
    ] {
        assert!(found.contains(fault), "{fault} is not in {found}");
    }
    let same = Look { before: parse(theirs), ours: parse(theirs), after: parse(theirs) };
    Comparison::of("none", false).look(&same).unwrap();
}
