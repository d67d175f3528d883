//! Checks as the agent makes them: a component, a definition, its grants.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vitald::model::check::{Check, CheckDef, Judges, Limits, OnFault, Policy, Severity, TlsDef};
use vitald::model::checkset::{Binding, Compiler as _};
use vitald::model::grant::{Grants, NetGrant};
use vitald::model::name::Name;
use vitald::model::secret::Masker;
use vitald::model::target::Target;
use vitald::sandbox::{Config, Sandbox};
use vitald::supervise::{Stopper, Supervisor, stop_pair};
use vitald::telemetry::Metrics;

use super::TIMEOUT;

pub struct Bench {
    sandbox: Sandbox,
    _stopper: Stopper,
}

impl Bench {
    pub fn new(supervisor: &Supervisor) -> Self {
        let config = Config {
            agent_id: name("bench"),
            concurrency: 256,
            memory: 512 << 20,
            workers: 1,
            dns_servers: Vec::new(),
            cache_dir: None,
        };
        let host = watch::channel(Arc::default()).1;
        let sandbox = Sandbox::build(&config, supervisor.clone(), host, &Metrics::default()).unwrap();
        let (stopper, stop) = stop_pair();
        supervisor.spawn_guest_loop("pulse", &stop, sandbox.pulse(stop.clone()));
        Self { sandbox, _stopper: stopper }
    }

    /// A check of a target (none if it is empty) with a component; `redis` only sends PING.
    pub async fn load(&self, plugin: &str, file: &str, target: &str, ca_file: Option<&Path>) -> Arc<dyn Check> {
        let bytes: Arc<[u8]> = std::fs::read(wasm(file)).unwrap().into();
        let checker = self.sandbox.load(name(plugin), "digest".into(), bytes).await.unwrap();
        let target = Target::parse(target).ok();
        let endpoints = target.as_ref().map(|target| target.endpoints(None).unwrap()).unwrap_or_default();
        let mut grants = Grants::default();
        endpoints.iter().for_each(|endpoint| grants.add(NetGrant::endpoint(&endpoint.host, endpoint.port)));
        let mut params = serde_json::Map::new();
        if plugin == "redis" {
            params.insert("info".into(), false.into());
        }
        let tls = TlsDef { ca_file: ca_file.map(Path::to_owned), ..TlsDef::default() };
        let definition = Arc::new(CheckDef { target, params, tls, ..definition(plugin) });
        checker.bind(Binding { definition, services: Vec::new(), endpoints, grants })
    }
}

fn definition(plugin: &str) -> CheckDef {
    CheckDef {
        name: name(plugin),
        checker: name(plugin),
        target: None,
        judges: Judges::Host,
        severity: Severity::Critical,
        policy: Policy {
            interval: Duration::from_secs(10),
            timeout: TIMEOUT,
            fall: 3,
            rise: 2,
            retry_interval: Duration::from_secs(2),
            stale_after: Duration::from_secs(31),
            on_fault: OnFault::Keep,
        },
        allow: Vec::new(),
        params: serde_json::Map::new(),
        tls: TlsDef::default(),
        limits: Limits::default(),
        masker: Masker::default(),
        problem: None,
        written: Default::default(),
        origin: "bench".into(),
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Components lie in the target folder, where the build scripts put them.
fn wasm(file: &str) -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let path = target.join("wasm/wasm32-wasip2/plugin").join(file);
    assert!(path.exists(), "there is no {}: run cargo build --release --workspace first", path.display());
    path
}
