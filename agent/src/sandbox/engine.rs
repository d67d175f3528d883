//! The one wasmtime engine: a pool of slots that fresh stores are cut from, and the ticker that lets deadlines
//! interrupt guest code.

use std::hash::{Hash as _, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::Config;
use super::pace::Turns;

/// How often guest code is interrupted to look at its deadline.
pub const TICK: Duration = Duration::from_millis(10);

/// The largest memory that a check may be given: address space, not memory.
const MAX_MEMORY: usize = 1 << 30;
/// Slots kept warm: each keeps up to a MiB resident.
const WARM_SLOTS: u32 = 64;
/// Frames that are kept of a trap; its message shows the innermost.
pub const FRAMES: usize = 8;
/// The same for those who look for a mistake in a checker.
pub const ALL_FRAMES: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the sandbox cannot be set up: {0:#}")]
    Wasmtime(#[from] wasmtime::Error),
    #[error("the sandbox's ticker cannot be started: {0}")]
    Ticker(#[from] std::io::Error),
}

#[derive(Debug)]
pub struct Engine(wasmtime::Engine);

impl Engine {
    pub fn build(config: &Config, turns: &Arc<Turns>, frames: usize) -> Result<Self, EngineError> {
        let pooled = |scan| wasmtime::Engine::new(&engine_config(Some(pool(config.concurrency, scan)), frames));
        // PAGEMAP_SCAN needs Linux 6.7; a pool needs much address space. Each step down costs CPU, no safety.
        let engine = pooled(Enabled::Yes).or_else(|_| pooled(Enabled::No)).or_else(|error| {
            tracing::warn!("no pool of sandboxes can be had, runs will cost more CPU: {error:#}");
            wasmtime::Engine::new(&engine_config(None, frames))
        })?;
        start_ticker(&engine, turns.clone())?;
        Ok(Self(engine))
    }

    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0
    }
}

/// An engine that only compiles. What it makes suits the one above: where instances are put changes no code.
pub fn to_compile() -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&engine_config(None, FRAMES))
}

/// Tells which engines can run each other's compiled code, in any process and at any time: in hex. Another version of
/// the agent counts as another engine.
pub fn fingerprint(engine: &wasmtime::Engine) -> String {
    struct Digester(Sha256);
    impl Hasher for Digester {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut digester = Digester(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut digester);
    digester.write(env!("CARGO_PKG_VERSION").as_bytes());
    digester.0.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn pool(concurrency: u32, scan: Enabled) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(concurrency)
        .total_core_instances(concurrency.saturating_mul(8))
        .total_memories(concurrency)
        .total_tables(concurrency.saturating_mul(4))
        .total_stacks(concurrency)
        .max_memory_size(MAX_MEMORY)
        .table_elements(100_000)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(8 << 20)
        .max_core_instances_per_component(64)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_unused_warm_slots(WARM_SLOTS.min(concurrency))
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(scan);
    pool
}

fn engine_config(pool: Option<PoolingAllocationConfig>, frames: usize) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
        .epoch_interruption(true)
        // One fiber per call: the simpler path, and nothing asynchronous in components to attack.
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        // Registering unwind information is quadratic in the number of modules, which reload adds to.
        .native_unwind_info(false)
        // The environment of the agent decides nothing here.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(frames));
    config
}

/// A thread of its own, so that no runtime's load delays an interruption. It ends with the engine.
fn start_ticker(engine: &wasmtime::Engine, turns: Arc<Turns>) -> Result<(), std::io::Error> {
    let weak = engine.weak();
    let tick = move || {
        let mut quiet = 0;
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            turns.hand_out();
            drop(engine);
            // A hundred wake-ups a second would be most of what an agent costs that does nothing.
            turns.wait_for_tick(&mut quiet);
        }
    };
    std::thread::Builder::new().name("epoch".into()).spawn(tick).map(drop)
}
