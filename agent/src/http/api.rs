//! The bodies below `/api/v1`: this agent's checks, services and plugins, for tools.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::model::check::Judges;
use crate::model::checkset::PluginInfo;
use crate::model::snapshot::{CheckView, HealthSnapshot, ServiceView};
use crate::model::time::{Moment, rfc3339, rounded_ms};

use super::health::{detail, maintenance};
use super::reply::Reply;

/// `/api/v1/checks`
pub fn checks(snapshot: &HealthSnapshot, now: Moment) -> Reply {
    let all: Vec<Value> = snapshot.checks.values().map(|view| check_body(view, now)).collect();
    Reply::json(StatusCode::OK, &json!({"checks": all}))
}

/// `/api/v1/checks/{name}`
pub fn check(snapshot: &HealthSnapshot, name: &str, now: Moment) -> Reply {
    match snapshot.checks.get(name) {
        Some(view) => Reply::json(StatusCode::OK, &check_body(view, now)),
        None => Reply::not_found("this agent has no check of that name"),
    }
}

/// What is shown of it, and how it is configured. Parameters are left out: they may hold secrets.
fn check_body(view: &CheckView, now: Moment) -> Value {
    let (definition, policy, verdict) = (&view.definition, &view.definition.policy, &view.verdict);
    let services = match &definition.judges {
        Judges::Host => json!([]),
        Judges::All => json!("*"),
        Judges::These(names) => json!(names),
    };
    let mut body = json!({
        "name": definition.name,
        "checker": definition.checker,
        "target": definition.target.as_ref().map(ToString::to_string),
        "services": services,
        "severity": definition.severity,
        "interval_ms": rounded_ms(policy.interval),
        "timeout_ms": rounded_ms(policy.timeout),
        "fall": policy.fall,
        "rise": policy.rise,
        "last": verdict.status,
        "counts_as": view.counts,
        "streak": view.streak(),
        "faults": verdict.faults,
        "measurements": *verdict.measurements,
        "defined_at": definition.origin,
    });
    if let (Some(body), Value::Object(shown)) = (body.as_object_mut(), detail(view, now)) {
        body.extend(shown);
    }
    body
}

/// `/api/v1/services`
pub fn services(snapshot: &HealthSnapshot) -> Reply {
    let body = |view: &ServiceView| {
        let service = &view.definition;
        json!({
            "name": service.name,
            "id": service.id,
            "host": service.host,
            "port": service.port,
            "tags": service.tags,
            "weight": service.weight,
            "metadata": service.metadata,
            "status": view.status(),
            "since": rfc3339(view.since.wall),
            "registrable": view.registrable,
            "maintenance": view.maintenance.as_ref().map(maintenance),
            "checks": view.checks,
        })
    };
    let all: Vec<Value> = snapshot.services.values().map(body).collect();
    Reply::json(StatusCode::OK, &json!({"services": all}))
}

/// `/api/v1/plugins`
pub fn plugins(infos: &[PluginInfo]) -> Reply {
    Reply::json(StatusCode::OK, &json!({"plugins": infos}))
}
