//! The interface `vitald:check@0.1`, hosted. Generated types never leave this file: what a guest says is checked,
//! capped and turned into the words of `model` here.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, HasData};
use wasmtime::{Engine, Store};

use crate::model::checkset::{Binding, Description, LoadError, Scheme, is_metric_name};
use crate::model::host::HostFamily;
use crate::model::name::Name;
use crate::model::outcome::{Fault, FaultKind, Kind, Measurement, Outcome, Part, Status};
use crate::model::secret::Masker;
use crate::model::time::Moment;

use self::bindings::PluginPre;
use self::bindings::exports::vitald::check::checker as exported;
use self::bindings::vitald::check::{host, log, net as wit_net, types};
use super::captured::{one_line, truncated};
use super::code::is_of_the_host;
use super::store::Guest;

mod net;

mod bindings {
    #![allow(clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]
    wasmtime::component::bindgen!({
        world: "plugin",
        path: "../wit/v0.1",
        imports: {
            // Its line is given to the observer: see `super::observer`.
            "vitald:check/log.log": async | trappable,
            // Costs a look at one number where nobody traces.
            default: async | tracing | trappable,
        },
        exports: { default: async },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "vitald:check/net.connection": crate::sandbox::net::Connection,
        },
    });
}

const MESSAGE: usize = 4096;
const LOG_LINE: usize = 1024;
/// Bytes that a checker may remember.
pub const MOST_STATE: usize = 64 << 10;
const MEASUREMENTS: usize = 64;
const PARTS: usize = 64;
const PART_NAME: usize = 256;
const LABELS: usize = 4;
const LABEL_VALUE: usize = 256;
const SCHEMA: usize = 64 << 10;
const SCHEMES: usize = 32;

/// Label names that the agent or Prometheus itself gives a series.
const TAKEN_LABELS: [&str; 8] = ["check", "service", "checker", "job", "instance", "le", "quantile", "__name__"];

/// A compiled and linked plugin.
#[derive(Clone)]
pub struct Plugin(PluginPre<Guest>);

/// Everything a plugin may import.
#[derive(Clone)]
pub struct Linker(Arc<wasmtime::component::Linker<Guest>>);

struct InGuest;

impl HasData for InGuest {
    type Data<'a> = &'a mut Guest;
}

/// Links our own interface, and all of `wasi:cli` and `wasi:http`, so that any toolchain's component loads. What of it
/// works is decided by the store.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker> {
    let mut linker = wasmtime::component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    super::wasi_sockets::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    types::add_to_linker::<Guest, InGuest>(&mut linker, |guest| guest)?;
    wit_net::add_to_linker::<Guest, InGuest>(&mut linker, |guest| guest)?;
    log::add_to_linker::<Guest, InGuest>(&mut linker, |guest| guest)?;
    host::add_to_linker::<Guest, InGuest>(&mut linker, |guest| guest)?;
    Ok(Linker(Arc::new(linker)))
}

/// The first bytes of a component, and of a core module.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Looks at the first bytes alone: what is no component is not worth a compiler.
pub fn begins_as_component(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.starts_with(&COMPONENT) {
        return Ok(());
    }
    let text = if bytes.starts_with(&CORE_MODULE) {
        "it is a core module; build it as a component, with --target wasm32-wasip2"
    } else {
        "it does not start as one (empty, cut off, or another kind of file)"
    };
    Err(LoadError::NotAComponent(text.into()))
}

pub fn link(engine: &Engine, linker: &Linker, component: &Component) -> Result<Plugin, LoadError> {
    let pre = linker.0.instantiate_pre(component).map_err(|error| {
        if is_of_the_host(&error) {
            return LoadError::NoCompiler(format!("it cannot be linked: {}", one_line(&format!("{error:#}"))));
        }
        let unknown = unknown_imports(engine, component);
        LoadError::Link(if unknown.is_empty() {
            one_line(&format!("{error:#}"))
        } else {
            format!("the imports {}", unknown.join(", "))
        })
    })?;
    PluginPre::new(pre).map(Plugin).map_err(|error| {
        LoadError::Link(format!(
            "it does not export vitald:check/checker@0.1 as it must: {}",
            one_line(&format!("{error:#}"))
        ))
    })
}

fn unknown_imports(engine: &Engine, component: &Component) -> Vec<String> {
    const OFFERED: [&str; 8] = [
        "vitald:check/",
        "wasi:io/",
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:random/",
        "wasi:sockets/",
        "wasi:filesystem/",
        "wasi:http/",
    ];
    let names = component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    names.into_iter().filter(|name| !OFFERED.iter().any(|offered| name.starts_with(offered))).collect()
}

pub async fn describe(plugin: &Plugin, store: &mut Store<Guest>) -> wasmtime::Result<Description> {
    let instance = plugin.0.instantiate_async(&mut *store).await?;
    let said = instance.vitald_check_checker().call_describe(&mut *store).await?;
    if said.params_schema.len() > SCHEMA {
        return Err(wasmtime::format_err!("its params-schema has more than {} KiB", SCHEMA >> 10));
    }
    Ok(Description {
        summary: truncated(one_line(&said.summary), MESSAGE),
        version: truncated(one_line(&said.version), 64),
        params_schema: said.params_schema,
        schemes: said.schemes.into_iter().take(SCHEMES).map(scheme).collect(),
    })
}

fn scheme(scheme: types::Scheme) -> Scheme {
    Scheme { name: scheme.name.to_ascii_lowercase(), default_port: scheme.default_port }
}

/// What the runs of one check have in common.
pub struct Request(types::Request);

pub fn request(binding: &Binding, agent: &Name) -> Request {
    let definition = &binding.definition;
    let endpoint = |endpoint: &crate::model::target::Endpoint| types::Endpoint {
        host: endpoint.host.to_string().trim_matches(['[', ']']).to_owned(),
        port: endpoint.port,
    };
    Request(types::Request {
        target: definition.target.as_ref().map(|target| target.url().to_owned()).unwrap_or_default(),
        endpoints: binding.endpoints.iter().map(endpoint).collect(),
        params: serde_json::Value::Object(definition.params.clone()).to_string(),
        timeout: u64::try_from(definition.policy.timeout.as_nanos()).unwrap_or(u64::MAX),
        state: None,
        attributes: [("check", &definition.name), ("agent", agent)]
            .into_iter()
            .chain(binding.services.iter().map(|service| ("service", service)))
            .map(|(key, name)| (key.to_owned(), name.to_string()))
            .collect(),
    })
}

/// What a checker answered.
pub enum Answer {
    Outcome(Outcome),
    Error(Fault),
}

pub async fn check(
    plugin: &Plugin,
    store: &mut Store<Guest>,
    request: &Request,
    state: Option<Vec<u8>>,
) -> wasmtime::Result<Answer> {
    let instance = plugin.0.instantiate_async(&mut *store).await?;
    let request = types::Request { state, ..request.0.clone() };
    let answer = instance.vitald_check_checker().call_check(&mut *store, &request).await?;
    let masker = store.data().egress.masker();
    Ok(match answer {
        Ok(said) => outcome(said, masker),
        Err(error) => Answer::Error(error_said(error, masker)),
    })
}

fn outcome(said: exported::Outcome, masker: &Masker) -> Answer {
    if said.state.as_ref().is_some_and(|state| state.len() > MOST_STATE) {
        let text = format!("state: more than {} KiB to remember", MOST_STATE >> 10);
        return Answer::Error(Fault::new(FaultKind::Limit, text));
    }
    Answer::Outcome(Outcome {
        status: status(said.status),
        message: masker.line(&said.message, MESSAGE),
        measurements: measurements(said.measurements, masker),
        parts: said.parts.into_iter().take(PARTS).map(|said| part(said, masker)).collect(),
        state: said.state,
    })
}

fn status(status: types::Status) -> Status {
    match status {
        types::Status::Up => Status::Up,
        types::Status::Degraded => Status::Degraded,
        types::Status::Down => Status::Down,
    }
}

fn part(part: types::Part, masker: &Masker) -> Part {
    Part {
        name: masker.line(&part.name, PART_NAME),
        status: status(part.status),
        message: masker.line(&part.message, MESSAGE),
    }
}

/// Keeps what fits the rules; the first of two series with one name and the same labels wins. A bad number must never
/// break a scrape, so it is left out here.
fn measurements(said: Vec<types::Measurement>, masker: &Masker) -> Vec<Measurement> {
    let mut kept: Vec<Measurement> = Vec::new();
    for measurement in said.into_iter().filter_map(|said| measurement(said, masker)) {
        // Different names may make one series: a gauge `x_total`, a counter `x`.
        let series = measurement.series();
        let same = |other: &Measurement| other.series() == series && other.labels == measurement.labels;
        if kept.len() < MEASUREMENTS && !kept.iter().any(same) {
            kept.push(measurement);
        }
    }
    kept
}

fn measurement(said: types::Measurement, masker: &Masker) -> Option<Measurement> {
    let unit_fits = said.unit.is_empty() || is_metric_name(&said.unit);
    // Not a number says nothing, and JSON cannot say it.
    if !is_metric_name(&said.name) || !unit_fits || said.labels.len() > LABELS || !said.value.is_finite() {
        return None;
    }
    let mut labels = said.labels;
    labels.sort();
    let distinct = labels.windows(2).all(|pair| !matches!(pair, [(a, _), (b, _)] if a == b));
    let named = labels.iter().all(|(name, _)| is_metric_name(name) && !TAKEN_LABELS.contains(&name.as_str()));
    if !distinct || !named {
        return None;
    }
    for (_, value) in &mut labels {
        *value = masker.line(value, LABEL_VALUE);
    }
    let kind = match said.kind {
        types::Kind::Gauge => Kind::Gauge,
        types::Kind::Counter => Kind::Counter,
    };
    Some(Measurement { name: said.name, kind, value: said.value, unit: said.unit, labels })
}

fn error_said(error: types::Error, masker: &Masker) -> Fault {
    let (kind, text) = match error {
        types::Error::InvalidParams(text) => (FaultKind::InvalidParams, text),
        types::Error::Denied(text) => (FaultKind::Denied, text),
        types::Error::Internal(text) | types::Error::Other(text) => (FaultKind::Internal, text),
    };
    Fault::new(kind, masker.line(&text, MESSAGE))
}

impl types::Host for Guest {}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

fn word(level: log::Level) -> &'static str {
    match level {
        log::Level::Debug => "debug",
        log::Level::Info => "info",
        log::Level::Warn => "warn",
        log::Level::Error => "error",
    }
}

impl log::Host for Guest {
    async fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let Some(binding) = &self.binding else { return Ok(()) };
        if self.log_lines_left == 0 || !self.log.takes() {
            return Ok(());
        }
        self.log_lines_left -= 1;
        let check = &binding.definition.name;
        let message = binding.definition.masker.line(&message, LOG_LINE);
        if let Some(observer) = self.egress.observer() {
            observer.says(word(level), &message);
            return Ok(());
        }
        match level {
            log::Level::Debug => tracing::debug!(%check, "check {check} says: {message}"),
            log::Level::Info => tracing::info!(%check, "check {check} says: {message}"),
            log::Level::Warn => tracing::warn!(%check, "check {check} says: {message}"),
            log::Level::Error => tracing::error!(%check, "check {check} says: {message}"),
        }
        Ok(())
    }
}

/// The series of a family whose names start so.
fn named(family: &HostFamily, prefix: &str) -> impl Iterator<Item = host::Series> {
    family.series.iter().filter_map(move |series| {
        let name = format!("{}{}", family.name, series.suffix);
        let labels = || series.labels.iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        name.starts_with(prefix).then(|| host::Series { name, labels: labels(), value: series.value })
    })
}

impl host::Host for Guest {
    async fn samples(&mut self, prefix: String) -> wasmtime::Result<Result<host::Sample, host::Error>> {
        let granted = self.binding.as_ref().is_some_and(|binding| binding.grants.host_numbers());
        if !granted {
            return Ok(Err(host::Error::Denied));
        }
        let sample = self.host.borrow().clone();
        if sample.blocks.is_empty() {
            return Ok(Err(host::Error::Unavailable("the host has not been sampled yet".into())));
        }
        // A suffix can be part of what was asked for.
        let near = |family: &HostFamily| family.name.starts_with(&prefix) || prefix.starts_with(&*family.name);
        let mut taken = None;
        let mut series = Vec::new();
        for block in sample.blocks.iter().filter(|block| block.families.iter().any(near)) {
            // Of several moments the first: no number is older than it is said to be.
            taken = Some(taken.map_or(block.taken, |taken: Moment| taken.min(block.taken)));
            series
                .extend(block.families.iter().filter(|family| near(family)).flat_map(|family| named(family, &prefix)));
        }
        let taken = taken.unwrap_or(sample.taken);
        Ok(Ok(host::Sample { wall: nanos(taken.wall), boot: nanos(taken.boot), series }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, unit: &str, labels: &[(&str, &str)]) -> types::Measurement {
        types::Measurement {
            name: name.into(),
            kind: types::Kind::Gauge,
            value: 1.0,
            unit: unit.into(),
            labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }

    #[test]
    fn measurements_that_would_break_a_scrape_are_left_out() {
        let all = vec![
            said("lag", "seconds", &[]),
            said("lag", "seconds", &[]),
            said("Lag", "", &[]),
            said("lag{x=\"1\"}", "", &[]),
            said("lag", "\n", &[]),
            said("lag", "seconds", &[("check", "other")]),
            said("lag", "seconds", &[("a", "1"), ("a", "2")]),
            said("lag", "seconds", &[("a\"b", "1")]),
            said("lag", "seconds", &[("db", "x\ny")]),
        ];
        let kept = measurements(all, &Masker::default());
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!(kept[1].labels, [("db".to_owned(), "x y".to_owned())]);
        let counter = types::Measurement { kind: types::Kind::Counter, ..said("lag", "", &[]) };
        assert_eq!(measurements(vec![said("lag_total", "", &[]), counter], &Masker::default()).len(), 1);
        let many = (0..1_000).map(|n| said(&format!("m{n}"), "", &[])).collect();
        assert_eq!(measurements(many, &Masker::default()).len(), MEASUREMENTS);
    }
}
