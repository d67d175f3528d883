//! Reads the Prometheus text format 0.0.4, as text files for node_exporter are written in.
//!
//! It is strict, because half a file is worse than none: one bad line refuses the whole text, and the fault says which
//! line and why. Refused too is what the text format knows but a text file must not have: timestamps (the numbers would
//! stay fresh for ever), and names of the agent's own. A histogram or summary gets what may be left out (the `+Inf`
//! bucket, `_sum`, `_count`), so that what comes out is whole. Labels without a value are dropped: to Prometheus they
//! are not there.

mod family;
mod line;

use std::collections::HashMap;

use family::Builder;
pub use family::TextFamily;
use line::{Line, Sample};

use crate::model::host::HostKind;

/// What one file may hold. More is a mistake (an identifier as a label), and would be paid for at every scrape.
pub const MAX_SERIES: usize = 10_000;

/// Series of the agent itself are served on the same page.
const RESERVED: [&str; 2] = ["vitald_", "process_"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Fault {
    pub line: usize,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the last line does not end: write the file under another name, then rename it")]
    Unfinished,
    #[error("{0:?} is no name of a metric")]
    MetricName(String),
    #[error("{0:?} is no name of a label")]
    LabelName(String),
    #[error("the label {0} is reserved: names that start with __ are Prometheus's own")]
    ReservedLabel(String),
    #[error("the label {0} is there twice")]
    LabelTwice(String),
    #[error("the labels are not closed, or a comma, = or quote is missing, at {0:?}")]
    Labels(String),
    #[error("{0:?} is no escape: there are \\\\, \\n and, in a label, \\\"")]
    Escape(String),
    #[error("{0:?} is no number")]
    Value(String),
    #[error("a timestamp ({0:?}): the agent takes the time of the scrape, leave it out")]
    Timestamp(String),
    #[error("{0:?} is no type: there are counter, gauge, histogram, summary and untyped")]
    Type(String),
    #[error("a second HELP line for {0}")]
    HelpTwice(String),
    #[error("a second TYPE line for {0}, or one after its first series")]
    TypeLate(String),
    #[error("names that start with {0} are the agent's own")]
    Reserved(&'static str),
    #[error("the same series is there twice: {0}")]
    SeriesTwice(String),
    #[error("{0} is a histogram: it has only _bucket, _sum and _count")]
    NotOfHistogram(String),
    #[error("{0} has no label {1} with a number")]
    MarkMissing(String, &'static str),
    #[error("{0} must not have the label {1}")]
    MarkStray(String, &'static str),
    #[error("{0} counts, and {1} is no count")]
    NotACount(String, String),
    #[error("more than {MAX_SERIES} series")]
    TooMany,
    #[error("{0} means two things: it is a metric, and part of the histogram or summary {1}")]
    Ambiguous(String, String),
}

impl Problem {
    fn at(self, line: usize) -> Fault {
        Fault { line, problem: self }
    }
}

/// The families of a text, in its order; those without series are left out.
pub fn parse(text: &str) -> Result<Vec<TextFamily>, Fault> {
    let mut reader = Reader::default();
    let mut number = 0;
    for line in text.split_inclusive('\n') {
        number += 1;
        let whole = line.strip_suffix('\n').ok_or_else(|| Problem::Unfinished.at(number))?;
        reader.line(whole, number).map_err(|problem| problem.at(number))?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader<'a> {
    families: Vec<Builder<'a>>,
    index: HashMap<&'a str, usize>,
    samples: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self, text: &'a str, number: usize) -> Result<(), Problem> {
        match line::read(text)? {
            Line::Nothing => Ok(()),
            Line::Help { name, help } => self.family(name, number).set_help(help),
            Line::Type { name, kind } => self.family(name, number).set_kind(kind),
            Line::Sample(sample) => self.sample(sample, number),
        }
    }

    fn sample(&mut self, sample: Sample<'a>, number: usize) -> Result<(), Problem> {
        self.samples += 1;
        if self.samples > MAX_SERIES {
            return Err(Problem::TooMany);
        }
        if let Some(prefix) = RESERVED.into_iter().find(|prefix| sample.name.starts_with(prefix)) {
            return Err(Problem::Reserved(prefix));
        }
        let (base, suffix) = self.place(sample.name);
        self.family(base, number).add(suffix, sample)
    }

    /// `x_sum` is part of `x` where that is a histogram or summary, and there is no family of its own name.
    fn place(&self, name: &'a str) -> (&'a str, &'static str) {
        if self.index.contains_key(name) {
            return (name, "");
        }
        let part = |suffix: &'static str| {
            let base = name.strip_suffix(suffix)?;
            let kind = self.index.get(base).and_then(|at| self.families.get(*at))?.kind?;
            suffixes(kind).contains(&suffix).then_some((base, suffix))
        };
        ["_bucket", "_sum", "_count"].into_iter().find_map(part).unwrap_or((name, ""))
    }

    fn family(&mut self, name: &'a str, line: usize) -> &mut Builder<'a> {
        let next = self.families.len();
        let at = *self.index.entry(name).or_insert(next);
        if at == next {
            self.families.push(Builder::new(name, line));
        }
        #[expect(clippy::indexing_slicing, reason = "the index is of what was pushed, now or before")]
        &mut self.families[at]
    }

    fn finish(self) -> Result<Vec<TextFamily>, Fault> {
        let families: Vec<TextFamily> =
            self.families.into_iter().map(Builder::finish).filter(|family| !family.series.is_empty()).collect();
        let mut owners: HashMap<String, &str> = HashMap::new();
        for family in &families {
            for name in claims(&family.name, family.kind) {
                if let Some(other) = owners.insert(name.clone(), &family.name) {
                    let whole = if name == family.name { other } else { &family.name };
                    return Err(Problem::Ambiguous(brief(&name), brief(whole)).at(family.line));
                }
            }
        }
        Ok(families)
    }
}

/// What a family's series are called, beside its own name.
fn suffixes(kind: HostKind) -> &'static [&'static str] {
    match kind {
        HostKind::Histogram => &["_bucket", "_sum", "_count"],
        HostKind::Summary => &["_sum", "_count"],
        HostKind::Gauge | HostKind::Counter | HostKind::Untyped => &[],
    }
}

/// The names that a family takes on the page: two families must not share one.
pub fn claims(name: &str, kind: HostKind) -> impl Iterator<Item = String> {
    std::iter::once(name.to_owned()).chain(suffixes(kind).iter().map(move |suffix| format!("{name}{suffix}")))
}

/// Enough of a stranger's text to find it again.
pub fn brief(text: &str) -> String {
    const LETTERS: usize = 60;
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
