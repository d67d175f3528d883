//! Who is registered: `/api/v1/registry/services[/{name}]` for programs, `/sd/prometheus` for Prometheus. From what
//! discovery knows; etcd is never asked on request. Where discovery is off, the answer says how to turn it on.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::model::found::{Found, Set};
use crate::model::instance::Instance;
use crate::model::name::Name;
use crate::model::time::{Moment, rounded_ms};

use super::cache::Cache;
use super::reply::Reply;

pub const SERVICES: &str = "/api/v1/registry/services";
pub const SERVICE: &str = "/api/v1/registry/services/{name}";
pub const PROMETHEUS: &str = "/sd/prometheus";

/// Sixteen names.
macro_rules! forms {
    ($route:literal) => {
        [
            concat!($route, 0),
            concat!($route, 1),
            concat!($route, 2),
            concat!($route, 3),
            concat!($route, 4),
            concat!($route, 5),
            concat!($route, 6),
            concat!($route, 7),
            concat!($route, 8),
            concat!($route, 9),
            concat!($route, 10),
            concat!($route, 11),
            concat!($route, 12),
            concat!($route, 13),
            concat!($route, 14),
            concat!($route, 15),
        ]
    };
}

const OFF: &str = "This agent does not watch the registry. Name the services to watch in vitald.toml, beside [registry], \
                   or \"*\" for all, and start the agent anew:\n\n[discovery]\nwatch = [\"orders\"]\n";

/// What discovery gives.
pub struct Discovered {
    pub set: watch::Receiver<Arc<Set>>,
    /// None: all services.
    pub watched: Option<Vec<Name>>,
}

/// The statuses that an instance can have.
const STATUSES: [&str; 4] = ["UP", "DEGRADED", "DOWN", "MAINTENANCE"];
/// The forms of each route, by the statuses that are asked for: so that each is rendered once, whoever asks.
const SERVICES_FORMS: [&str; 16] = forms!("services");
const PROMETHEUS_FORMS: [&str; 16] = forms!("prometheus");

/// `?status=UP,DEGRADED`, one bit each; none for all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Filter(usize);

impl Filter {
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = 0;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key != "status" {
                return Err(format!("unknown parameter {key:?}; there is status"));
            }
            let value = percent_decode_str(value).decode_utf8_lossy();
            for word in value.split(',') {
                let known = STATUSES.iter().position(|status| status.eq_ignore_ascii_case(word.trim()));
                let Some(bit) = known else {
                    return Err(format!(
                        "status: write status=UP or status=UP,DEGRADED; there are {}",
                        STATUSES.join(", ")
                    ));
                };
                wanted |= 1 << bit;
            }
        }
        Ok(Self(wanted))
    }

    fn passes(self, instance: &Instance) -> bool {
        let bit = STATUSES.iter().position(|status| status.eq_ignore_ascii_case(&instance.status));
        self.0 == 0 || bit.is_some_and(|bit| self.0 & (1 << bit) != 0)
    }
}

/// What is asked: discovery may be off, or know nothing yet, and the query may be wrong.
fn ask(
    discovered: Option<&Discovered>,
    query: &str,
    answer: impl FnOnce(&Discovered, Arc<Set>, Filter) -> Reply,
) -> Reply {
    let Some(discovered) = discovered else {
        let content_type = "text/plain; charset=utf-8";
        return Reply::new(StatusCode::NOT_FOUND, content_type, OFF);
    };
    let filter = match Filter::parse(query) {
        Ok(filter) => filter,
        Err(problem) => return Reply::bad_request(&problem),
    };
    let set = discovered.set.borrow().clone();
    if !set.is_known() {
        // Whoever asks keeps what it knows: an empty list would be a lie.
        let error = json!({"error": "etcd has not been read yet"});
        return Reply::json(StatusCode::SERVICE_UNAVAILABLE, &error);
    }
    answer(discovered, set, filter)
}

/// The reply of one of a route's forms.
fn cached(
    cache: &Cache,
    forms: &[&'static str; 16],
    filter: Filter,
    set: &Arc<Set>,
    render: impl FnOnce() -> Reply,
) -> Reply {
    match forms.get(filter.0) {
        Some(form) => cache.get(form, Arc::as_ptr(set).addr(), render),
        None => render(),
    }
}

/// `/api/v1/registry/services`
pub fn services(discovered: Option<&Discovered>, query: &str, cache: &Cache) -> Reply {
    ask(discovered, query, |_, set, filter| {
        let render = || Reply::json(StatusCode::OK, &listing(&set, filter, clock::now()));
        cached(cache, &SERVICES_FORMS, filter, &set, render)
    })
}

/// `/api/v1/registry/services/{name}`
pub fn service(discovered: Option<&Discovered>, name: &str, query: &str) -> Reply {
    ask(discovered, query, |discovered, set, filter| {
        if let Some(watched) = &discovered.watched
            && !watched.iter().any(|own| &**own == name)
        {
            let list = watched.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            let problem = format!("that service is not watched; [discovery] has watch = [{list}]");
            return Reply::not_found(&problem);
        }
        let found = set.instances(name);
        if found.is_empty() {
            return Reply::not_found("that service has no instance");
        }
        let mut body = service_body(name, found, filter);
        if let Some(body) = body.as_object_mut() {
            body.extend(state(&set, clock::now()));
        }
        Reply::json(StatusCode::OK, &body)
    })
}

/// Everything as one object: also what `vitald services --json` prints.
pub fn listing(set: &Set, filter: Filter, now: Moment) -> Value {
    let services = set.services.iter().map(|(name, found)| service_body(name, found, filter));
    let mut body = state(set, now);
    body.insert("services".into(), services.collect());
    body.into()
}

fn state(set: &Set, now: Moment) -> Map<String, Value> {
    let age = rounded_ms(set.age(now));
    [("age_ms".to_owned(), json!(age)), ("revision".to_owned(), set.revision.into())].into_iter().collect()
}

fn service_body(name: &str, found: &[Found], filter: Filter) -> Value {
    let found = found.iter().filter(|found| filter.passes(&found.instance));
    let instances: Vec<Value> = found.map(instance_body).collect();
    json!({"name": name, "instances": instances})
}

/// Its owner apart, which concerns nobody but the agents.
fn instance_body(found: &Found) -> Value {
    let instance = &found.instance;
    json!({
        "id": instance.id,
        "address": instance.address,
        "port": instance.port,
        "status": instance.status,
        "since": instance.since,
        "suspect": found.suspect.is_some(),
        "held": instance.held,
        "weight": instance.weight,
        "tags": instance.tags,
        "metadata": instance.metadata,
        "agent": instance.agent,
    })
}

/// `/sd/prometheus`: <https://prometheus.io/docs/prometheus/latest/http_sd/>
pub fn prometheus(discovered: Option<&Discovered>, query: &str, cache: &Cache) -> Reply {
    ask(discovered, query, |_, set, filter| {
        let render = || Reply::json(StatusCode::OK, &target_groups(&set, filter));
        cached(cache, &PROMETHEUS_FORMS, filter, &set, render)
    })
}

fn target_groups(set: &Set, filter: Filter) -> Value {
    let found = set.services.values().flat_map(|found| found.iter());
    found.filter(|found| filter.passes(&found.instance)).map(target_group).collect()
}

fn target_group(found: &Found) -> Value {
    let instance = &found.instance;
    // As consul_sd has them: a comma on both sides of each, so that a relabelling matches whole tags.
    let tags = format!(",{},", instance.tags.join(","));
    let own = [
        ("service", instance.service.as_str()),
        ("instance", &instance.id),
        ("status", &instance.status),
        ("agent", &instance.agent),
        ("tags", &tags),
        ("suspect", if found.suspect.is_some() { "true" } else { "false" }),
    ];
    let own = own.map(|(name, value)| (format!("__meta_vitald_{name}"), value));
    let metadata = instance.metadata.iter();
    let metadata = metadata.map(|(key, value)| (format!("__meta_vitald_metadata_{}", label(key)), value.as_str()));
    let labels: BTreeMap<String, &str> = own.into_iter().chain(metadata).collect();
    json!({"targets": [instance.endpoint()], "labels": labels})
}

/// What Prometheus makes of other characters in a label's name.
fn label(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
