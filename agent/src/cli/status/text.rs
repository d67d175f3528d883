//! The status for people: a few lines on the agent, a table of services, a table of checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::table::{Table, coloured, one_line};
use crate::control::protocol::OrderReport;
use crate::control::report::{
    CheckReport, ConfigurationReport, KeyReport, RegistryReport, ServiceReport, StatusReport,
};
use crate::model::time;

use super::is_missing;

fn brief(millis: u64) -> String {
    time::brief(Duration::from_millis(millis))
}

/// `whole`: with what is not of any service or check. The first line says how it stands: some show no other. Nothing is
/// cut off where there is no `width`.
pub fn text(report: &StatusReport, whole: bool, width: Option<usize>, colour: bool) -> String {
    let mut text = String::new();
    let (status, of) = subject(report, whole);
    let status = if colour { coloured(&status) } else { status };
    let _ = writeln!(text, "{status}: {of}");
    if whole {
        let _ = writeln!(text, "configuration: {}", configuration(&report.configuration));
        for key in &report.configuration.at_next_start {
            let _ = writeln!(text, "not before the next start: {}", one_line(key));
        }
    }
    if whole || !report.services.is_empty() {
        let _ = writeln!(text, "etcd: {}", registry(report.registry.as_ref(), colour));
        if let Some(error) = report.registry.as_ref().and_then(|registry| registry.last_error.as_ref()) {
            let _ = writeln!(text, "last error of etcd: {} ago: {}", brief(error.age_ms), one_line(&error.message));
        }
    }
    if !report.services.is_empty() {
        let _ = write!(text, "\n{}", services(&report.services, report.registry.is_some()).render(width, colour));
    }
    if !report.checks.is_empty() {
        let _ = write!(text, "\n{}", checks(&report.checks).render(width, colour));
    }
    let notices: String = notices(&report.checks);
    if !notices.is_empty() {
        let _ = write!(text, "\n{notices}");
    }
    text
}

/// What is to be said of checks beside their verdicts; of checks with one plugin it is the same.
fn notices(checks: &[CheckReport]) -> String {
    let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for check in checks {
        if let Some(notice) = &check.notice {
            said.entry(one_line(notice)).or_default().push(&check.name);
        }
    }
    said.into_iter().map(|(notice, checks)| format!("{}: {notice}\n", checks.join(", "))).collect()
}

/// The status of what was asked for, and what that is.
fn subject(report: &StatusReport, whole: bool) -> (String, String) {
    match (report.services.as_slice(), report.checks.as_slice()) {
        ([service], _) if !whole => (service.status.clone(), of_service(service, report)),
        ([], [check]) if !whole => {
            let message = one_line(&check.message);
            let colon = if message.is_empty() { "" } else { ": " };
            (check.status.clone(), format!("check {}{colon}{message}", check.name))
        }
        _ => (report.status.clone(), format!("agent {}, vitald {}{}", report.agent, report.version, besides(report))),
    }
}

/// The worst of its checks has the word.
fn of_service(service: &ServiceReport, report: &StatusReport) -> String {
    let name = &service.name;
    if let Some(order) = &service.maintenance {
        return format!("service {name}, {}", maintenance(order));
    }
    if report.registry.is_some() && is_missing(service) {
        return format!("service {name}, but its registration is not as it should be: {}", keys(&service.keys));
    }
    let said = report.checks.iter().find(|check| check.status == service.status && service.status != "UP");
    said.map_or_else(
        || format!("service {name}"),
        |check| format!("service {name}: {}: {}", check.name, one_line(&check.message)),
    )
}

/// What the exit code says besides the status.
fn besides(report: &StatusReport) -> String {
    let held = report.services.iter().filter(|service| service.maintenance.is_some()).count();
    let unknown = report.checks.iter().filter(|check| check.status == "UNKNOWN").count();
    let counted = [(held, "in maintenance"), (unknown, "UNKNOWN")].into_iter().filter(|(count, _)| *count > 0);
    counted.map(|(count, what)| format!(", {count} {what}")).collect()
}

fn configuration(report: &ConfigurationReport) -> String {
    let runs = match report.origin.as_str() {
        "last-good" => "the last good copy runs, ",
        _ => "",
    };
    let taken_over = format!("taken over {} ago", brief(report.taken_over_ms_ago));
    let read = format!("read {} ago", brief(report.read_ms_ago));
    match &report.first_mistake {
        None => format!("{runs}{taken_over}, {read}"),
        Some(mistake) => {
            let more = match report.mistakes {
                0 | 1 => String::new(),
                many => format!(" (and {} more)", many - 1),
            };
            format!("NOT TAKEN OVER, {read}; {runs}what runs was {taken_over}: {}{more}", one_line(mistake))
        }
    }
}

fn registry(report: Option<&RegistryReport>, colour: bool) -> String {
    let Some(report) = report else { return "there is no [registry]".to_owned() };
    let endpoint = report.endpoint.as_deref().unwrap_or("never reached");
    let length = brief(report.for_ms);
    let lease = match &report.lease {
        None => "no lease".to_owned(),
        Some(lease) => {
            let (ttl, age) = (brief(lease.granted_ttl_ms), brief(lease.age_ms));
            format!("lease {} of {ttl}, {age} old, renewed {} ago", lease.id, brief(lease.renewed_ms_ago))
        }
    };
    if report.up {
        return format!("{endpoint} for {length}; {lease}");
    }
    let away = if colour { coloured("AWAY") } else { "AWAY".to_owned() };
    let ended = report.lease.as_ref().is_some_and(|lease| lease.renewed_ms_ago > lease.granted_ttl_ms);
    let then = match (&report.lease, ended) {
        (None, _) => "nothing is registered",
        (Some(_), false) => "what is registered stays as it is",
        (Some(_), true) => "the lease has ended, and what was registered is gone unless etcd stands still",
    };
    format!("{away} for {length} ({endpoint}), {then}; {lease}")
}

fn services(services: &[ServiceReport], registers: bool) -> Table {
    let mut table = Table::new(["SERVICE", "STATUS", "FOR", "REGISTERED"]);
    for service in services {
        let registered = if registers { keys(&service.keys) } else { "-".to_owned() };
        let order = service.maintenance.as_ref().map(|order| format!("; {}", maintenance(order))).unwrap_or_default();
        let last = format!("{registered}{order}");
        table.row([service.name.to_string(), service.status.clone(), brief(service.for_ms), last]);
    }
    table
}

fn maintenance(order: &OrderReport) -> String {
    let until = match &order.until {
        Some(until) => format!("until {until}"),
        None => "without an end".to_owned(),
    };
    let colon = if order.reason.is_empty() { "" } else { ": " };
    format!("{until}{colon}{}", one_line(&order.reason))
}

/// `native, grpc for 3m; skydns refused for 2s`; the dialects of one state together.
fn keys(keys: &[KeyReport]) -> String {
    let mut states: BTreeMap<&str, Vec<&KeyReport>> = BTreeMap::new();
    for key in keys.iter().filter(|key| key.state != "absent") {
        states.entry(&key.state).or_default().push(key);
    }
    if states.is_empty() {
        return "no".to_owned();
    }
    let together = |(state, keys): (&str, Vec<&KeyReport>)| {
        let mut dialects: Vec<&str> = keys.iter().map(|key| key.dialect.as_str()).collect();
        dialects.dedup();
        let length = brief(keys.iter().map(|key| key.for_ms).min().unwrap_or(0));
        let word = if state == "registered" { String::new() } else { format!(" {state}") };
        format!("{}{word} for {length}", dialects.join(", "))
    };
    states.into_iter().map(together).collect::<Vec<_>>().join("; ")
}

fn checks(checks: &[CheckReport]) -> Table {
    let mut table = Table::new(["CHECK", "STATUS", "LAST", "AGE", "NEXT", "STREAK", "MESSAGE"]);
    for check in checks {
        let unknown = check.status == "UNKNOWN";
        let next = match (check.running, check.next_run_in_ms) {
            (true, _) => "now".to_owned(),
            (false, next) => or_dash(next.map(brief)),
        };
        let reason = check.reason.as_ref().map(|reason| format!("({reason}) ")).unwrap_or_default();
        table.row([
            check.name.to_string(),
            check.status.clone(),
            or_dash(check.last.clone().filter(|_| unknown)),
            or_dash(check.age_ms.map(brief)),
            next,
            or_dash(check.streak.clone()),
            one_line(&format!("{reason}{}", check.message)),
        ]);
    }
    table
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
