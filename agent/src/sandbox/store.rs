//! What every run gets, and nothing else: one constructor sets every cap.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::model::checkset::Binding;
use crate::model::host::HostSample;
use crate::model::name::Name;
use crate::telemetry::Metrics;
use crate::tls::Tls;

use super::Config;
use super::captured::Captured;
use super::egress::{Egress, Network};
use super::engine::Engine;
use super::limits::{GuestMemory, Limits};
use super::log_budget::LogBudget;
use super::metrics::SandboxMetrics;
use super::observer::Observer;
use super::pace::{Lateness, Pace, Running, Turns};
use super::resolver::Resolver;
use super::wasi_http::Hooks;
use super::wasi_sockets;

/// Memory of one run, unless its check says otherwise.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// Bytes that a guest may hand over in one call, its result included.
pub const HOST_CALL_BYTES: usize = 1 << 20;
pub const COMPONENT_HANDLES: usize = 1024;
pub const RESOURCES: usize = 256;
pub const RANDOM_BYTES: u64 = 64 << 10;
pub const HTTP_HEADER_BYTES: usize = 32 << 10;
/// Lines that one run may log, unless its check says otherwise.
const LOG_LINES: u32 = 20;

/// What all stores share.
pub struct Shared {
    pub agent_id: Name,
    pub engine: Engine,
    pub memory: Arc<GuestMemory>,
    /// The turns of hogs: see `pace`.
    pub turns: Arc<Turns>,
    pub lateness: Lateness,
    pub host: watch::Receiver<Arc<HostSample>>,
    pub log: Arc<LogBudget>,
    network: Arc<Network>,
    metrics: SandboxMetrics,
}

impl Shared {
    pub fn new(
        engine: Engine,
        turns: Arc<Turns>,
        config: &Config,
        host: watch::Receiver<Arc<HostSample>>,
        metrics: &Metrics,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let resolver = Resolver::new(config.dns_servers.clone());
        Self {
            agent_id: config.agent_id.clone(),
            engine,
            memory: GuestMemory::new(config.memory),
            turns,
            lateness: Lateness::new(),
            host,
            log: Arc::default(),
            network: Arc::new(Network { resolver, tls: Tls::default(), observer }),
            metrics: SandboxMetrics::new(metrics),
        }
    }

    pub fn publish(&self) {
        self.metrics.memory.set(i64::try_from(self.memory.used()).unwrap_or(i64::MAX));
        self.metrics.lateness.set(self.lateness.worst().as_secs_f64());
    }

    /// A fresh store. `binding` is none while a plugin describes itself, which it does without any grant.
    pub fn store(&self, binding: Option<Arc<Binding>>, deadline: Instant, pace: &Arc<Pace>) -> Store<Guest> {
        let limits = binding.as_ref().map(|binding| binding.definition.limits).unwrap_or_default();
        let egress = Egress::new(binding.clone(), deadline, self.network.clone());
        let captured = Captured::default();
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(captured.clone())
            .stderr(captured.clone())
            .max_random_size(RANDOM_BYTES)
            // What of it is allowed is decided for each address.
            .allow_tcp(true)
            .allow_udp(true)
            .socket_addr_check(wasi_sockets::check(egress.clone()));
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HTTP_HEADER_BYTES);
        let guest = Guest {
            wasi: wasi.build(),
            http,
            http_hooks: Hooks(egress.clone()),
            table,
            limits: Limits::new(self.memory.clone(), limits.memory.unwrap_or(DEFAULT_MEMORY)),
            egress,
            captured,
            binding,
            host: self.host.clone(),
            log: self.log.clone(),
            log_lines_left: limits.log_lines.unwrap_or(LOG_LINES),
            _running: self.turns.begin(),
        };
        let mut store = Store::new(self.engine.wasmtime(), guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_max_component_handles(COMPONENT_HANDLES);
        store.set_epoch_deadline(1);
        let (pace, turns) = (pace.clone(), self.turns.clone());
        store.epoch_deadline_callback(move |_| Ok(pace.tick(deadline, &turns)));
        store
    }
}

/// The host's side of one run.
pub struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    http_hooks: Hooks,
    pub table: ResourceTable,
    pub limits: Limits,
    pub egress: Arc<Egress>,
    pub captured: Captured,
    pub binding: Option<Arc<Binding>>,
    pub log: Arc<LogBudget>,
    pub host: watch::Receiver<Arc<HostSample>>,
    pub log_lines_left: u32,
    _running: Running,
}

impl Guest {
    /// All sockets of the run, whichever interface they came through.
    pub fn sockets_open(&mut self) -> usize {
        self.egress.connections() + wasi_sockets::open(&mut self.table)
    }

    pub fn is_full_of_sockets(&mut self) -> bool {
        self.sockets_open() >= self.egress.max_sockets()
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.http_hooks }
    }
}
