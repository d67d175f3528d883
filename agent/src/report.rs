//! What leaves the host: for each `[[report]]` the whole state as one JSON document, POSTed to its URL on a clock and
//! when a verdict or maintenance changes.
//!
//! Delivery is at least once and in order. Each report has its number and goes to disk before it is sent for the first
//! time; what a receiver has not confirmed is sent again, also after a kill. What is dropped (the buffer has a bound,
//! and some reports no receiver will ever take) is counted. A receiver that is slow or gone delays its own reports,
//! and nothing else.
//!
//! ```text
//! trigger (pure) ─► desk: number, gzip, file ─► queue (pure) ─► post: read back, hold to its number ─► courier: HTTP
//! ```

mod answer;
mod courier;
mod desk;
mod document;
mod host;
mod metrics;
mod post;
mod queue;
mod reporter;
pub mod seal;
mod secrets;
mod store;
mod trigger;
mod troubles;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use tokio::sync::watch;

use crate::model::check::TlsDef;
use crate::model::host::HostSample;
use crate::model::name::Name;
use crate::model::registration::RegistryView;
use crate::model::snapshot::HealthSnapshot;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;
use crate::tls::Tls;

use self::metrics::ReportMetrics;
use self::reporter::Reporter;

pub use self::document::{SCHEMA, SCHEMA_VERSION};

#[derive(Debug, Clone)]
pub struct Config {
    pub agent_id: Name,
    pub state_dir: PathBuf,
    /// Names stand once.
    pub targets: Vec<Target>,
}

/// One `[[report]]`. Headers may hold secrets; they are marked as such, and print as nothing.
#[derive(Debug, Clone)]
pub struct Target {
    /// Of its directory below `state_dir/reports`, too.
    pub name: Name,
    pub url: Url,
    pub interval: Duration,
    pub on_change: bool,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Read anew for each request.
    pub token_file: Option<PathBuf>,
    pub tls: TlsDef,
    pub gzip: bool,
    /// Of one try, from connecting to the head of the answer.
    pub timeout: Duration,
    /// Of what waits on disk, in bytes.
    pub buffer: u64,
}

/// Where reports go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// The header `Host`.
    pub authority: String,
    pub path: PathAndQuery,
    /// For people: without what may be secret.
    pub shown: String,
}

impl Target {
    /// What an operator may want otherwise, although it is no mistake.
    pub fn warning(&self) -> Option<String> {
        let secret = self.token_file.is_some() || self.headers.iter().any(|(name, _)| *name == AUTHORIZATION);
        let own = self.url.host == "localhost"
            || self.url.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        (secret && !self.url.secure && !own).then(|| {
            let shown = &self.url.shown;
            format!("report {}: the token goes to {shown} in clear text; use https://", self.name)
        })
    }
}

/// What reports are made from.
#[derive(Clone)]
pub struct Wires {
    pub snapshot: watch::Receiver<Arc<HealthSnapshot>>,
    pub sample: watch::Receiver<Arc<HostSample>>,
    /// None: the agent stands alone.
    pub registry: Option<watch::Receiver<Arc<RegistryView>>>,
}

pub struct Reports {
    reporters: Vec<Reporter>,
}

impl Reports {
    /// Looks at what waits on disk, and sends nothing yet.
    pub fn build(config: Config, supervisor: &Supervisor, wires: &Wires, metrics: &Metrics) -> Self {
        let metrics = ReportMetrics::new(metrics);
        let tls = Arc::new(Tls::default());
        let one = |target: &Target| {
            if let Some(warning) = target.warning() {
                tracing::warn!("{warning}");
            }
            let own = metrics.of(&target.name);
            Reporter::build(&config, target.clone(), supervisor.clone(), wires.clone(), tls.clone(), own)
        };
        Self { reporters: config.targets.iter().map(one).collect() }
    }

    pub async fn run(self, stop: Stop) {
        join_all(self.reporters.into_iter().map(|reporter| reporter.run(stop.clone()))).await;
    }
}
