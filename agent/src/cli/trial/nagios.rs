//! One line for Nagios and its heirs, as the Monitoring Plugins Development Guidelines have it: the word, a text, `|`, and
//! performance data `'label'=value[unit];[warn];[crit];[min];[max]`. Labels hold neither `'` nor `=`, values no exponent.

use std::fmt::Write as _;

use crate::cli::table::one_line;
use crate::model::outcome::{Kind, Measurement};

use super::form::{Tried, measurements, message, reason, status};

/// Of the worst run, as the exit code is.
pub fn line(tried: &Tried) -> String {
    let worst = &tried.runs.worst;
    let word = match status(&worst.ending).as_str() {
        "UP" => "OK",
        "DEGRADED" => "WARNING",
        "DOWN" => "CRITICAL",
        _ => "UNKNOWN",
    };
    let reason = reason(&worst.ending).map(|reason| format!("{reason}: ")).unwrap_or_default();
    let mut line = format!("{word} - {}", text(&format!("{reason}{}", message(&worst.ending))));
    let _ = write!(line, " | 'time'={}s;;;", worst.duration.as_secs_f64());
    for measurement in measurements(&worst.ending) {
        let _ = write!(line, " {}", data(measurement));
    }
    line.push('\n');
    line
}

pub fn failure(problem: &str) -> String {
    format!("UNKNOWN - {}\n", text(problem))
}

/// A bar begins the performance data.
fn text(text: &str) -> String {
    one_line(text).replace('|', "/")
}

fn data(measurement: &Measurement) -> String {
    let unit = match (measurement.kind, measurement.unit.as_str()) {
        (Kind::Counter, _) => "c",
        (_, "seconds") => "s",
        (_, "bytes") => "B",
        _ => "",
    };
    format!("'{}'={}{unit};;;", label(measurement), measurement.value)
}

/// `lag[db:orders]`
fn label(measurement: &Measurement) -> String {
    let labels = measurement.labels.iter().map(|(name, value)| format!("{name}:{value}"));
    let labels = labels.collect::<Vec<_>>().join(",");
    let label = if labels.is_empty() { measurement.name.clone() } else { format!("{}[{labels}]", measurement.name) };
    text(&label).replace(['\'', '='], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(name: &str, kind: Kind, value: f64, unit: &str, labels: &[(&str, &str)]) -> Measurement {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Measurement { name: name.into(), kind, value, unit: unit.into(), labels }
    }

    #[test]
    fn performance_data_is_what_the_guidelines_say() {
        let form = regex::Regex::new(r"^'[^'=|]+'=-?[0-9]+(\.[0-9]+)?(s|B|c)?;;;$").expect("a pattern");
        for (all, wanted) in [
            (measurement("lag", Kind::Gauge, 0.25, "seconds", &[]), "'lag'=0.25s;;;"),
            (measurement("size", Kind::Gauge, 1024.0, "bytes", &[]), "'size'=1024B;;;"),
            (measurement("sent", Kind::Counter, 7.0, "bytes", &[]), "'sent'=7c;;;"),
            (measurement("fill", Kind::Gauge, 0.5, "ratio", &[]), "'fill'=0.5;;;"),
            (measurement("lag", Kind::Gauge, -1.0, "", &[("db", "it's|a=b")]), "'lag[db:it_s/a_b]'=-1;;;"),
            (measurement("small", Kind::Gauge, 1e-9, "", &[]), "'small'=0.000000001;;;"),
        ] {
            assert_eq!(data(&all), wanted);
            assert!(form.is_match(&data(&all)), "{wanted}");
        }
        assert!(form.is_match(&data(&measurement("big", Kind::Gauge, 1e300, "", &[]))));
    }

    #[test]
    fn a_text_ends_before_its_data() {
        assert_eq!(failure("a | b\nc"), "UNKNOWN - a / b c\n");
    }
}
