//! The exposition format, read strictly: what Prometheus would refuse is an error here.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Debug)]
pub struct Metrics {
    samples: Vec<(String, Labels, f64)>,
    /// The kind of each family.
    families: BTreeMap<String, String>,
}

impl Metrics {
    /// Parses a scrape; an error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut metrics = Self { samples: Vec::new(), families: BTreeMap::new() };
        let mut seen = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            metrics.line(line, &mut seen).map_err(|error| format!("line {}: {error}: {line:?}", number + 1))?;
        }
        if text.ends_with('\n') { Ok(metrics) } else { Err("the last line is not ended".to_owned()) }
    }

    fn line(&mut self, line: &str, seen: &mut BTreeSet<(String, Labels)>) -> Result<(), String> {
        if let Some(comment) = line.strip_prefix("# ") {
            return self.comment(comment);
        }
        let (name, labels, value) = sample(line)?;
        let family = ["_bucket", "_sum", "_count", "_total"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        if !family.chain([name.as_str()]).any(|family| self.families.contains_key(family)) {
            return Err("a sample without # TYPE".to_owned());
        }
        if !seen.insert((name.clone(), labels.clone())) {
            return Err("the series is there twice".to_owned());
        }
        self.samples.push((name, labels, value));
        Ok(())
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), Some(_)) if is_name(name) => Ok(()),
            (Some("TYPE"), Some(name), Some(kind)) if is_name(name) => {
                let known = ["counter", "gauge", "histogram", "summary", "untyped", "unknown"].contains(&kind);
                let again = self.families.insert(name.to_owned(), kind.to_owned());
                if known && again.is_none() { Ok(()) } else { Err("a kind that is unknown or there twice".to_owned()) }
            }
            (Some("EOF"), None, None) => Ok(()),
            _ => Err("no comment that has a meaning".to_owned()),
        }
    }

    /// The sum of the series of that name with at least those labels; none if there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |own: &Labels| labels.iter().all(|(name, value)| own.get(*name).is_some_and(|own| own == value));
        let found = self.samples.iter().filter(|(own, with, _)| own == name && fits(with)).map(|(.., value)| *value);
        let found: Vec<f64> = found.collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// As [`Metrics::get`], 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or(0.0)
    }

    /// The values that a label has in the series of that name.
    pub fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        let own = self.samples.iter().filter(|(own, ..)| own == name);
        own.filter_map(|(_, labels, _)| labels.get(label).cloned()).collect()
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|(name, ..)| name.as_str()).collect()
    }

    /// All series, in the order of the scrape.
    pub fn series(&self) -> impl Iterator<Item = (&str, &Labels, f64)> {
        self.samples.iter().map(|(name, labels, value)| (name.as_str(), labels, *value))
    }

    /// Leaves the series of a name out.
    pub fn forget(&mut self, name: &str) {
        self.samples.retain(|(own, ..)| own != name);
    }

    /// What `# TYPE` says of the family that a series of that name belongs to.
    pub fn kind(&self, name: &str) -> Option<&str> {
        let family = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        std::iter::once(name).chain(family).find_map(|family| self.families.get(family)).map(String::as_str)
    }

    /// The upper bound of the bucket that holds the quantile.
    pub fn quantile(&self, histogram: &str, quantile: f64) -> f64 {
        let bucket = format!("{histogram}_bucket");
        let mut steps: Vec<(f64, f64)> = self
            .samples
            .iter()
            .filter(|(name, ..)| *name == bucket)
            .map(|(_, labels, count)| (number(&labels["le"]).expect("a bound"), *count))
            .collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = steps.last().map_or(0.0, |(_, count)| *count);
        steps.iter().find(|(_, count)| *count >= all * quantile).map_or(f64::NAN, |(bound, _)| *bound)
    }
}

fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return Err("not a metric name".to_owned());
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok((name.to_owned(), labels, number(value).ok_or("not a number")?))
}

fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        let colon = name.contains(':');
        if colon || !is_name(name) {
            return Err(format!("not a label name: {name:?}"));
        }
        let (value, after) = quoted(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label {name} is there twice"));
        }
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// A value up to its closing quote; `\\`, `\"` and `\n` are all that may be escaped.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => return Err("an escape that does not exist".to_owned()),
            },
            _ => value.push(character),
        }
    }
    Err("a value without its closing quote".to_owned())
}

fn is_name(text: &str) -> bool {
    let fits =
        |(at, c): (usize, char)| c.is_ascii_alphabetic() || matches!(c, '_' | ':') || (at > 0 && c.is_ascii_digit());
    !text.is_empty() && text.char_indices().all(fits)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || c == '-')),
    }
}
