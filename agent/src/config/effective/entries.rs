//! The tables that are taken over while the agent runs.

use serde_json::Value;

use crate::config::Config;
use crate::config::entries::Defaults;
use crate::config::notes::Notes;
use crate::model::check::{CheckDef, Judges, OnFault, Severity};
use crate::model::checkset::ReloadGate;
use crate::model::service::ServiceDef;

use super::masks;
use super::{Origin, Rows, Section, length, path, size, strings};

/// The rest of `[agent]`.
pub fn directories(config: &Config, notes: &Notes, sections: &mut [Section]) {
    let Some(agent) = sections.iter_mut().find(|section| section.name == "agent") else { return };
    let places = &config.definitions.places;
    let mut rows = Rows::new(notes, "agent", false);
    rows.put("plugin_dirs", paths(&places.plugin_dirs));
    rows.put("conf_dirs", paths(&places.conf_dirs));
    rows.put("secret_dirs", paths(&places.secret_dirs));
    agent.settings.extend(rows.section.settings);
}

fn paths(dirs: &[std::path::PathBuf]) -> Value {
    dirs.iter().map(|dir| path(dir)).collect()
}

pub fn plugins(config: &Config, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "plugins", false);
    let rules = &config.definitions.rules;
    let gate = match rules.reload {
        ReloadGate::Auto => "auto",
        ReloadGate::SamePowers => "same-powers",
        ReloadGate::Manual => "manual",
    };
    rows.put("reload", gate);
    for (name, digest) in &rules.pins {
        rows.put(&format!("pin.{name}"), format!("sha256:{digest}"));
    }
    rows.put("override", strings(&rules.overrides));
    rows.section
}

pub fn defaults(notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, "defaults", false);
    let own = Defaults::OWN;
    let of = |rows: &Rows<'_>, key: &str| rows.typed(key).cloned();
    for (key, own) in [
        ("interval", Some(length(own.interval))),
        ("timeout", Some(length(own.timeout))),
        ("fall", Some(own.fall.into())),
        ("rise", Some(own.rise.into())),
        ("retry_interval", own.retry_interval.map(length)),
        ("stale_after", own.stale_after.map(length)),
        ("on_fault", Some(on_fault(own.on_fault).into())),
    ] {
        let value = of(&rows, key).or(own);
        rows.may(key, value);
    }
    rows.section
}

fn on_fault(on_fault: OnFault) -> &'static str {
    match on_fault {
        OnFault::Keep => "keep",
        OnFault::Down => "down",
    }
}

pub fn service(service: &ServiceDef, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, &format!("service.{}", service.name), true);
    rows.put("name", &*service.name);
    let address = match &service.host {
        Some(host) if host.contains(':') => format!("[{host}]:{}", service.port),
        Some(host) => format!("{host}:{}", service.port),
        None => format!(":{}", service.port),
    };
    rows.put("address", address);
    rows.put("id", &*service.id);
    rows.put("tags", service.tags.clone());
    rows.may("weight", service.weight);
    for (key, value) in &service.metadata {
        rows.put(&format!("metadata.{key}"), value.clone());
    }
    rows.may("checks", service.unchecked.then_some("none"));
    rows.section
}

pub fn check(check: &CheckDef, notes: &Notes) -> Section {
    let mut rows = Rows::new(notes, &format!("check.{}", check.name), true);
    rows.put("name", &*check.name);
    rows.put("checker", &*check.checker);
    if check.target.is_some() {
        rows.secret("target", check.written.target.clone(), masks::target);
    }
    match &check.judges {
        Judges::Host => {}
        Judges::All => rows.put("service", "*"),
        Judges::These(names) => rows.put("service", strings(names)),
    }
    policy(&mut rows, check);
    let severity = match check.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    rows.put("severity", severity);
    let allow = rows.typed("allow").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    rows.put("allow", allow);
    rows.tls(&check.tls);
    for (key, value) in &check.written.params {
        rows.secret(&format!("params.{key}"), value.clone(), |value| masks::param(key, value));
    }
    rows.may("limits.memory", check.limits.memory.map(size));
    rows.may("limits.sockets", check.limits.sockets);
    rows.may("limits.log_lines", check.limits.log_lines);
    rows.section
}

/// What the check does not say, `[defaults]` may.
fn policy(rows: &mut Rows<'_>, check: &CheckDef) {
    let policy = &check.policy;
    for (key, value) in [
        ("interval", length(policy.interval)),
        ("timeout", length(policy.timeout)),
        ("fall", policy.fall.into()),
        ("rise", policy.rise.into()),
        ("retry_interval", length(policy.retry_interval)),
        ("stale_after", length(policy.stale_after)),
        ("on_fault", on_fault(policy.on_fault).into()),
    ] {
        let origin = match (rows.origin(key), rows.notes.get("defaults", key)) {
            (Origin::Default(_), Some(note)) => Origin::Defaults(note.place.clone()),
            (origin, _) => origin,
        };
        rows.put_from(key, value, origin);
    }
}
