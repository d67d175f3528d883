//! One info line per change, none per run.

use crate::model::check::CheckDef;
use crate::model::snapshot::{Aggregate, HealthSnapshot, Shown};
use crate::model::time::brief;
use crate::model::verdict::Verdict;

use super::reduce::Change;

/// `check orders-db DOWN after 3 of 3 (was UP 3d2h): connect 10.0.0.9:5432: refused`
pub fn log_status(definition: &CheckDef, change: &Change, after: &Verdict) {
    let check = &definition.name;
    let message = after.evidence.as_ref().map(|evidence| evidence.message.as_str()).unwrap_or_default();
    let (status, colon) = (change.to, if message.is_empty() { "" } else { ": " });
    match change.from {
        None => tracing::info!(%check, %status, "check {check} {status}{colon}{message}"),
        Some(from) => {
            let needed = if change.to > from { definition.policy.fall } else { definition.policy.rise };
            let lasted = brief(change.at.since(change.since));
            let streak = format!("after {} of {needed} (was {from} {lasted})", change.confirmed_by);
            tracing::info!(%check, %status, was = %from, "check {check} {status} {streak}{colon}{message}");
        }
    }
}

/// Logs what is shown otherwise than before; true if anything is.
pub fn log(last: &HealthSnapshot, next: &HealthSnapshot) -> bool {
    log_unknown(last, next) | log_services(last, next)
}

fn log_unknown(last: &HealthSnapshot, next: &HealthSnapshot) -> bool {
    let mut changed = false;
    for (check, view) in &next.checks {
        let before = last.checks.get(check).map(|view| (view.shown, view.reason));
        let known = before.is_none_or(|(shown, _)| shown != Shown::Unknown);
        match view.shown {
            Shown::Unknown if before != Some((view.shown, view.reason)) => {
                let reason = view.reason.unwrap_or("stale");
                let message = view.verdict.fault.as_ref().map(|fault| fault.message.as_str());
                let message = message.unwrap_or("no run has said anything of it for too long");
                let counts = match view.verdict.status {
                    Some(status) => format!("what counts stays {status}"),
                    None => "it counts for nothing".to_owned(),
                };
                tracing::warn!(%check, reason, "check {check} UNKNOWN ({reason}): {message}; {counts}");
                changed = true;
            }
            Shown::Up | Shown::Degraded | Shown::Down if !known => {
                let shown = view.shown;
                tracing::info!(%check, status = %shown, "check {check} is known again: {shown}");
                changed = true;
            }
            _ => {}
        }
    }
    changed
}

fn log_services(last: &HealthSnapshot, next: &HealthSnapshot) -> bool {
    let mut changed = false;
    for (service, view) in &next.services {
        let before = last.services.get(service).map(|view| view.aggregate);
        if before == Some(view.aggregate) || (before.is_none() && view.aggregate == Aggregate::Pending) {
            continue;
        }
        let status = view.aggregate;
        let counts = if view.maintenance.is_some() { ", which counts for nothing: it is in maintenance" } else { "" };
        match before {
            Some(was) => tracing::info!(%service, %status, %was, "service {service} {status} (was {was}){counts}"),
            None => tracing::info!(%service, %status, "service {service} {status}{counts}"),
        }
        changed = true;
    }
    changed
}
