//! What is registered: a name, an address on this host, and what consumers may know of it.

use std::collections::BTreeMap;

use super::name::Name;

/// An instance of a service on this host, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceDef {
    pub name: Name,
    /// Unique among the service's instances; default `{service}-{agent id}`.
    pub id: Name,
    /// None: the advertised address of the host.
    pub host: Option<String>,
    pub port: u16,
    pub tags: Vec<String>,
    pub weight: Option<u32>,
    pub metadata: BTreeMap<String, String>,
    /// `checks = "none"`: registered for as long as the agent lives.
    pub unchecked: bool,
}
