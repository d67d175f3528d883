//! What came of a trial, for people. The first line says how it stands.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::table::{Table, coloured, one_line};
use crate::model::outcome::{Ending, Kind, Measurement, Part};

use super::super::plugin::inspect::size;
use super::form::Tried;
use super::{advice, trace};

/// Lines at both ends of what was printed.
const END: usize = 12;

/// Milliseconds, as many digits as say something.
pub fn millis(length: Duration) -> String {
    let millis = length.as_secs_f64() * 1e3;
    match millis {
        millis if millis < 1.0 => format!("{millis:.3} ms"),
        millis if millis < 10.0 => format!("{millis:.2} ms"),
        millis if millis < 100.0 => format!("{millis:.1} ms"),
        millis => format!("{millis:.0} ms"),
    }
}

/// Nothing is cut off where there is no `width`.
pub fn text(tried: &Tried, with_trace: bool, width: Option<usize>, colour: bool) -> String {
    let status = tried.status();
    let status = if colour { coloured(&status) } else { status };
    let reason = tried.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let colon = if tried.message().is_empty() { "" } else { ": " };
    let mut text = format!("{status}{reason}{colon}{}\n", one_line(tried.message()));
    if let Some(advice) = advice::of(tried) {
        let _ = writeln!(text, "{advice}");
    }
    let _ = write!(text, "\n{}", facts(tried));
    if let Ending::Judged(outcome) = &tried.runs.last.ending
        && !outcome.parts.is_empty()
    {
        let _ = write!(text, "\n{}", parts(&outcome.parts).render(width, colour));
    }
    if !tried.measurements().is_empty() {
        let _ = write!(text, "\n{}", measurements(tried.measurements()).render(width, false));
    }
    text.push_str(&beside(tried));
    if with_trace {
        let _ =
            write!(text, "\n{}", trace::text(&tried.sight, tried.runs.last.duration, &tried.subject.definition.masker));
    }
    for note in &tried.subject.notes {
        let _ = write!(text, "\nnote: {}\n", one_line(note));
    }
    text
}

/// Name, value, name, value, ...
fn facts(tried: &Tried) -> String {
    let (definition, last) = (&tried.subject.definition, &tried.runs.last);
    let mut facts: Vec<(&str, String)> = Vec::new();
    let (version, source) = (&tried.description.version, one_line(&tried.subject.plugin.source));
    facts.push(("checker", format!("{} {version}, {source}", definition.checker)));
    facts.extend(definition.target.as_ref().map(|target| ("target", one_line(&target.to_string()))));
    facts.push(("duration", format!("{} of {}", millis(last.duration), limit(definition.policy.timeout))));
    if !last.phases.is_empty() {
        let phases = last.phases.iter().map(|(phase, took)| format!("{phase} {}", millis(*took)));
        facts.push(("phases", phases.collect::<Vec<_>>().join(", ")));
    }
    facts.push(("CPU", millis(last.cpu)));
    let most = definition.limits.memory.unwrap_or(crate::sandbox::DEFAULT_RUN_MEMORY);
    facts.push(("memory", format!("{} of {}", size(last.memory_peak), size(most))));
    if tried.runs.count() > 1 {
        facts.extend(runs(tried));
    }
    facts.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{:<10} {value}", format!("{name}:"));
        text
    })
}

fn limit(timeout: Duration) -> String {
    humantime::format_duration(timeout).to_string()
}

fn runs(tried: &Tried) -> [(&'static str, String); 3] {
    let spread = |spread: super::runs::Spread| {
        format!("min {}, median {}, max {}", millis(spread.min), millis(spread.median), millis(spread.max))
    };
    let tally = tried.runs.tally().into_iter().filter(|(_, count)| *count > 0);
    let tally = tally.map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
    [
        ("runs", format!("{}: {tally}; above is the last one", tried.runs.count())),
        ("durations", spread(tried.runs.durations())),
        ("CPUs", spread(tried.runs.cpus())),
    ]
}

fn parts(parts: &[Part]) -> Table {
    let mut table = Table::new(["PART", "STATUS", "MESSAGE"]);
    for part in parts {
        table.row([one_line(&part.name), part.status.to_string(), one_line(&part.message)]);
    }
    table
}

fn measurements(all: &[Measurement]) -> Table {
    let mut table = Table::new(["MEASUREMENT", "VALUE", "SERIES"]);
    for measurement in all {
        let labels: Vec<String> = measurement.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let series = match labels.is_empty() {
            true => measurement.series(),
            false => format!("{}{{{}}}", measurement.series(), labels.join(",")),
        };
        table.row([measurement.name.clone(), value(measurement), series]);
    }
    table
}

/// With its unit, and of counters that they count.
fn value(measurement: &Measurement) -> String {
    let number = measurement.value;
    let counted = if measurement.kind == Kind::Counter { " so far" } else { "" };
    let text = match measurement.unit.as_str() {
        "seconds" if (0.0..1000.0).contains(&number) => length(number),
        "bytes" if (1024.0..1e18).contains(&number) => bytes(number),
        "" => format!("{number}"),
        unit => format!("{number} {unit}"),
    };
    format!("{text}{counted}")
}

fn length(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 1.0 { millis(Duration::from_secs_f64(seconds)) } else { format!("{seconds} s") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1024 and 1e18")]
fn bytes(number: f64) -> String {
    size(number as u64)
}

/// What the run left behind beside its judgement.
fn beside(tried: &Tried) -> String {
    let (sight, mut text) = (&tried.sight, String::new());
    let mut list = |head: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = write!(text, "\n{head}\n");
            for line in &lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    };
    let denied = sight.left.denied.iter().map(|denial| match &denial.allow {
        Some(grant) => format!("{}: --allow {grant} permits it (`allow = [\"{grant}\"]`)", denial.what),
        None => format!("{}; {}", denial.what, denial.advice),
    });
    let mut denied: Vec<String> = denied.collect();
    let more = tried.runs.last.denied.saturating_sub(u64::try_from(denied.len()).unwrap_or(u64::MAX));
    if more > 0 {
        denied.push(format!("and {more} more times"));
    }
    list("It was refused to", denied);
    list("It printed", both_ends(&sight.left.printed));
    list("It crashed in, the innermost first", sight.frames.clone());
    text
}

/// A flood is cut in its middle.
fn both_ends(lines: &[String]) -> Vec<String> {
    let left_out = lines.len().saturating_sub(2 * END);
    if left_out == 0 {
        return lines.to_vec();
    }
    let gap = format!("[{left_out} lines left out]");
    let (head, tail) = (lines.iter().take(END), lines.iter().skip(END + left_out));
    head.chain([&gap]).chain(tail).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_units() {
        let of = |value: f64, unit: &str, kind| Measurement {
            name: "m".into(),
            kind,
            value,
            unit: unit.into(),
            labels: Vec::new(),
        };
        for (measurement, wanted) in [
            (of(0.0123, "seconds", Kind::Gauge), "12.3 ms"),
            (of(12.5, "seconds", Kind::Gauge), "12.5 s"),
            (of(0.0, "seconds", Kind::Gauge), "0 s"),
            (of(-1.0, "seconds", Kind::Gauge), "-1 seconds"),
            (of(1_572_864.0, "bytes", Kind::Gauge), "1.5 MiB"),
            (of(12.0, "bytes", Kind::Counter), "12 bytes so far"),
            (of(7.0, "", Kind::Gauge), "7"),
            (of(0.5, "ratio", Kind::Gauge), "0.5 ratio"),
        ] {
            assert_eq!(value(&measurement), wanted);
        }
    }
}
