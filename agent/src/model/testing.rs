//! Values for unit tests.

use std::sync::Arc;
use std::time::Duration;

use super::check::{BoxFuture, Check, CheckDef, Judges, Limits, OnFault, Policy, Severity, TlsDef, Written};
use super::name::Name;
use super::outcome::{Ending, Fault, FaultKind, Outcome, RunReport, Status};
use super::secret::Masker;
use super::service::ServiceDef;
use super::time::Moment;
use super::verdict::Observation;

pub fn name(text: &str) -> Name {
    text.parse().expect(text)
}

/// Seconds since a boot, and since the epoch.
pub fn at(seconds: u64) -> Moment {
    let time = Duration::from_secs(seconds);
    Moment { boot: time, wall: time }
}

/// Every 10 s, within 1 s, fall 3, rise 2, stale after 31 s.
pub fn policy() -> Policy {
    Policy {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        fall: 3,
        rise: 2,
        retry_interval: Duration::from_millis(2500),
        stale_after: Duration::from_secs(31),
        on_fault: OnFault::Keep,
    }
}

/// A critical check of these services, or of the host.
pub fn definition(check: &str, services: &[&str]) -> CheckDef {
    let judges = match services {
        [] => Judges::Host,
        services => Judges::These(services.iter().map(|service| name(service)).collect()),
    };
    CheckDef {
        name: name(check),
        checker: name("tcp"),
        target: None,
        judges,
        severity: Severity::Critical,
        policy: policy(),
        allow: Vec::new(),
        params: serde_json::Map::new(),
        tls: TlsDef::default(),
        limits: Limits::default(),
        masker: Masker::default(),
        problem: None,
        written: Written::default(),
        origin: "test.toml:1".into(),
    }
}

pub fn service(service: &str) -> ServiceDef {
    ServiceDef {
        name: name(service),
        id: name(&format!("{service}-host")),
        host: None,
        port: 8080,
        tags: Vec::new(),
        weight: None,
        metadata: std::collections::BTreeMap::new(),
        unchecked: false,
    }
}

pub fn judged(status: Status) -> Ending {
    Ending::Judged(Outcome {
        status,
        message: format!("it is {status}"),
        measurements: Vec::new(),
        parts: Vec::new(),
        state: None,
    })
}

pub fn faulted(kind: FaultKind) -> Ending {
    Ending::Faulted(Fault::new(kind, format!("a fault: {kind}")))
}

pub fn observation(check: &str, ending: Ending, at: Moment) -> Observation {
    Observation { check: name(check), at, report: RunReport::without_sandbox(ending), state: None }
}

/// A check whose runs take a while and end as they are told.
pub struct FakeCheck {
    pub definition: Arc<CheckDef>,
    pub version: String,
    pub takes: Duration,
    pub ending: Ending,
    /// Its checker is there.
    pub ready: bool,
}

impl FakeCheck {
    pub fn new(definition: CheckDef) -> Self {
        Self {
            definition: Arc::new(definition),
            version: "1".into(),
            takes: Duration::ZERO,
            ending: judged(Status::Up),
            ready: true,
        }
    }
}

impl Check for FakeCheck {
    fn definition(&self) -> &Arc<CheckDef> {
        &self.definition
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn run(self: Arc<Self>, _: Option<Vec<u8>>) -> BoxFuture<'static, RunReport> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            RunReport::without_sandbox(self.ending.clone())
        })
    }
}
