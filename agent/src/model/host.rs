//! A sample of the host's numbers, as series under node_exporter's names.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::time::Moment;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    Gauge,
    Counter,
    Untyped,
    /// Of text files alone.
    Histogram,
    /// Of text files alone.
    Summary,
}

impl HostKind {
    /// The word of the text format's `# TYPE` line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Untyped => "untyped",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// The labels of a series. They are kept as the text format shows them, because that is what they are mostly for:
/// `cpu="0",mode="idle"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<str>);

impl Labels {
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut text = String::with_capacity(pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push(',');
            }
            let _ = write!(text, "{name}=\"");
            escape_into(&mut text, value, true);
            text.push('"');
        }
        Self(text.into())
    }

    /// As they stand between the braces; empty where there are none.
    pub fn rendered(&self) -> &str {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (name, after) = rest.split_once("=\"")?;
            let end = closing_quote(after)?;
            let (value, after) = (after.get(..end)?, after.get(end + 1..)?);
            rest = after.strip_prefix(',').unwrap_or(after);
            Some((name, unescaped(value)))
        })
    }

    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// A value or a help text as both formats write it; quotes are escaped where it stands between quotes.
pub fn escape_into(text: &mut String, value: &str, quotes: bool) {
    if !value.contains(['\\', '"', '\n']) {
        return text.push_str(value);
    }
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' if quotes => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

#[derive(Debug, Clone, PartialEq)]
pub struct HostSeries {
    /// `_bucket`, `_sum` or `_count` of histograms and summaries; else empty.
    pub suffix: &'static str,
    pub labels: Labels,
    pub value: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HostFamily {
    pub name: Cow<'static, str>,
    pub help: Cow<'static, str>,
    pub kind: HostKind,
    pub series: Vec<HostSeries>,
}

impl HostFamily {
    pub fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        self.series.push(HostSeries { suffix: "", labels: Labels::new(labels), value });
    }
}

/// What one collector saw.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBlock {
    /// The collector, as `?collect[]=` names it.
    pub collector: &'static str,
    /// When it was read: where a collector hangs, not all are read at the same time.
    pub taken: Moment,
    pub families: Vec<HostFamily>,
}

/// Everything the collectors saw last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSample {
    /// When it was put together.
    pub taken: Moment,
    pub blocks: Arc<[Arc<HostBlock>]>,
}

impl HostSample {
    pub fn families(&self) -> impl Iterator<Item = &HostFamily> {
        self.blocks.iter().flat_map(|block| &block.families)
    }

    /// The family of that name.
    pub fn family(&self, name: &str) -> Option<&HostFamily> {
        self.families().find(|family| family.name == name)
    }

    /// The value of the family's only series.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.family(name)?.series.first().map(|series| series.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_are_kept_as_they_are_shown() {
        let labels = Labels::new(&[("cpu", "0"), ("mode", "a\"b\\c\nd")]);
        assert_eq!(labels.rendered(), r#"cpu="0",mode="a\"b\\c\nd""#);
        assert_eq!(labels.get("mode").as_deref(), Some("a\"b\\c\nd"));
        assert_eq!(labels.get("nothing"), None);
        assert_eq!(Labels::new(&[]).rendered(), "");
    }

    proptest! {
        #[test]
        fn labels_come_out_as_they_went_in(values in proptest::collection::vec(".*", 0..4)) {
            let names = ["a", "b", "c", "d"];
            let pairs: Vec<(&str, &str)> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
            let labels = Labels::new(&pairs);
            let back: Vec<(String, String)> =
                labels.iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
            let wanted: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            prop_assert_eq!(back, wanted);
        }
    }
}
