//! Which keys there should be. A pure function of snapshot, configuration and who we are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;

use crate::model::snapshot::{HealthSnapshot, ServiceView};
use crate::model::time::rfc3339;

use super::{Config, Mode};

/// What should be at a key. Keys that are not mentioned should not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Value(String),
    /// Whatever is there stays: nothing is decided.
    AsItIs,
}

pub type Desired = BTreeMap<String, Wanted>;

/// Who registers.
#[derive(Debug, Clone)]
pub struct Who<'a> {
    pub config: &'a Config,
    pub owner: &'a str,
    pub address: IpAddr,
}

pub fn desired(snapshot: &HealthSnapshot, who: &Who<'_>, mode: Mode) -> Desired {
    let mut keys = Desired::new();
    // Handing over changes nothing.
    if matches!(mode, Mode::Register | Mode::HandOver) {
        for view in snapshot.services.values() {
            let key = instance_key(who.config, view);
            if !view.decided {
                keys.insert(key, Wanted::AsItIs);
            } else if view.registrable {
                keys.insert(key, Wanted::Value(instance(view, who)));
            }
        }
    }
    keys.insert(agent_key(who.config), agent(snapshot, who));
    keys
}

pub fn instance_key(config: &Config, view: &ServiceView) -> String {
    format!("{}/{}/{}", config.prefix, view.definition.name, view.definition.id)
}

pub fn agent_key(config: &Config) -> String {
    format!("{}/{}", config.agents_prefix, config.agent_id)
}

fn instance(view: &ServiceView, who: &Who<'_>) -> String {
    let service = &view.definition;
    let address = service.host.clone().unwrap_or_else(|| who.address.to_string());
    json!({
        "id": service.id,
        "service": service.name,
        "address": address,
        "port": service.port,
        "status": view.aggregate,
        "since": rfc3339(view.since.wall),
        "weight": service.weight,
        "tags": service.tags,
        "metadata": service.metadata,
        "agent": who.config.agent_id,
        "owner": who.owner,
    })
    .to_string()
}

/// The agent's own key: written once everything is decided, so that a restart changes nothing.
fn agent(snapshot: &HealthSnapshot, who: &Who<'_>) -> Wanted {
    if !snapshot.loaded || snapshot.services.values().any(|service| !service.decided) {
        return Wanted::AsItIs;
    }
    let services: BTreeMap<&str, _> = snapshot.services.iter().map(|(n, view)| (&**n, view.aggregate)).collect();
    let port = who.config.listen.first().map_or(0, |listen| listen.port());
    let host = match who.config.listen.first().map(|listen| listen.ip()) {
        Some(ip) if !ip.is_unspecified() => ip,
        _ => who.address,
    };
    let value = json!({
        "agent": who.config.agent_id,
        "version": env!("CARGO_PKG_VERSION"),
        "http": format!("http://{}", std::net::SocketAddr::new(host, port)),
        "services": services,
        "owner": who.owner,
    });
    Wanted::Value(value.to_string())
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
