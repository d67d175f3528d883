//! A sample of the host's numbers, as series under node_exporter's names.

use std::sync::Arc;

use super::outcome::Kind;
use super::time::Moment;

#[derive(Debug, Clone, PartialEq)]
pub struct HostSeries {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HostFamily {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub series: Vec<HostSeries>,
}

/// Everything the collectors saw at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSample {
    pub taken: Moment,
    pub families: Arc<[HostFamily]>,
}
