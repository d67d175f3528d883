//! Metric families as text: Prometheus' exposition format 0.0.4, and OpenMetrics 1.0.0 for whoever asks for it.
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// OpenMetrics only where it is named, and not refused with a quality of 0.
    pub fn negotiate(accept: &str) -> Self {
        let named = accept.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let matches = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            matches && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
        });
        if named { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Families of one name become one, so that no two sources can break the scrape.
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
    // OpenMetrics names a counter's family without the suffix that its samples have.
    let family = match (format, kind) {
        (Format::OpenMetrics, MetricType::COUNTER) => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    };
    let word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::GAUGE => "gauge",
        _ if format == Format::OpenMetrics => "unknown",
        _ => "untyped",
    };
    let _ = writeln!(out, "# HELP {family} {}", escape(first.help(), format == Format::OpenMetrics));
    let _ = writeln!(out, "# TYPE {family} {word}");
    for metric in families.iter().flat_map(|family| family.get_metric()) {
        write_metric(out, name, kind, metric);
    }
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
                let le = number(step.upper_bound());
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
        let _ = write!(out, "{label}=\"{}\"", escape(text, true));
    }
    if !labels.is_empty() || extra.is_some() {
        out.push('}');
    }
    let _ = writeln!(out, " {}", number(value));
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn escape(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
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
    fn openmetrics_is_for_whoever_asks() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        assert_eq!(Format::negotiate("text/plain"), Format::Text);
        assert_eq!(Format::negotiate("application/openmetrics-text;q=0"), Format::Text);
        assert_eq!(Format::negotiate(""), Format::Text);
    }
}
