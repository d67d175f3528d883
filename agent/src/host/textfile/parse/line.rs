//! One line of the text format. A line that is not wholly understood is refused; comments are skipped.

use std::borrow::Cow;

use super::{Problem, brief};
use crate::model::host::HostKind;

/// By name; those without a value are left out.
pub type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

pub enum Line<'a> {
    Nothing,
    Help { name: &'a str, help: Cow<'a, str> },
    Type { name: &'a str, kind: HostKind },
    Sample(Sample<'a>),
}

pub struct Sample<'a> {
    pub name: &'a str,
    pub labels: Labels<'a>,
    pub value: f64,
}

const BLANKS: [char; 2] = [' ', '\t'];

pub fn read(line: &str) -> Result<Line<'_>, Problem> {
    let line = line.trim_start_matches(BLANKS);
    match line.strip_prefix('#') {
        Some(comment) => read_comment(comment),
        None if line.is_empty() => Ok(Line::Nothing),
        None => read_sample(line).map(Line::Sample),
    }
}

fn read_comment(comment: &str) -> Result<Line<'_>, Problem> {
    let (word, rest) = word(comment);
    let (name, text) = self::word(rest);
    if !matches!(word, "HELP" | "TYPE") || name.is_empty() {
        return Ok(Line::Nothing);
    }
    if !split_name(name, true).1.is_empty() {
        return Err(Problem::MetricName(brief(name)));
    }
    // Without text the line says nothing.
    match (word, text.trim_start_matches(BLANKS)) {
        (_, "") => Ok(Line::Nothing),
        ("HELP", help) => Ok(Line::Help { name, help: unescaped(help, false)? }),
        (_, kind) => Ok(Line::Type { name, kind: read_kind(kind.trim_end_matches(BLANKS))? }),
    }
}

fn read_kind(word: &str) -> Result<HostKind, Problem> {
    const KINDS: [HostKind; 5] =
        [HostKind::Counter, HostKind::Gauge, HostKind::Histogram, HostKind::Summary, HostKind::Untyped];
    let kind = KINDS.into_iter().find(|kind| word.eq_ignore_ascii_case(kind.word()));
    kind.ok_or_else(|| Problem::Type(brief(word)))
}

fn read_sample(line: &str) -> Result<Sample<'_>, Problem> {
    let (name, rest) = split_name(line, true);
    let after = rest.trim_start_matches(BLANKS);
    if name.is_empty() || !(after.len() < rest.len() || after.is_empty() || after.starts_with('{')) {
        return Err(Problem::MetricName(brief(word(line).0)));
    }
    let (labels, rest) = match after.strip_prefix('{') {
        Some(inside) => read_labels(inside)?,
        None => (Labels::new(), after),
    };
    let (value, rest) = word(rest);
    let value = read_number(value).ok_or_else(|| Problem::Value(brief(value)))?;
    match rest.trim_matches(BLANKS) {
        "" => Ok(Sample { name, labels, value }),
        timestamp => Err(Problem::Timestamp(brief(timestamp))),
    }
}

/// Labels up to the closing brace, and what is after it.
fn read_labels(mut rest: &str) -> Result<(Labels<'_>, &str), Problem> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches(BLANKS);
        if let Some(after) = rest.strip_prefix('}') {
            labels.sort_unstable();
            check_twice(&labels)?;
            labels.retain(|(_, value)| !value.is_empty());
            return Ok((labels, after));
        }
        let (label, after) = read_label(rest)?;
        labels.push(label);
        let after = after.trim_start_matches(BLANKS);
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.starts_with('}') => after,
            None => return Err(Problem::Labels(brief(after))),
        };
    }
}

type Label<'a> = (&'a str, Cow<'a, str>);

fn read_label(text: &str) -> Result<(Label<'_>, &str), Problem> {
    let (name, after) = split_name(text, false);
    if name.is_empty() {
        return Err(Problem::LabelName(brief(word(text).0)));
    }
    if name.starts_with("__") {
        return Err(Problem::ReservedLabel(brief(name)));
    }
    let value = after.trim_start_matches(BLANKS).strip_prefix('=').map(|value| value.trim_start_matches(BLANKS));
    let value = value.and_then(|value| value.strip_prefix('"')).ok_or_else(|| Problem::Labels(brief(text)))?;
    let end = closing_quote(value).ok_or_else(|| Problem::Labels(brief(text)))?;
    let (value, after) = value.split_at_checked(end).unwrap_or_default();
    Ok(((name, unescaped(value, true)?), after.strip_prefix('"').unwrap_or(after)))
}

fn check_twice(sorted: &Labels) -> Result<(), Problem> {
    let twice = sorted.iter().zip(sorted.iter().skip(1)).find(|((one, _), (next, _))| one == next);
    twice.map_or(Ok(()), |((name, _), _)| Err(Problem::LabelTwice(brief(name))))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescaped(text: &str, quoted: bool) -> Result<Cow<'_, str>, Problem> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (other, false) => plain.push(other),
            (_, true) => match letters.next() {
                Some('n') => plain.push('\n'),
                Some('\\') => plain.push('\\'),
                Some('"') if quoted => plain.push('"'),
                other => return Err(Problem::Escape(format!("\\{}", other.map(String::from).unwrap_or_default()))),
            },
        }
    }
    Ok(Cow::Owned(plain))
}

/// The first word, and what is after it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(BLANKS);
    text.split_at_checked(text.find(BLANKS).unwrap_or(text.len())).unwrap_or((text, ""))
}

/// The longest start that is a name, and what is after it. Metrics may have colons in theirs.
fn split_name(text: &str, colons: bool) -> (&str, &str) {
    let fits = |(index, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
        b'0'..=b'9' => index > 0,
        b':' => colons,
        _ => false,
    };
    let end = text.bytes().enumerate().position(|at| !fits(at)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or(("", text))
}

/// Digits that are too large for a double are refused, not shown as infinite.
pub fn read_number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let infinite = || text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (!value.is_infinite() || infinite()).then_some(value)
}
