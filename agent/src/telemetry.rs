//! Logs and the root of the metric registry. A part's metric names stand together in a `metrics.rs` of its own; it
//! builds them through the helpers here, which never fail: a name that clashes is a bug that the unit tests catch.

use std::io::IsTerminal as _;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{Directive, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::model::outcome::Kind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For a person at a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

const QUIET: &str = "hickory_resolver=off,hickory_net=off,hickory_proto=off";

/// What guests hand to the host and get from it may be secrets: no level shows it, whoever asks for it. Only the onlooker
/// of a trial sees it, which masks it.
const UNMASKED: [&str; 3] = ["vitald::sandbox::v0_1::bindings", "wasmtime_wasi", "wasmtime_wasi_http"];

/// Starts logging to standard error. `RUST_LOG` wins over `level`; it cannot show what is unmasked.
pub fn init_logs(format: LogFormat, level: &str) {
    init_logs_beside(format, level, None);
}

/// Whatever else looks at spans and events.
pub type Onlooker = Box<dyn Layer<Registry> + Send + Sync>;

/// The same, with somebody beside the log who sees what it does not let through.
pub fn init_logs_beside(format: LogFormat, level: &str, onlooker: Option<Onlooker>) {
    // Libraries log what guests make them do, as often as guests like; what matters of it is logged by us.
    let own = format!("{level},{QUIET}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(own));
    // Nobody makes them for what is not shown.
    let off = UNMASKED.iter().filter_map(|own| format!("{own}=off").parse().ok());
    let filter = off.fold(filter, |filter, off: Directive| filter.add_directive(off));
    let all = tracing_subscriber::registry();
    // A second call (tests) changes nothing.
    let _ = match onlooker {
        // As a filter of its own it sees to it that nobody asks for more than the log takes.
        None => all.with(filter).with(lines(format).with_filter(filter_fn(is_masked))).try_init(),
        Some(onlooker) => {
            all.with(onlooker).with(lines(format).with_filter(filter.and(filter_fn(is_masked)))).try_init()
        }
    };
}

/// A directive for something more special, such as `wasmtime_wasi::p2=trace`, wins over one that turns it off.
fn is_masked(metadata: &Metadata<'_>) -> bool {
    !UNMASKED.iter().any(|own| metadata.target().starts_with(own))
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// Families that are made from a snapshot when they are asked for, instead of being counted as things happen.
pub trait MetricSource: Send + Sync {
    fn families(&self) -> Vec<MetricFamily>;
}

/// Where parts register what they count.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: prometheus::Registry,
}

impl Metrics {
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Arc<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Arc<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str) -> Arc<IntGauge> {
        self.register(IntGauge::new(name, help))
    }

    pub fn gauge_f64(&self, name: &str, help: &str) -> Arc<prometheus::Gauge> {
        self.register(prometheus::Gauge::new(name, help))
    }

    pub fn counter(&self, name: &str, help: &str) -> Arc<prometheus::IntCounter> {
        self.register(prometheus::IntCounter::new(name, help))
    }

    pub fn counters_f64(&self, name: &str, help: &str, labels: &[&str]) -> Arc<prometheus::CounterVec> {
        self.register(prometheus::CounterVec::new(Opts::new(name, help), labels))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Arc<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> Arc<HistogramVec> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }

    /// All that is registered, as families with at least one series.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    #[expect(clippy::expect_used, reason = "names and labels are constants of this crate: every start tests them")]
    fn register<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> Arc<C> {
        let collector = collector.expect("metric names and labels are well-formed constants");
        self.registry.register(Box::new(collector.clone())).expect("metric names are registered once");
        Arc::new(collector)
    }
}

/// Builds one family of gauges or counters from a snapshot.
pub struct FamilyBuilder {
    family: MetricFamily,
    kind: Kind,
}

impl FamilyBuilder {
    pub fn new(name: &str, help: &str, kind: Kind) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(match kind {
            Kind::Gauge => MetricType::GAUGE,
            Kind::Counter => MetricType::COUNTER,
        });
        Self { family, kind }
    }

    pub fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, Kind::Gauge)
    }

    pub fn add<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>, value: f64) {
        let pair = |(name, value): (&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        let mut metric = Metric::from_label(labels.into_iter().map(pair).collect());
        match self.kind {
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
        }
        self.family.mut_metric().push(metric);
    }

    pub fn build(self) -> MetricFamily {
        self.family
    }
}
