//! From `[[service]]` and `[[check]]` as typed to [`Definitions`]: names that are names, references that lead
//! somewhere, thresholds that make sense.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::model::check::{CheckDef, Judges, OnFault, Policy, Severity, Written};
use crate::model::checkset::Definitions;
use crate::model::grant::Host;
use crate::model::name::Name;
use crate::model::secret::Masker;
use crate::model::service::ServiceDef;
use crate::model::target::Target;

use super::powers;
use super::raw::{OneOrMany, RawCheck, RawDefaults, RawEntries, RawService};
use super::table::{Context, Field, Place};
use super::units::Length;

/// Below this a check would do nothing but run.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
const MAX_THRESHOLD: u32 = 1_000;

/// `[defaults]`, with our own where it says nothing.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub interval: Duration,
    pub timeout: Duration,
    pub fall: u32,
    pub rise: u32,
    pub retry_interval: Option<Duration>,
    pub stale_after: Option<Duration>,
    pub on_fault: OnFault,
}

impl Defaults {
    /// Where no file says anything.
    pub const OWN: Self = Self {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        fall: 3,
        rise: 2,
        retry_interval: None,
        stale_after: None,
        on_fault: OnFault::Keep,
    };

    pub fn new(raw: Option<&RawDefaults>, context: &Context<'_>) -> Self {
        let mut defaults = Self::OWN;
        let Some(raw) = raw else { return defaults };
        let length = |field: &Option<Field<Length>>| field.as_ref().map(|field| field.value.0);
        defaults.interval = length(&raw.interval).unwrap_or(defaults.interval);
        defaults.timeout = length(&raw.timeout).unwrap_or(defaults.timeout);
        defaults.fall = threshold(raw.fall.as_ref(), defaults.fall, context);
        defaults.rise = threshold(raw.rise.as_ref(), defaults.rise, context);
        defaults.retry_interval = length(&raw.retry_interval);
        defaults.stale_after = length(&raw.stale_after);
        defaults.on_fault = on_fault(raw.on_fault.as_ref(), OnFault::Keep, context);
        defaults
    }
}

fn threshold(field: Option<&Field<u32>>, default: u32, context: &Context<'_>) -> u32 {
    match field {
        Some(field) if !(1..=MAX_THRESHOLD).contains(&field.value) => {
            context.mistake(&field.place, format!("a number from 1 to {MAX_THRESHOLD} is wanted"));
            default
        }
        Some(field) => field.value,
        None => default,
    }
}

/// One of a few words.
pub fn word<T: Copy>(field: Option<&Field<String>>, default: T, words: &[(&str, T)], context: &Context<'_>) -> T {
    let Some(field) = field else { return default };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == field.value) {
        return *value;
    }
    let list = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
    context.mistake(&field.place, format!("{:?} is not known; write {list}", field.value));
    default
}

fn on_fault(field: Option<&Field<String>>, default: OnFault, context: &Context<'_>) -> OnFault {
    word(field, default, &[("keep", OnFault::Keep), ("down", OnFault::Down)], context)
}

/// Parses a required string; a mistake where it is absent or wrong.
pub fn required<T: FromStr<Err: std::fmt::Display>>(
    field: Option<&Field<String>>,
    key: &str,
    table: &Place,
    context: &Context<'_>,
) -> Option<T> {
    let Some(field) = field else {
        context.mistake(table, format!("{key} is missing"));
        return None;
    };
    parsed(field, context)
}

pub fn parsed<T: FromStr<Err: std::fmt::Display>>(field: &Field<String>, context: &Context<'_>) -> Option<T> {
    field.value.parse().map_err(|error: T::Err| context.mistake(&field.place, error.to_string())).ok()
}

/// Collects the entries of all files.
pub struct Entries<'a> {
    agent: &'a Name,
    defaults: &'a Defaults,
    context: &'a Context<'a>,
    services: BTreeMap<Name, (Arc<ServiceDef>, Place)>,
    checks: BTreeMap<Name, (Arc<CheckDef>, Place)>,
    /// References to services, to be looked at when all files are read.
    references: Vec<(Name, Place)>,
}

impl<'a> Entries<'a> {
    pub fn new(agent: &'a Name, defaults: &'a Defaults, context: &'a Context<'a>) -> Self {
        Self { agent, defaults, context, services: BTreeMap::new(), checks: BTreeMap::new(), references: Vec::new() }
    }

    pub fn add(&mut self, raw: &RawEntries) {
        for service in &raw.services {
            if let Some(definition) = self.service(service) {
                let name = definition.name.clone();
                if let Some((_, first)) = self.services.get(&name) {
                    self.context.mistake(&service.place, format!("there is a service of this name already at {first}"));
                    continue;
                }
                self.services.insert(name, (Arc::new(definition), service.place.clone()));
            }
        }
        for (check, absent) in &raw.checks {
            if let Some(definition) = self.check(check, absent) {
                let name = definition.name.clone();
                if let Some((_, first)) = self.checks.get(&name) {
                    self.context.mistake(&check.place, format!("there is a check of this name already at {first}"));
                    continue;
                }
                self.checks.insert(name, (Arc::new(definition), check.place.clone()));
            }
        }
    }

    /// Holds the references against what there is. With the definitions, where each service stands.
    pub fn finish(self) -> (Definitions, BTreeMap<Name, Place>) {
        for (service, place) in &self.references {
            if !self.services.contains_key(service) {
                self.context.mistake(place, format!("there is no service {service:?}"));
            }
        }
        for (service, place) in self.services.values() {
            let judged = self.checks.values().any(|(check, _)| check.judges.judges(&service.name));
            if !service.unchecked && !judged {
                let problem = "no check names this service: it would never be registered; add a check with \
                               service = \"NAME\", or checks = \"none\" to register it unchecked";
                self.context.mistake(place, problem.replace("NAME", &service.name));
            }
        }
        let places = self.services.iter().map(|(name, (_, place))| (name.clone(), place.clone())).collect();
        let definitions = Definitions {
            services: self.services.into_iter().map(|(name, (service, _))| (name, service)).collect(),
            checks: self.checks.into_iter().map(|(name, (check, _))| (name, check)).collect(),
            ..Definitions::default()
        };
        (definitions, places)
    }

    fn service(&self, raw: &RawService) -> Option<ServiceDef> {
        let context = self.context;
        let name: Option<Name> = required(raw.name.as_ref(), "name", &raw.place, context);
        let address = required::<String>(raw.address.as_ref(), "address", &raw.place, context);
        let address = address.and_then(|text| {
            let parsed = parse_address(&text);
            if parsed.is_none()
                && let Some(field) = &raw.address
            {
                context.mistake(&field.place, format!("{text:?} is no address: write \":8080\" or \"HOST:8080\""));
            }
            parsed
        });
        let (name, (host, port)) = (name?, address?);
        let id = match &raw.id {
            Some(field) => parsed(field, context)?,
            None => self.default_id(&name, &raw.place)?,
        };
        let unchecked = word(raw.checks.as_ref(), false, &[("none", true)], context);
        Some(ServiceDef {
            id,
            name,
            host,
            port,
            tags: value(&raw.tags),
            weight: raw.weight.as_ref().map(|field| field.value),
            metadata: value(&raw.metadata),
            unchecked,
        })
    }

    fn default_id(&self, service: &Name, place: &Place) -> Option<Name> {
        let id = format!("{service}-{}", self.agent);
        let parsed = id.parse();
        if parsed.is_err() {
            self.context.mistake(place, format!("the default id {id:?} is too long; set id"));
        }
        parsed.ok()
    }

    fn check(&mut self, raw: &RawCheck, absent: &[String]) -> Option<CheckDef> {
        let context = self.context;
        let name: Option<Name> = required(raw.name.as_ref(), "name", &raw.place, context);
        let checker: Option<Name> = required(raw.checker.as_ref(), "checker", &raw.place, context);
        let target = raw.target.as_ref().and_then(|field| target(field, context));
        let policy = self.policy(raw);
        let allow = raw.allow.as_ref().map(|field| powers::grants(field, context)).unwrap_or_default();
        let severities = [("critical", Severity::Critical), ("warning", Severity::Warning), ("info", Severity::Info)];
        let severity = word(raw.severity.as_ref(), Severity::Critical, &severities, context);
        let judges = self.judges(raw.service.as_ref());
        Some(CheckDef {
            name: name?,
            checker: checker?,
            written: Written {
                target: raw.target.as_ref().map(|field| field.written.clone()).unwrap_or_default(),
                params: raw.params.as_ref().map(|field| field.typed().clone()).unwrap_or_default(),
            },
            masker: masker(raw, target.as_ref()),
            target,
            judges,
            severity,
            policy,
            allow,
            params: value(&raw.params),
            tls: powers::tls(raw.tls.as_ref(), context),
            limits: powers::limits(raw.limits.as_ref(), context),
            problem: (!absent.is_empty()).then(|| absent.join("; ")),
            origin: format!("{}:{}", raw.place.file.display(), raw.place.line),
        })
    }

    fn judges(&mut self, field: Option<&Field<OneOrMany>>) -> Judges {
        let Some(field) = field else { return Judges::Host };
        let names = match &field.value {
            OneOrMany::One(name) if name == "*" => return Judges::All,
            OneOrMany::One(name) => std::slice::from_ref(name),
            OneOrMany::Many(names) => names,
        };
        let mut services = Vec::new();
        for name in names {
            match name.parse::<Name>() {
                Ok(name) => {
                    self.references.push((name.clone(), field.place.clone()));
                    services.push(name);
                }
                Err(error) => self.context.mistake(&field.place, error.to_string()),
            }
        }
        if names.is_empty() {
            self.context.mistake(&field.place, "an empty list names no service; leave the key out for a host check");
        }
        Judges::These(services)
    }

    fn policy(&self, raw: &RawCheck) -> Policy {
        let (defaults, context) = (self.defaults, self.context);
        let length = |field: &Option<Field<Length>>| field.as_ref().map(|field| field.value.0);
        let place = |field: &Option<Field<Length>>| {
            field.as_ref().map_or_else(|| raw.place.clone(), |field| field.place.clone())
        };
        let interval = length(&raw.interval).unwrap_or(defaults.interval);
        let timeout = length(&raw.timeout).unwrap_or(defaults.timeout);
        if interval < MIN_INTERVAL {
            context.mistake(&place(&raw.interval), "an interval of at least 100ms is wanted");
        }
        if timeout < MIN_TIMEOUT || timeout > interval {
            let problem = format!(
                "the timeout ({}) must be at least 1ms and no longer than the interval ({}): runs do not overlap",
                humantime::format_duration(timeout),
                humantime::format_duration(interval)
            );
            context.mistake(&place(&raw.timeout), problem);
        }
        let retry = (interval / 4).max(Duration::from_secs(1)).min(interval);
        let retry_interval = length(&raw.retry_interval).or(defaults.retry_interval).unwrap_or(retry);
        if retry_interval < MIN_INTERVAL {
            context.mistake(&place(&raw.retry_interval), "a retry_interval of at least 100ms is wanted");
        }
        let stale = length(&raw.stale_after).or(defaults.stale_after).unwrap_or(interval * 3 + timeout);
        if stale < interval {
            context.mistake(&place(&raw.stale_after), "stale_after must not be shorter than the interval");
        }
        Policy {
            interval,
            timeout,
            fall: threshold(raw.fall.as_ref(), defaults.fall, context),
            rise: threshold(raw.rise.as_ref(), defaults.rise, context),
            retry_interval,
            stale_after: stale,
            on_fault: on_fault(raw.on_fault.as_ref(), defaults.on_fault, context),
        }
    }
}

fn value<T: Clone + Default>(field: &Option<Field<T>>) -> T {
    field.as_ref().map(|field| field.value.clone()).unwrap_or_default()
}

fn target(field: &Field<String>, context: &Context<'_>) -> Option<Target> {
    match Target::parse(&field.written) {
        Ok(target) => Some(target.with_secrets(field.value.clone())),
        Err(error) => {
            // The text may hold a password, so it is not quoted.
            context.mistake(&field.place, format!("not a target: {error}"));
            None
        }
    }
}

/// `:8080`, `10.0.0.1:8080`, `[::1]:8080`, `name:8080`.
fn parse_address(text: &str) -> Option<(Option<String>, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    if host.is_empty() {
        return Some((None, port));
    }
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    let host = match Host::parse(host)? {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name,
    };
    Some((Some(host), port))
}

/// Keys of params whose values are secret although they were typed in plainly.
pub const SECRET_KEYS: [&str; 7] = ["password", "passwd", "token", "secret", "credential", "api_key", "authorization"];

fn masker(raw: &RawCheck, target: Option<&Target>) -> Masker {
    let mut secrets: Vec<String> = Vec::new();
    let put_in = raw.target.iter().flat_map(|field| field.secrets.iter().map(String::as_str));
    for secret in put_in.chain(target.and_then(Target::password)) {
        // A checker gets it decoded, and may say it so.
        secrets.extend([secret.to_owned(), percent_decode_str(secret).decode_utf8_lossy().into_owned()]);
    }
    if let Some(params) = &raw.params {
        secrets.extend(params.secrets.clone());
        for (key, value) in &params.value {
            let key = key.to_ascii_lowercase();
            if key == "headers" || SECRET_KEYS.iter().any(|secret| key.contains(secret)) {
                collect_strings(value, &mut secrets);
            }
        }
    }
    Masker::new(secrets.iter().map(String::as_str))
}

fn collect_strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_strings(item, found)),
        serde_json::Value::Object(map) => map.values().for_each(|item| collect_strings(item, found)),
        _ => {}
    }
}
