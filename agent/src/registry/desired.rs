//! Which keys there should be. A pure function of snapshot, configuration, who we are, and what may go.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde_json::json;

use crate::model::name::Name;
use crate::model::service::ServiceDef;
use crate::model::snapshot::{Aggregate, HealthSnapshot, ServiceView};
use crate::model::time::rfc3339;

use super::dialect::{Dialect, Entry};
use super::{Config, Mode, OnDown};

/// What should be at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Value(String),
    /// Whatever is there stays: nothing is decided.
    AsItIs,
    Gone(Why),
}

/// Why a key is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The instance is ill: it goes only if it can come back, and if enough others remain.
    Verdict,
    /// Somebody wants it: maintenance, a stop, another configuration.
    Will,
}

/// What is written in one transaction: an instance in all its dialects, or the agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    Agent,
    Service(Name),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub unit: Unit,
    pub dialect: &'static str,
    pub wanted: Wanted,
}

/// By key. Keys of ours that are not mentioned should not be there.
pub type Desired = BTreeMap<String, Wish>;

/// What becomes of an instance that is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Go,
    /// It is not known yet whether enough others would remain.
    Wait,
    /// Too few others would remain.
    Held,
}

/// Who registers.
#[derive(Debug, Clone)]
pub struct Who<'a> {
    pub config: &'a Config,
    pub owner: &'a str,
    pub address: IpAddr,
}

impl<'a> Who<'a> {
    /// The keys of an instance, in each dialect.
    pub fn keys_of(&self, service: &ServiceDef) -> Vec<(&'a Dialect, String)> {
        let host = self.host(service);
        let key = |dialect: &'a Dialect| (dialect, dialect.key(&self.config.prefix, service, &host));
        self.config.dialects.iter().map(key).collect()
    }

    fn host(&self, service: &ServiceDef) -> String {
        service.host.clone().unwrap_or_else(|| self.address.to_string())
    }

    fn value(&self, dialect: &Dialect, view: &ServiceView, held: bool) -> String {
        dialect.value(&Entry {
            service: &view.definition,
            host: self.host(&view.definition),
            status: view.status(),
            since: rfc3339(view.since.wall),
            held,
            agent: &self.config.agent_id,
            owner: self.owner,
            ttl: self.config.ttl.as_secs(),
        })
    }
}

/// `fates` says what becomes of ill instances; who is not mentioned goes.
pub fn desired(snapshot: &HealthSnapshot, who: &Who<'_>, mode: Mode, fates: &BTreeMap<Name, Fate>) -> Desired {
    let mut keys = Desired::new();
    for (name, view) in &snapshot.services {
        for (dialect, key) in who.keys_of(&view.definition) {
            let wanted = match mode {
                // Handing over changes nothing.
                Mode::Register | Mode::Freeze | Mode::HandOver => {
                    let fate = fates.get(name).copied().unwrap_or(Fate::Go);
                    wanted(view, dialect, who, snapshot, fate)
                }
                Mode::Withdraw | Mode::Leave => Wanted::Gone(Why::Will),
            };
            keys.insert(key, Wish { unit: Unit::Service(name.clone()), dialect: dialect.word(), wanted });
        }
    }
    let agent = match mode {
        Mode::Register | Mode::Freeze | Mode::HandOver => agent(snapshot, who),
        // It goes with the lease.
        Mode::Withdraw | Mode::Leave => Wanted::AsItIs,
    };
    keys.insert(agent_key(who.config), Wish { unit: Unit::Agent, dialect: AGENT, wanted: agent });
    keys
}

/// The agent's own key may be refused like a dialect.
pub const AGENT: &str = "agent";

pub fn agent_key(config: &Config) -> String {
    format!("{}/{}", config.agents_prefix, config.agent_id)
}

fn wanted(view: &ServiceView, dialect: &Dialect, who: &Who<'_>, snapshot: &HealthSnapshot, fate: Fate) -> Wanted {
    let value = |held| Wanted::Value(who.value(dialect, view, held));
    let marks = *dialect == Dialect::Native && matches!(who.config.on_down, OnDown::Mark { .. });
    if view.maintenance.is_some() {
        return if marks { value(false) } else { Wanted::Gone(Why::Will) };
    }
    if !view.decided {
        return Wanted::AsItIs;
    }
    if view.registrable {
        return value(false);
    }
    match fate {
        Fate::Wait => Wanted::AsItIs,
        Fate::Held => value(true),
        Fate::Go if marks && view.aggregate == Aggregate::Down && !is_over(view, who, snapshot) => value(false),
        Fate::Go => Wanted::Gone(Why::Verdict),
    }
}

/// Has it been DOWN for longer than a marked instance is kept?
fn is_over(view: &ServiceView, who: &Who<'_>, snapshot: &HealthSnapshot) -> bool {
    match who.config.on_down {
        OnDown::Mark { remove_after: Some(limit) } => snapshot.at.since(view.since) >= limit,
        _ => false,
    }
}

/// Would a verdict take this instance out of traffic?
pub fn is_ill(view: &ServiceView) -> bool {
    view.maintenance.is_none() && view.decided && !view.registrable
}

/// The agent's own key: written once the first verdicts are in, so that a restart changes nothing.
fn agent(snapshot: &HealthSnapshot, who: &Who<'_>) -> Wanted {
    if !snapshot.is_settled() {
        return Wanted::AsItIs;
    }
    let services: BTreeMap<&str, _> = snapshot.services.iter().map(|(name, view)| (&**name, view.status())).collect();
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

/// Two things that would be written to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The later of the two, where it is a service.
    pub service: Option<Name>,
    key: String,
    first: String,
    second: String,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {} would both be written to {} in etcd: ", self.first, self.second, self.key)?;
        f.write_str("give one of them another id or address, or one of the dialects another prefix")
    }
}

/// Every key that would be written twice.
pub fn clashes<'a>(config: &Config, services: impl Iterator<Item = &'a ServiceDef>) -> Vec<Clash> {
    // Which address it will be does not matter: it is the same for all who have none of their own.
    let who = Who { config, owner: "", address: IpAddr::from([0, 0, 0, 0]) };
    let mut taken = BTreeMap::from([(agent_key(config), "the agent's own key".to_owned())]);
    let mut clashes = Vec::new();
    for service in services {
        for (dialect, key) in who.keys_of(service) {
            let second = format!("{} ({})", service.name, dialect.word());
            match taken.get(&key) {
                Some(first) => {
                    clashes.push(Clash { service: Some(service.name.clone()), first: first.clone(), second, key })
                }
                None => drop(taken.insert(key, second)),
            }
        }
    }
    clashes
}

/// Two prefixes that are the same or lie one within the other: what stands below one would be taken for what stands
/// below both.
pub fn nested_prefixes(config: &Config) -> Option<(String, String)> {
    let mut roots: Vec<String> = config.dialects.iter().map(|dialect| dialect.root(&config.prefix)).collect();
    roots.push(format!("{}/", config.agents_prefix));
    roots.sort();
    let pairs = roots.iter().zip(roots.iter().skip(1));
    let nested = pairs.into_iter().find(|(outer, inner)| inner.starts_with(outer.as_str()));
    nested.map(|(outer, inner)| (outer.clone(), inner.clone()))
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
