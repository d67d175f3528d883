//! One run of a checker, natively: what it is given, and when it is over.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::bindings::exports::vitald::check::checker::Request;
use crate::bindings::vitald::check::types;
use crate::host::Series;
use crate::length::nanos;
use crate::sys::stage::{self, Stage};

use super::handler::{Answer, Handler};
use super::peer::Peer;
use super::ran::Ran;

/// The agent's own default.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A checker that is tried. See [`testing`](super) for an example.
#[must_use = "nothing runs before `run`"]
pub struct Trial {
    check: Box<dyn Fn(Request, bool) -> Answer>,
    target: String,
    endpoints: Vec<types::Endpoint>,
    params: String,
    timeout: Duration,
    state: Option<Vec<u8>>,
    attributes: Vec<(String, String)>,
    series: Option<Vec<Series>>,
}

/// Parameters for a trial: JSON as text, or a `serde_json::Value`, as `json!({ .. })` makes it.
pub trait IntoParams {
    #[doc(hidden)]
    fn into_params(self) -> String;
}

impl IntoParams for &str {
    fn into_params(self) -> String {
        self.to_owned()
    }
}

impl IntoParams for String {
    fn into_params(self) -> String {
        self
    }
}

impl IntoParams for Value {
    fn into_params(self) -> String {
        self.to_string()
    }
}

impl Trial {
    /// Of a function that `#[checker]` is put on, or could be.
    pub fn of<Takes>(checker: impl Handler<Takes>) -> Self {
        Self {
            check: Box::new(move |request, has_target| checker.run(request, has_target)),
            target: String::new(),
            endpoints: Vec::new(),
            params: "{}".to_owned(),
            timeout: TIMEOUT,
            state: None,
            attributes: vec![("check".to_owned(), "trial".to_owned())],
            series: None,
        }
    }

    /// The target, as an operator would write it: any address, `redis://127.0.0.1:6379/0`. The port must be there: natively
    /// nobody knows a scheme's default.
    ///
    /// # Panics
    /// If it is not `scheme://host:port`.
    #[track_caller]
    pub fn target(mut self, url: impl Into<String>) -> Self {
        self.target = url.into();
        match endpoints(&self.target) {
            Some(endpoints) => self.endpoints = endpoints,
            None => unusable(&format!("the target {:?} is not scheme://host:port, with a port", self.target)),
        }
        self
    }

    /// A scripted peer as the target: `tcp://127.0.0.1:PORT`. For another scheme: [`Peer::url`].
    #[track_caller]
    pub fn peer(self, peer: &Peer) -> Self {
        self.target(peer.url("tcp"))
    }

    /// The parameters, as JSON: text, or what `serde_json::json!` makes. Without them there are none.
    pub fn params(mut self, params: impl IntoParams) -> Self {
        self.params = params.into_params();
        self
    }

    /// How long the run may take; one second without it, as in the agent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the last run has left behind.
    ///
    /// # Panics
    /// If it cannot be written as JSON.
    #[track_caller]
    pub fn state<T: Serialize + ?Sized>(mut self, state: &T) -> Self {
        match serde_json::to_vec(state) {
            Ok(state) => self.state = Some(state),
            Err(error) => unusable(&format!("the state cannot be written as JSON: {error}")),
        }
        self
    }

    /// The check's name; `trial` without it.
    pub fn check_name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.attributes.retain(|(key, _)| key != "check");
        self.attributes.push(("check".to_owned(), name));
        self
    }

    /// Grants the host's numbers, and these are all of them. Without it they are refused, as without the grant.
    pub fn samples(mut self, series: impl IntoIterator<Item = Series>) -> Self {
        self.series = Some(series.into_iter().collect());
        self
    }

    /// Runs the checker once, now.
    ///
    /// Waiting for the peer ends with the timeout, and soon after it so does a checker that goes on with another operation.
    /// What computes or sleeps beyond it by itself is not interrupted as it would be in the agent, but the trial ends as
    /// that would.
    #[must_use = "what came of it is to be looked at"]
    pub fn run(&self) -> Ran {
        let request = Request {
            target: self.target.clone(),
            endpoints: self.endpoints.clone(),
            params: self.params.clone(),
            timeout: nanos(self.timeout),
            state: self.state.clone(),
            attributes: self.attributes.clone(),
        };
        let begun = Instant::now();
        let deadline = begun.checked_add(self.timeout).unwrap_or(begun);
        let stage = Stage::until(deadline, self.series.clone());
        let (answer, stage) = stage::on(stage, || stage::ended(|| (self.check)(request, !self.target.is_empty())));
        let took = begun.elapsed();
        match answer {
            Some(answer) => Ran::new(answer, stage.log, self.state.clone(), took, self.timeout),
            None => Ran::ended(stage.waited_for.as_deref(), stage.log, self.state.clone(), took, self.timeout),
        }
    }
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial")
            .field("endpoints", &self.endpoints)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a test that cannot be run says so, where it is written")]
fn unusable(why: &str) -> ! {
    panic!("{why}")
}

/// The hosts and ports of `scheme://[user[:password]@]host:port[,host:port]...[/path][?query]`.
fn endpoints(url: &str) -> Option<Vec<types::Endpoint>> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').map(endpoint).collect()
}

fn endpoint(text: &str) -> Option<types::Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(())?;
    Some(types::Endpoint { host: host.to_owned(), port: port.parse().ok()? })
}
