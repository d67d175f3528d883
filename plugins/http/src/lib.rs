//! The `http` checker: one request, and what its answer must look like. HTTP/1.1 by ureq, on a connection of
//! the host's, which does TLS.
//!
//! It follows no redirect, decodes no content and keeps no connection: it says what this server answered. A server that
//! takes too long runs into the check's timeout, which the host calls down.

mod expect;
mod request;
mod transport;

use std::collections::BTreeMap;

use ureq::{Agent, Body};
use vitald_sdk::prelude::*;

use crate::expect::{Answer, Expected};
use crate::transport::{Connected, NoResolver};

/// The request, and what its answer must look like.
#[params]
#[serde(default)]
struct Params {
    /// The method: GET, HEAD, POST ...
    method: String,
    /// Status codes and ranges that are well: "200-299", "200,401".
    status: String,
    /// Text that the body must have in it.
    body_contains: Option<String>,
    /// A regular expression that must match somewhere in the body.
    body_regex: Option<String>,
    /// Headers to send. They replace the checker's own.
    headers: BTreeMap<String, String>,
    /// A body to send.
    body: Option<String>,
    /// How much of the answer's body is read, in bytes.
    #[schemars(range(max = 16_777_216))]
    max_body: u64,
    /// Days that the server's certificate must still be valid; with fewer the target is degraded.
    certificate_min_days: Option<u32>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            status: "200-299".into(),
            body_contains: None,
            body_regex: None,
            headers: BTreeMap::new(),
            body: None,
            max_body: 1 << 20,
            certificate_min_days: None,
        }
    }
}

/// Answers an HTTP request with the status and the body that are expected.
#[checker(schemes = ["http:80", "https:443"])]
fn http(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    let expected = Expected::of(&params)?;
    let request = request::build(&target, &params)?;
    let started = run.elapsed();
    let stream = target.connect()?;
    let left = certificate(&stream, run);
    let mut response = agent(Connected::new(stream)).run(request).map_err(reason)?;
    let latency = run.elapsed().saturating_sub(started);
    run.measure("latency", latency);
    let (body, cut) = read(response.body_mut(), params.max_body)?;
    run.measure("response_size", bytes(body.len() as f64));
    let outcome = expected.judge(&Answer { status: response.status().as_u16(), body: &body, cut });
    Ok(expect::certificate(outcome, left, params.certificate_min_days))
}

const DAY: f64 = 86_400.0;

/// Measures the handshake; the days that the certificate is still valid, where there is one.
fn certificate(stream: &Stream, run: &mut Run) -> Option<f64> {
    let peer = stream.tls()?;
    if let Some(took) = stream.timings().tls {
        run.measure("tls_handshake", took);
    }
    let left = peer.seconds_left()?;
    run.measure("certificate_left", seconds(left));
    Some(left / DAY)
}

fn agent(connector: Connected) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .build();
    Agent::with_parts(config, connector, NoResolver)
}

/// ureq's error hides the one that it carries, and so does the error of a body that has one of ureq's inside. The SDK
/// looks for the one at the bottom.
fn reason(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Io(error) => match error.downcast() {
            Ok(inner) => reason(inner),
            Err(error) => error.into(),
        },
        error => error.into(),
    }
}

/// The body, and whether there was more of it.
fn read(body: &mut Body, cap: u64) -> Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    body.as_reader().take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| reason(error.into()))?;
    let cut = bytes.len() as u64 > cap;
    if cut {
        bytes.pop();
    }
    Ok((bytes, cut))
}
