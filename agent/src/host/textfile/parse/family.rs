//! A family as its lines come, and as it is when they are all there.

use std::borrow::Cow;
use std::collections::HashMap;

use super::line::{Labels, Sample, read_number};
use super::{Problem, brief};
use crate::model::host::{HostKind, HostSeries, Labels as Rendered};

/// A family of one text file.
#[derive(Debug, Clone, PartialEq)]
pub struct TextFamily {
    pub name: String,
    /// None where the file does not say.
    pub help: Option<String>,
    pub kind: HostKind,
    pub series: Vec<HostSeries>,
    /// Where it begins.
    pub line: usize,
}

pub struct Builder<'a> {
    name: &'a str,
    help: Option<Cow<'a, str>>,
    pub kind: Option<HostKind>,
    groups: Vec<Group<'a>>,
    index: HashMap<Labels<'a>, usize>,
    line: usize,
}

/// Everything with the same labels, but for `le` and `quantile`.
#[derive(Default)]
struct Group<'a> {
    labels: Labels<'a>,
    value: Option<f64>,
    /// Buckets by their bound, or quantiles.
    marks: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl<'a> Builder<'a> {
    pub fn new(name: &'a str, line: usize) -> Self {
        Self { name, help: None, kind: None, groups: Vec::new(), index: HashMap::new(), line }
    }

    pub fn set_help(&mut self, help: Cow<'a, str>) -> Result<(), Problem> {
        match self.help.replace(help) {
            None => Ok(()),
            Some(_) => Err(Problem::HelpTwice(brief(self.name))),
        }
    }

    pub fn set_kind(&mut self, kind: HostKind) -> Result<(), Problem> {
        match self.kind.replace(kind) {
            None => Ok(()),
            Some(_) => Err(Problem::TypeLate(brief(self.name))),
        }
    }

    pub fn add(&mut self, suffix: &'static str, mut sample: Sample<'a>) -> Result<(), Problem> {
        let kind = *self.kind.get_or_insert(HostKind::Untyped);
        if kind == HostKind::Histogram && suffix.is_empty() {
            return Err(Problem::NotOfHistogram(brief(sample.name)));
        }
        let mark = take_mark(kind, suffix, &mut sample)?;
        let counts = suffix == "_count" || suffix == "_bucket";
        let value = if counts { whole(&sample)? } else { sample.value };
        let name = sample.name;
        let group = self.group(sample.labels);
        let known = match (mark, suffix) {
            (Some(mark), _) => group.mark(mark, value),
            (None, "_sum") => group.sum.replace(value).is_some(),
            (None, "_count") => group.count.replace(value).is_some(),
            (None, _) => group.value.replace(value).is_some(),
        };
        if known { Err(Problem::SeriesTwice(brief(&group.shown(name)))) } else { Ok(()) }
    }

    fn group(&mut self, labels: Labels<'a>) -> &mut Group<'a> {
        let next = self.groups.len();
        let at = *self.index.entry(labels).or_insert_with_key(|labels| {
            self.groups.push(Group { labels: labels.clone(), ..Group::default() });
            next
        });
        #[expect(clippy::indexing_slicing, reason = "the index is of what was pushed, now or before")]
        &mut self.groups[at]
    }

    pub fn finish(self) -> TextFamily {
        let kind = self.kind.unwrap_or(HostKind::Untyped);
        let mut series = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            match kind {
                HostKind::Histogram => group.histogram(&mut series),
                HostKind::Summary => group.summary(&mut series),
                HostKind::Gauge | HostKind::Counter | HostKind::Untyped => {
                    group.push(&mut series, "", None, group.value.unwrap_or_default());
                }
            }
        }
        let help = self.help.map(Cow::into_owned);
        TextFamily { name: self.name.to_owned(), help, kind, series, line: self.line }
    }
}

/// Takes `le` of a bucket, or `quantile` of a quantile, out of the labels.
fn take_mark(kind: HostKind, suffix: &str, sample: &mut Sample<'_>) -> Result<Option<f64>, Problem> {
    let (label, wanted) = match kind {
        HostKind::Histogram => ("le", suffix == "_bucket"),
        HostKind::Summary => ("quantile", suffix.is_empty()),
        HostKind::Gauge | HostKind::Counter | HostKind::Untyped => return Ok(None),
    };
    let Some(at) = sample.labels.iter().position(|(name, _)| *name == label) else {
        return if wanted { Err(Problem::MarkMissing(brief(sample.name), label)) } else { Ok(None) };
    };
    if !wanted {
        return Err(Problem::MarkStray(brief(sample.name), label));
    }
    let (_, text) = sample.labels.remove(at);
    let mark = read_number(&text).filter(|mark| !mark.is_nan());
    mark.map(Some).ok_or_else(|| Problem::MarkMissing(brief(sample.name), label))
}

/// Counts may be written as a double, but they are whole.
fn whole(sample: &Sample<'_>) -> Result<f64, Problem> {
    if sample.value.is_finite() && sample.value >= 0.0 {
        return Ok(sample.value.trunc());
    }
    Err(Problem::NotACount(brief(sample.name), sample.value.to_string()))
}

impl Group<'_> {
    /// Whether it was there already.
    fn mark(&mut self, mark: f64, value: f64) -> bool {
        let at = self.marks.partition_point(|(known, _)| *known < mark);
        let known = self.marks.get(at).is_some_and(|(known, _)| *known == mark);
        if !known {
            self.marks.insert(at, (mark, value));
        }
        known
    }

    fn histogram(self, series: &mut Vec<HostSeries>) {
        let last = self.marks.last();
        let is_whole = last.is_some_and(|(bound, _)| *bound == f64::INFINITY);
        // Buckets count up: without a better number, all are in the highest.
        let count = self.count.or(last.map(|(_, count)| *count)).unwrap_or_default();
        for (bound, value) in &self.marks {
            self.push(series, "_bucket", Some(("le", *bound)), *value);
        }
        if !is_whole {
            self.push(series, "_bucket", Some(("le", f64::INFINITY)), count);
        }
        self.push(series, "_sum", None, self.sum.unwrap_or_default());
        self.push(series, "_count", None, count);
    }

    fn summary(self, series: &mut Vec<HostSeries>) {
        for (quantile, value) in &self.marks {
            self.push(series, "", Some(("quantile", *quantile)), *value);
        }
        self.push(series, "_sum", None, self.sum.unwrap_or_default());
        self.push(series, "_count", None, self.count.unwrap_or_default());
    }

    fn push(&self, series: &mut Vec<HostSeries>, suffix: &'static str, mark: Option<(&str, f64)>, value: f64) {
        let mark = mark.map(|(label, mark)| (label, shortest(mark)));
        let pairs = self.labels.iter().map(|(name, value)| (*name, value.as_ref()));
        let pairs: Vec<(&str, &str)> =
            pairs.chain(mark.as_ref().map(|(label, text)| (*label, text.as_str()))).collect();
        series.push(HostSeries { suffix, labels: Rendered::new(&pairs), value });
    }

    fn shown(&self, name: &str) -> String {
        let pairs: Vec<(&str, &str)> = self.labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        format!("{name}{{{}}}", Rendered::new(&pairs).rendered())
    }
}

/// A number in a label, as every Go program writes it (`%g`): dashboards and rules match the text, not the number.
fn shortest(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..PLAIN_DIGITS).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => value.to_string(),
    }
}

/// From here on `%g` writes an exponent.
const PLAIN_DIGITS: i32 = 6;
