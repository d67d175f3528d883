//! The bodies below `/health`. `status` always agrees with the code; `worst` has the finer word.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::model::check::{Judges, OnFault, Severity};
use crate::model::maintenance::Maintenance;
use crate::model::outcome::Status;
use crate::model::snapshot::{Aggregate, CheckView, HealthSnapshot, ServiceView, Shown};
use crate::model::time::{Moment, rfc3339, rounded_ms};

use super::reply::Reply;

/// What `/health` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Checks that do not count and are not shown.
    exclude: BTreeSet<String>,
    /// Critical evidence that is older makes the answer 503.
    max_age: Option<Duration>,
}

impl Query {
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match key {
                "exclude" => parsed.exclude.extend(value.split(',').map(str::to_owned)),
                "max_age" => {
                    let age = humantime::parse_duration(&value).map_err(|_| "max_age: write max_age=5s")?;
                    parsed.max_age = Some(age);
                }
                _ => return Err(format!("unknown parameter {key:?}; there are exclude and max_age")),
            }
        }
        Ok(parsed)
    }

    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

fn code(aggregate: Aggregate) -> StatusCode {
    if aggregate.serves() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// `/health`
pub fn overall(snapshot: &HealthSnapshot, query: &Query, origin: &str, now: Moment) -> Reply {
    let checks = snapshot.checks.iter().filter(|(name, _)| !query.exclude.contains(&***name));
    let worst = match snapshot.loaded {
        true => checks.clone().map(|(_, view)| view.counts).max().unwrap_or(Aggregate::Up),
        false => Aggregate::Pending,
    };
    let too_old: Vec<_> = match query.max_age {
        Some(limit) => {
            let too_old = |view: &CheckView| is_too_old(view, limit, now) && !is_out_of_traffic(view, snapshot);
            checks.clone().filter(|(_, view)| too_old(view)).map(|(name, _)| name).collect()
        }
        None => Vec::new(),
    };
    let worst = if too_old.is_empty() { worst } else { Aggregate::Down };
    let details: Map<String, Value> = checks.map(|(name, view)| (name.to_string(), detail(view, now))).collect();
    let mut body = json!({"status": worst.word(), "worst": worst, "config": origin});
    if let Some(body) = body.as_object_mut() {
        if !too_old.is_empty() {
            body.insert("reason".into(), "too-old".into());
            body.insert("too_old".into(), json!(too_old));
        }
        let out_of_traffic = out_of_traffic(snapshot);
        if !out_of_traffic.is_empty() {
            body.insert("maintenance".into(), out_of_traffic.into());
        }
        body.insert("details".into(), details.into());
    }
    Reply::json(code(worst), &body)
}

/// The services in maintenance, which count for nothing.
fn out_of_traffic(snapshot: &HealthSnapshot) -> Map<String, Value> {
    let held = snapshot.services.iter().filter_map(|(name, view)| Some((name, view.maintenance.as_ref()?)));
    held.map(|(name, order)| (name.to_string(), maintenance(order))).collect()
}

/// Why and until when a service takes no traffic; `until` is null where it has no end.
pub fn maintenance(order: &Maintenance) -> Value {
    json!({
        "reason": order.reason,
        "since": rfc3339(order.since.wall),
        "until": order.until.map(rfc3339),
    })
}

fn is_too_old(view: &CheckView, limit: Duration, now: Moment) -> bool {
    let age = view.verdict.evidence.as_ref().map(|evidence| now.since(evidence.at));
    view.definition.severity == Severity::Critical && age.is_none_or(|age| age > limit)
}

/// Does it judge services in maintenance, and nothing else?
fn is_out_of_traffic(view: &CheckView, snapshot: &HealthSnapshot) -> bool {
    let judges = &view.definition.judges;
    let judged = snapshot.services.values().filter(|service| judges.judges(&service.definition.name));
    *judges != Judges::Host && judged.clone().count() > 0 && judged.clone().all(|service| service.maintenance.is_some())
}

/// `/health/services/{name}`
pub fn service(snapshot: &HealthSnapshot, name: &str, now: Moment) -> Reply {
    let Some(view) = snapshot.services.get(name) else {
        return Reply::not_found("this host has no service of that name");
    };
    let code = if view.maintenance.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { code(view.aggregate) };
    Reply::json(code, &service_body(view, snapshot, now))
}

fn service_body(view: &ServiceView, snapshot: &HealthSnapshot, now: Moment) -> Value {
    let own = view.checks.iter().filter_map(|name| Some((name.to_string(), detail(snapshot.checks.get(name)?, now))));
    let mut body = json!({
        "status": view.aggregate.word(),
        "worst": view.aggregate,
        "since": rfc3339(view.since.wall),
        "registrable": view.registrable,
    });
    if let Some(body) = body.as_object_mut() {
        if let Some(order) = &view.maintenance {
            body.insert("status".into(), view.status().into());
            body.insert("maintenance".into(), maintenance(order));
        }
        body.insert("details".into(), own.collect::<Map<_, _>>().into());
    }
    body
}

/// `/health/checks/{name}`: by what the check itself counts as, whatever its severity.
pub fn check(snapshot: &HealthSnapshot, name: &str, now: Moment) -> Reply {
    let Some(view) = snapshot.checks.get(name) else {
        return Reply::not_found("this agent has no check of that name");
    };
    let last = view.verdict.status.is_some_and(|status| status != Status::Down);
    let serves = match view.shown {
        Shown::Up | Shown::Degraded => true,
        Shown::Unknown => last && view.definition.policy.on_fault == OnFault::Keep,
        Shown::Down | Shown::Pending => false,
    };
    let status = if serves { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Reply::json(status, &detail(view, now))
}

/// What is shown of a check.
pub fn detail(view: &CheckView, now: Moment) -> Value {
    let verdict = &view.verdict;
    let mut body = Map::new();
    body.insert("status".into(), json!(view.shown));
    if let Some(reason) = view.reason {
        body.insert("reason".into(), reason.into());
        body.insert("last".into(), json!(verdict.status));
    }
    let fault = verdict.fault.as_ref();
    let evidence = verdict.evidence.as_ref();
    let hidden = view.shown == Shown::Unknown || evidence.is_none();
    body.insert("message".into(), view.message().into());
    if verdict.status.is_some() {
        body.insert("since".into(), rfc3339(verdict.since.wall).into());
    }
    if let Some(evidence) = evidence {
        body.insert("age_ms".into(), json!(u64::try_from(now.since(evidence.at).as_millis()).unwrap_or(u64::MAX)));
        body.insert("duration_ms".into(), json!(rounded_ms(evidence.duration)));
        if !evidence.parts.is_empty() {
            body.insert("parts".into(), json!(evidence.parts));
        }
    }
    if let Some(notice) = &view.notice {
        body.insert("notice".into(), (&**notice).into());
    }
    // Faults that do not hide the status yet are no secret.
    if let Some(fault) = fault.filter(|_| !hidden) {
        body.insert("fault".into(), json!({"kind": fault.kind, "message": fault.message, "count": verdict.faults}));
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let query = Query::parse("exclude=a,b&exclude=c%2Dd&max_age=5s").expect("parses");
        assert_eq!(query.exclude, ["a", "b", "c-d"].map(str::to_owned).into());
        assert_eq!(query.max_age, Some(Duration::from_secs(5)));
        assert!(Query::parse("").expect("parses").is_plain());
        assert!(Query::parse("max_age=5").is_err());
        assert!(Query::parse("verbose").is_err());
    }
}
