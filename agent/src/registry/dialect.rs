//! How an instance is written for each kind of reader. Pure: from a service and what is known of it to key and value.
//!
//! All dialects but `native` only know instances that take traffic: for them an ill one is absent.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::model::instance::{self, Instance};
use crate::model::service::ServiceDef;

/// A form in which instances are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// `{prefix}/{service}/{id}`: everything (DESIGN 7).
    Native,
    /// `{prefix}/{service}/{id}` = `host:port`.
    Plain,
    /// `{prefix}/{service}/{host:port}`, as etcd's Go package `naming/endpoints` reads it:
    /// <https://etcd.io/docs/v3.5/dev-guide/grpc_naming/>, and the struct `Update` in
    /// `client/v3/naming/endpoints/internal/update.go`. A client dials `etcd:///{prefix}/{service}`.
    Grpc { prefix: String },
    /// `{prefix}/{reversed domain}/{service}/{id}`, as CoreDNS's plugin `etcd` reads it:
    /// <https://coredns.io/plugins/etcd/>, and the struct `Service` in `plugin/etcd/msg/service.go`.
    Skydns { prefix: String, domain: String },
    /// `{root}/http/services/{service}/loadbalancer/servers/{n}/url`, as Traefik's provider `etcd` reads it:
    /// <https://doc.traefik.io/traefik/routing/providers/kv/>.
    Traefik { root: String, scheme: String },
}

/// What is written of an instance.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    pub service: &'a ServiceDef,
    /// The service's own address, or that of the host.
    pub host: String,
    pub status: &'a str,
    pub since: String,
    pub held: bool,
    pub agent: &'a str,
    pub owner: &'a str,
    /// Seconds that a reader may remember it.
    pub ttl: u64,
}

impl Dialect {
    /// The metric label, and the word in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Plain => "plain",
            Self::Grpc { .. } => "grpc",
            Self::Skydns { .. } => "skydns",
            Self::Traefik { .. } => "traefik",
        }
    }

    /// Below this stands everything of the dialect.
    pub fn root(&self, prefix: &str) -> String {
        match self {
            Self::Native | Self::Plain => format!("{prefix}/"),
            Self::Grpc { prefix } | Self::Skydns { prefix, .. } => format!("{prefix}/"),
            Self::Traefik { root, .. } => format!("{root}/"),
        }
    }

    /// Below this stand all instances of a service. `prefix` is the registry's own.
    pub fn group(&self, prefix: &str, service: &str) -> String {
        match self {
            Self::Native | Self::Plain => format!("{prefix}/{service}/"),
            Self::Grpc { prefix } => format!("{prefix}/{service}/"),
            Self::Skydns { prefix, domain } => format!("{prefix}/{}/{}/", reversed(domain), reversed(service)),
            Self::Traefik { root, .. } => format!("{root}/http/services/{service}/loadbalancer/servers/"),
        }
    }

    pub fn key(&self, prefix: &str, service: &ServiceDef, host: &str) -> String {
        let group = self.group(prefix, &service.name);
        match self {
            Self::Native | Self::Plain => format!("{group}{}", service.id),
            Self::Grpc { .. } => format!("{group}{}", instance::endpoint(host, service.port)),
            Self::Skydns { .. } => format!("{group}{}", reversed(&service.id)),
            Self::Traefik { .. } => format!("{group}{}/url", list_index(&service.id)),
        }
    }

    pub fn value(&self, entry: &Entry<'_>) -> String {
        let endpoint = instance::endpoint(&entry.host, entry.service.port);
        match self {
            Self::Native => json(&native(entry)),
            Self::Plain => endpoint,
            Self::Grpc { .. } => {
                let metadata = Some(&entry.service.metadata).filter(|metadata| !metadata.is_empty());
                json(&GrpcUpdate { op: 0, addr: endpoint, metadata })
            }
            Self::Skydns { .. } => json(&SkydnsService {
                host: &entry.host,
                port: entry.service.port,
                weight: entry.service.weight.filter(|weight| *weight > 0),
                ttl: entry.ttl,
            }),
            Self::Traefik { scheme, .. } => format!("{scheme}://{endpoint}"),
        }
    }
}

impl Dialect {
    /// Do readers send traffic to what has this value? Only the native one can say that they should not.
    pub fn serves(&self, value: &str) -> bool {
        *self != Self::Native || serde_json::from_str::<Instance>(value).is_ok_and(|instance| instance.serves())
    }
}

fn native(entry: &Entry<'_>) -> Instance {
    let service = entry.service;
    Instance {
        id: service.id.to_string(),
        service: service.name.to_string(),
        address: entry.host.clone(),
        port: service.port,
        status: entry.status.to_owned(),
        since: entry.since.clone(),
        weight: service.weight,
        tags: service.tags.clone(),
        metadata: service.metadata.clone(),
        agent: entry.agent.to_owned(),
        owner: entry.owner.to_owned(),
        held: entry.held,
    }
}

/// `Update` of etcd's Go package: its fields carry no JSON names, so they are written as Go spells them.
#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct GrpcUpdate<'a> {
    /// 0 is Add.
    op: u8,
    addr: String,
    metadata: Option<&'a BTreeMap<String, String>>,
}

/// `Service` of CoreDNS, in its order; what is empty is left out. No `text`: it would hide the address
/// (coredns/coredns#6110). With a `ttl`: without one CoreDNS takes the lease's number for it.
#[derive(serde::Serialize)]
struct SkydnsService<'a> {
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    ttl: u64,
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Strings and numbers always can be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// `a.b.c` as `c/b/a`: DNS names are read from the right.
fn reversed(name: &str) -> String {
    name.rsplit('.').collect::<Vec<_>>().join("/")
}

/// Traefik wants decimal list indices, and each instance must keep its own: 63 bits of the id's SHA-256.
fn list_index(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    first >> 1
}

#[cfg(test)]
#[path = "dialect_tests.rs"]
mod tests;
