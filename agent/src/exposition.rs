//! Metric families as text: Prometheus' exposition format 0.0.4, and OpenMetrics 1.0.0 for whoever asks for it.
//!
//! What the agent counts of itself is encoded for each scrape ([`encode`]); the host's numbers once for each sample
//! ([`HostText`]). Both may be gzipped, each part by itself ([`gzip`]).
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

pub mod gzip;
mod host;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::model::host::escape_into;

pub use self::host::{CollectorState, Demand, HostText, state_names};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// OpenMetrics only where it is named, not refused, and wanted no less than text.
    pub fn negotiate(accept: &str) -> Self {
        let wanted = |kind: &str| accept.split(',').filter_map(|item| quality(item, kind)).fold(0.0, f32::max);
        let open = wanted("application/openmetrics-text");
        if open > 0.0 && open >= wanted("text/plain") { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How much an item of an `Accept` header wants this: from 0 (not at all) to 1 (RFC 9110, 12.4.2). None where it is of
/// something else.
pub fn quality(item: &str, wanted: &str) -> Option<f32> {
    let mut parts = item.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(wanted) {
        return None;
    }
    let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some(given.map_or(1.0, |value| value.trim().parse().unwrap_or(0.0)))
}

/// Families of one name become one, so that no two sources can break the scrape. The last part of a body.
pub fn encode(families: &[MetricFamily], format: Format) -> String {
    let mut merged: BTreeMap<&str, Vec<&MetricFamily>> = BTreeMap::new();
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        let same = merged.entry(family.name()).or_default();
        if same.first().is_none_or(|first| first.get_field_type() == family.get_field_type()) {
            same.push(family);
        }
    }
    let mut out = String::with_capacity(64 * 1024);
    for (name, families) in merged {
        write_family(&mut out, name, &families, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_family(out: &mut String, name: &str, families: &[&MetricFamily], format: Format) {
    let Some(first) = families.first() else { return };
    let kind = first.get_field_type();
    let word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::GAUGE => "gauge",
        _ => "untyped",
    };
    head(out, name, first.help(), word, format);
    for metric in families.iter().flat_map(|family| family.get_metric()) {
        write_metric(out, name, kind, metric);
    }
}

/// The lines before a family's samples. OpenMetrics names a counter's family without the suffix that its samples have;
/// a counter that lacks the suffix is none to it, and keeps its name, which dashboards know, as a metric of unknown type.
fn head(out: &mut String, name: &str, help: &str, word: &str, format: Format) {
    let open = format == Format::OpenMetrics;
    let (family, word) = match word {
        "counter" if open => name.strip_suffix("_total").map_or((name, "unknown"), |stem| (stem, word)),
        "untyped" if open => (name, "unknown"),
        _ => (name, word),
    };
    let _ = write!(out, "# HELP {family} ");
    escape_into(out, help, open);
    let _ = write!(out, "\n# TYPE {family} {word}\n");
}

fn write_metric(out: &mut String, name: &str, kind: MetricType, metric: &Metric) {
    let labels = metric.get_label();
    match kind {
        MetricType::COUNTER => sample(out, name, labels, None, metric.get_counter().get_value()),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let count = float(histogram.get_sample_count());
            let bucket = format!("{name}_bucket");
            for step in histogram.get_bucket() {
                let mut le = String::new();
                number(&mut le, step.upper_bound());
                sample(out, &bucket, labels, Some(("le", &le)), float(step.cumulative_count()));
            }
            sample(out, &bucket, labels, Some(("le", "+Inf")), count);
            sample(out, &format!("{name}_sum"), labels, None, histogram.get_sample_sum());
            sample(out, &format!("{name}_count"), labels, None, count);
        }
        _ => sample(out, name, labels, None, metric.get_gauge().get_value()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the formats have doubles")]
fn float(count: u64) -> f64 {
    count as f64
}

fn sample(out: &mut String, name: &str, labels: &[LabelPair], extra: Option<(&str, &str)>, value: f64) {
    out.push_str(name);
    let own = labels.iter().map(|pair| (pair.name(), pair.value()));
    for (index, (label, text)) in own.chain(extra).enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(label);
        out.push_str("=\"");
        escape_into(out, text, true);
        out.push('"');
    }
    if !labels.is_empty() || extra.is_some() {
        out.push('}');
    }
    out.push(' ');
    number(out, value);
    out.push('\n');
}

/// Below this a whole number is the same as an integer.
const WHOLE: f64 = 9_007_199_254_740_992.0;

#[expect(clippy::cast_possible_truncation, reason = "a whole number of that size is an i64")]
fn number(out: &mut String, value: f64) {
    let _ = if value == f64::INFINITY {
        out.write_str("+Inf")
    } else if value == f64::NEG_INFINITY {
        out.write_str("-Inf")
    } else if value.trunc() == value && value.abs() < WHOLE {
        // Most are, and integers are written faster.
        write!(out, "{}", value as i64)
    } else {
        write!(out, "{value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Kind;
    use crate::telemetry::FamilyBuilder;

    fn family(name: &str, kind: Kind, label: &str, value: f64) -> MetricFamily {
        let mut builder = FamilyBuilder::new(name, "Help with a \\ and\na line.", kind);
        builder.add([("l", label)], value);
        builder.build()
    }

    #[test]
    fn both_formats() {
        let families = [
            family("a_total", Kind::Counter, "x\"y\\z\n", 1.0),
            family("b", Kind::Gauge, "1", f64::INFINITY),
            family("b", Kind::Gauge, "2", 0.25),
            family("b", Kind::Counter, "clashes", 1.0),
        ];
        let text = "# HELP a_total Help with a \\\\ and\\na line.\n# TYPE a_total counter\n\
                    a_total{l=\"x\\\"y\\\\z\\n\"} 1\n\
                    # HELP b Help with a \\\\ and\\na line.\n# TYPE b gauge\nb{l=\"1\"} +Inf\nb{l=\"2\"} 0.25\n";
        assert_eq!(encode(&families, Format::Text), text);
        let open = encode(&families, Format::OpenMetrics);
        assert!(open.contains("# TYPE a counter\na_total{"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
    }

    #[test]
    fn histograms_have_all_their_samples() {
        let metrics = crate::telemetry::Metrics::default();
        metrics.histogram("h", "A histogram.", &[0.5]).observe(0.1);
        let text = encode(&metrics.gather(), Format::Text);
        for line in ["h_bucket{le=\"0.5\"} 1", "h_bucket{le=\"+Inf\"} 1", "h_sum 0.1", "h_count 1"] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_counter_without_its_suffix_keeps_its_name() {
        let open = encode(&[family("hits", Kind::Counter, "x", 2.5)], Format::OpenMetrics);
        assert!(open.contains("# TYPE hits unknown\nhits{l=\"x\"} 2.5\n"), "{open}");
    }

    #[test]
    fn numbers() {
        let shown = |value| {
            let mut out = String::new();
            number(&mut out, value);
            out
        };
        for (value, text) in [(0.0, "0"), (-0.0, "0"), (-3.0, "-3"), (1e15, "1000000000000000"), (0.1, "0.1")] {
            assert_eq!(shown(value), text);
        }
        assert_eq!(shown(f64::NAN), "NaN");
        assert_eq!(shown(1e20).parse::<f64>(), Ok(1e20));
    }

    #[test]
    fn openmetrics_is_for_whoever_asks() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        assert_eq!(Format::negotiate("text/plain"), Format::Text);
        assert_eq!(Format::negotiate("application/openmetrics-text;q=0"), Format::Text);
        assert_eq!(Format::negotiate("application/openmetrics-text;q=0.000"), Format::Text);
        assert_eq!(Format::negotiate("text/plain;q=1, application/openmetrics-text;q=0.1"), Format::Text);
        assert_eq!(Format::negotiate(""), Format::Text);
    }
}
