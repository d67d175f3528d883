//! Runs checkers that nobody has to trust.
//!
//! Who writes a `.wasm` file is not trusted: it may loop, leak, crash, hang or attack, and gets no more than a fault
//! with its reason. Who writes the configuration is: its grants decide what a checker may reach. A checker sees the
//! parameters of its checks, secrets included; trust it with those as you would trust their target.
//!
//! The walls: a fresh store for every run, thrown away afterwards ([`store`], where every cap is set); a deadline in
//! three parts ([`run`]); nothing inherited from the process ([`wasi`]); connections only through [`egress`], which
//! holds them against the check's grants. Not walls: side channels between guests and host (Spectre), and the
//! compiler, which runs in this process.

mod activity;
mod captured;
mod checker;
mod egress;
mod engine;
mod eyeballs;
mod limits;
mod metrics;
mod net;
mod pace;
mod resolver;
mod run;
mod store;
mod v0_1;
mod wasi_http;
mod wasi_sockets;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::check::BoxFuture;
use crate::model::checkset::{Checker, Compiler, LoadError};
use crate::model::host::HostSample;
use crate::model::name::Name;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use self::engine::Engine;
pub use self::engine::EngineError;
use self::pace::Turns;
use self::store::Shared;

/// Runs at once, unless the configuration says otherwise.
pub const DEFAULT_CONCURRENCY: u32 = 256;
/// Memory of all guests together, in bytes, unless the configuration says otherwise.
pub const DEFAULT_MEMORY: u64 = 512 << 20;

/// What the operator can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Told to checkers.
    pub agent_id: Name,
    /// Runs at once.
    pub concurrency: u32,
    /// Memory of all guests together, in bytes.
    pub memory: u64,
    /// Threads of the guest runtime.
    pub workers: usize,
    /// Asked in place of resolv.conf's; empty for those.
    pub dns_servers: Vec<SocketAddr>,
}

/// Compiles plugins and runs their checks.
pub struct Sandbox {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    linker: v0_1::Linker,
    /// One at a time: compiling uses all cores as it is, and a burst of new plugins must not starve the agent.
    compiling: tokio::sync::Semaphore,
}

impl Sandbox {
    pub fn build(
        config: &Config,
        supervisor: Supervisor,
        host: tokio::sync::watch::Receiver<Arc<HostSample>>,
        metrics: &Metrics,
    ) -> Result<Self, EngineError> {
        let turns = Turns::new(config.workers);
        let engine = Engine::build(config, &turns)?;
        let linker = v0_1::linker(engine.wasmtime())?;
        let shared = Arc::new(Shared::new(engine, turns, config, host, metrics));
        Ok(Self { shared, supervisor, linker, compiling: tokio::sync::Semaphore::new(1) })
    }

    /// Watches how late the guest runtime is; to be spawned on it.
    pub fn pulse(&self, stop: Stop) -> impl Future<Output = ()> + use<> {
        pace::pulse(self.shared.clone(), self.supervisor.beats().register("guest"), stop)
    }
}

impl Compiler for Sandbox {
    fn load(&self, name: Name, digest: String, bytes: Arc<[u8]>) -> BoxFuture<'_, Result<Arc<dyn Checker>, LoadError>> {
        Box::pin(async move {
            let _turn = self.compiling.acquire().await;
            let (shared, linker) = (self.shared.clone(), self.linker.clone());
            let compile = move || checker::compile(&shared, &linker, &bytes);
            let compiled = self.supervisor.blocking(compile).await;
            let compiled = compiled.map_err(|_| LoadError::Compile("the compiler panicked".into()))??;
            let shared = self.shared.clone();
            // Guest code runs on the guest runtime, `describe` too.
            let described = self.supervisor.run_guest(checker::describe(shared, compiled, name, digest)).await;
            described.map_err(|_| LoadError::Describe("the sandbox panicked".into()))?
        })
    }
}
