//! Runs checkers that nobody has to trust.
//!
//! # Who is trusted with what
//!
//! - *Who writes a `.wasm` file* is not trusted with anything: it may loop, leak, crash, hang, lie or attack. All it can do
//!   is fail, with its reason in plain words.
//! - *Who writes the configuration* is trusted: its grants decide what a checker may reach, its limits what it may use.
//! - *A checker* is trusted with the parameters of its checks, secrets and passwords of targets included, as their target
//!   is. It could send a secret to the target it was granted, or show it in a message; the latter is masked.
//! - *A target, a DNS server, a peer in TLS* are not trusted: they choose what is read, and nothing else.
//!
//! # The walls, and what each stops
//!
//! - [`store`]: a fresh store for every run, made by the one constructor that sets every cap, and dropped in every case.
//!   Stops what a run leaves behind (memory, sockets, tables) and whatever wants more than its share. Nothing is inherited:
//!   no environment, arguments, files or standard input.
//! - [`run`] and [`pace`]: a deadline in three parts (an epoch interrupts guest code, a timer ends waiting in the host, the
//!   store is dropped), and turns for those who compute long. Stops loops, sleepers and hogs from costing others a run; what
//!   the agent's own lateness spoils is no observation.
//! - [`limits`]: memory and tables of a run and of all runs. Stops bombs before the kernel has to.
//! - [`egress`], with the rules of [`crate::model::grant`]: every connection, lookup and datagram, whichever interface it
//!   came through, is held against the check's grants; addresses of names are filtered and pinned for the run. Stops port
//!   scans, metadata services, redirects, rebinding names and leaks through DNS. [`wire`], [`wasi_sockets`] and
//!   [`wasi_http`] have no other way out.
//! - [`crate::tls`]: keys and roots stay in the host.
//! - [`v0_1`]: what a guest says is checked, capped and made one line before anything else sees it. Stops forged log lines,
//!   broken scrapes and terminal escapes. Schemas are held in check by `plugins::schema`.
//! - [`compile`]: a component is compiled in a process of its own, with limits that grow with its size. Stops what is made
//!   to blow the compiler up. [`cache`]: compiled code is kept where only the agent writes, and is loaded from nowhere else.
//! - [`observer`]: whoever tries a checker by hand looks on; an agent has none.
//! - [`captured`]: what it prints is kept at both ends, never fails and never waits.
//! - The two runtimes: guests share none with HTTP, etcd and health; a guest runtime that is wedged ends the agent, which
//!   then is started anew, and does not renew a lease for what it cannot see.
//!
//! # Out of scope
//!
//! - Side channels between guests and the host (Spectre): do not run hostile plugins beside secrets that matter to others.
//! - A hostile operator, or one who grants what should not be granted.
//! - A plugin that betrays a secret it was given to a target it was granted.
//! - Bugs of wasmtime. A component that makes the compiler loop, grow or crash costs the compiler's process; one that
//!   takes the compiler over decides what code the agent then runs.
//!
//! For operators: `README.md` in this directory.

mod activity;
mod cache;
mod captured;
mod checker;
mod code;
mod compile;
mod egress;
mod engine;
mod eyeballs;
mod limits;
#[cfg(test)]
mod load_tests;
mod loading;
mod log_budget;
mod metrics;
mod net;
mod observer;
mod pace;
mod powers;
mod resolver;
mod run;
mod store;
mod v0_1;
mod wasi_http;
mod wasi_sockets;
mod wire;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::check::BoxFuture;
use crate::model::checkset::{Checker, Compiler, Description, LoadError, Powers};
use crate::model::host::HostSample;
use crate::model::name::Name;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::Metrics;

use self::cache::Cache;
pub use self::compile::{child::main as compile_main, in_children};
pub use self::egress::Denial;
use self::engine::Engine;
pub use self::engine::EngineError;
use self::loading::Loader;
pub use self::observer::{Left, Observer, Step, Way};
use self::pace::Turns;
pub use self::store::DEFAULT_MEMORY as DEFAULT_RUN_MEMORY;
use self::store::Shared;
pub use self::v0_1::MOST_STATE;

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
    /// Where compiled code is kept; none: nowhere.
    pub cache_dir: Option<PathBuf>,
}

/// Compiles plugins and runs their checks.
pub struct Sandbox {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    loader: Arc<Loader>,
}

/// A plugin, looked at by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    pub description: Description,
    pub powers: Powers,
    /// The interfaces that it imports, such as `wasi:clocks/wall-clock@0.2.9`.
    pub imports: BTreeSet<String>,
    pub code_bytes: u64,
    pub compiled_in: Duration,
}

impl Sandbox {
    pub fn build(
        config: &Config,
        supervisor: Supervisor,
        host: tokio::sync::watch::Receiver<Arc<HostSample>>,
        metrics: &Metrics,
    ) -> Result<Self, EngineError> {
        Self::observed(config, supervisor, host, metrics, None)
    }

    /// With somebody who looks on.
    pub fn observed(
        config: &Config,
        supervisor: Supervisor,
        host: tokio::sync::watch::Receiver<Arc<HostSample>>,
        metrics: &Metrics,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, EngineError> {
        let turns = Turns::new(config.workers);
        let frames = if observer.is_some() { engine::ALL_FRAMES } else { engine::FRAMES };
        let engine = Engine::build(config, &turns, frames)?;
        let linker = v0_1::linker(engine.wasmtime())?;
        let fingerprint = || engine::fingerprint(engine.wasmtime());
        let cache = config.cache_dir.clone().map(|dir| Cache::new(dir, &fingerprint()));
        let shared = Arc::new(Shared::new(engine, turns, config, host, metrics, observer));
        let loader = Arc::new(Loader::new(shared.clone(), supervisor.clone(), linker, cache, metrics));
        Ok(Self { shared, supervisor, loader })
    }

    /// Watches how late the guest runtime is; to be spawned on it.
    pub fn pulse(&self, stop: Stop) -> impl Future<Output = ()> + use<> {
        pace::pulse(self.shared.clone(), self.supervisor.beats().register("guest"), stop)
    }

    /// Compiles a plugin, whatever the cache has, and tells what it is.
    pub async fn inspect(&self, digest: &str, bytes: Arc<[u8]>) -> Result<Inspected, LoadError> {
        let fresh = self.loader.clone().make(digest, bytes).await?;
        Ok(Inspected {
            description: fresh.description,
            powers: fresh.powers,
            imports: fresh.imports,
            code_bytes: fresh.code_bytes,
            compiled_in: fresh.compiled_in,
        })
    }
}

impl Compiler for Sandbox {
    fn load(
        &self,
        name: Name,
        digest: String,
        bytes: Arc<[u8]>,
    ) -> BoxFuture<'static, Result<Arc<dyn Checker>, LoadError>> {
        Box::pin(self.loader.clone().load(name, digest, bytes))
    }

    fn recall(&self, name: Name, digest: String) -> BoxFuture<'static, Option<Arc<dyn Checker>>> {
        Box::pin(self.loader.clone().look(name, digest, None))
    }

    fn keep_only(&self, digests: &BTreeSet<String>) {
        self.loader.keep_only(digests);
    }
}
