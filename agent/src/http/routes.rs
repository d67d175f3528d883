//! Which path answers what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::clock;
use crate::model::snapshot::HealthSnapshot;
use crate::supervise::{Beats, LATE};
use crate::telemetry::Metrics;

use super::cache::Cache;
use super::health::Query;
use super::metrics::HttpMetrics;
use super::reply::{Pieces, Reply};
use super::{Wires, api, exposed, health, registry};

/// After this the agent is ready even if some check has not ended its first run.
const READY_ANYWAY: Duration = Duration::from_secs(30);

pub struct State {
    pub wires: Wires,
    pub metrics: Metrics,
    pub counts: HttpMetrics,
    pub beats: Beats,
    pub started: Instant,
    pub cache: Cache,
    /// Large bodies: whoever waits for them keeps nobody from the small ones.
    pub registry_cache: Cache,
}

/// Answers one request. Nothing in here waits.
pub fn answer<B>(state: &State, request: &Request<B>) -> Response<Pieces> {
    let begun = Instant::now();
    let path = request.uri().path();
    let (route, reply) = match *request.method() {
        Method::GET | Method::HEAD => route(state, request, path),
        _ => {
            let reply = Reply::json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "only GET and HEAD"}));
            ("other", reply)
        }
    };
    let method = known_method(request.method());
    state.counts.answered(method, route, path, reply.status.as_u16(), begun.elapsed());
    reply.into_response(request.method())
}

/// Strangers can send any word as a method; a label has few values.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn route<B>(state: &State, request: &Request<B>, path: &str) -> (&'static str, Reply) {
    let snapshot = || state.wires.snapshot.borrow().clone();
    let version = Arc::as_ptr(&snapshot()).addr();
    let cached = |form, render: &dyn Fn() -> Reply| state.cache.get(form, version, render);
    let (discovered, query) = (state.wires.discovered.as_ref(), request.uri().query().unwrap_or_default());
    match path {
        "/health" => ("/health", overall(state, request)),
        "/health/live" => ("/health/live", live(state)),
        "/health/ready" => ("/health/ready", ready(state)),
        "/metrics" => ("/metrics", exposed::metrics(state, request)),
        "/api/v1/checks" => ("/api/v1/checks", cached("/api/v1/checks", &|| api::checks(&snapshot(), clock::now()))),
        "/api/v1/plugins" => ("/api/v1/plugins", plugins(state)),
        "/api/v1/services" => ("/api/v1/services", cached("/api/v1/services", &|| api::services(&snapshot()))),
        registry::SERVICES => (registry::SERVICES, registry::services(discovered, query, &state.registry_cache)),
        registry::PROMETHEUS => (registry::PROMETHEUS, registry::prometheus(discovered, query, &state.registry_cache)),
        "/" => ("/", index(state)),
        _ => match path.strip_prefix(registry::SERVICES).and_then(|rest| rest.strip_prefix('/')) {
            Some(name) => (registry::SERVICE, registry::service(discovered, name, query)),
            None => named(&snapshot(), path),
        },
    }
}

fn named(snapshot: &Arc<HealthSnapshot>, path: &str) -> (&'static str, Reply) {
    let now = clock::now();
    if let Some(name) = path.strip_prefix("/health/services/") {
        return ("/health/services/{name}", health::service(snapshot, name, now));
    }
    if let Some(name) = path.strip_prefix("/health/checks/") {
        return ("/health/checks/{name}", health::check(snapshot, name, now));
    }
    if let Some(name) = path.strip_prefix("/api/v1/checks/") {
        return ("/api/v1/checks/{name}", api::check(snapshot, name, now));
    }
    ("other", Reply::not_found("there is nothing here; try /health, /metrics or /api/v1/checks"))
}

fn overall<B>(state: &State, request: &Request<B>) -> Reply {
    let snapshot = state.wires.snapshot.borrow().clone();
    let query = match Query::parse(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(problem) => return Reply::bad_request(&problem),
    };
    let origin = state.wires.reload.borrow().origin;
    let render = || health::overall(&snapshot, &query, origin, clock::now());
    if query.is_plain() { state.cache.get("/health", Arc::as_ptr(&snapshot).addr(), render) } else { render() }
}

fn live(state: &State) -> Reply {
    let late = state.beats.late(LATE);
    if late.is_empty() {
        return Reply::json(StatusCode::OK, &json!({"status": "UP"}));
    }
    let late: Vec<_> = late.iter().map(|(name, age)| json!({"loop": name, "late_s": age.as_secs()})).collect();
    Reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "DOWN", "late": late}))
}

fn ready(state: &State) -> Reply {
    let first = state.wires.snapshot.borrow().complete();
    let reason = if *state.wires.stopping.borrow() {
        "the agent is stopping"
    } else if !first && state.started.elapsed() < READY_ANYWAY {
        "the first runs have not all ended"
    } else {
        return Reply::json(StatusCode::OK, &json!({"status": "UP"}));
    };
    Reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "DOWN", "reason": reason}))
}

fn plugins(state: &State) -> Reply {
    let infos = state.wires.plugins.borrow().clone();
    let version = Arc::as_ptr(&infos).cast::<u8>().addr();
    state.cache.get("/api/v1/plugins", version, || api::plugins(&infos))
}

fn index(state: &State) -> Reply {
    let body = json!({
        "vitald": env!("CARGO_PKG_VERSION"),
        "agent": state.wires.agent_id,
        "see": ["/health", "/health/live", "/health/ready", "/health/services/{name}", "/health/checks/{name}",
                "/metrics", "/api/v1/checks", "/api/v1/services", "/api/v1/plugins",
                registry::SERVICES, registry::PROMETHEUS],
    });
    Reply::json(StatusCode::OK, &body)
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
