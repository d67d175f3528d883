//! The sandbox without an agent, for commands that look at a plugin or run it once: the same runtimes, the same engine,
//! no state directory, no compiled code kept, nothing that listens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::exposition::HostText;
use crate::host::{self, Host};
use crate::model::check::Check;
use crate::model::host::HostSample;
use crate::model::name::Name;
use crate::model::outcome::RunReport;
use crate::sandbox::{Config, DEFAULT_MEMORY, EngineError, Observer, Sandbox};
use crate::supervise::{Stop, Supervisor, stop_pair};
use crate::telemetry::Metrics;

/// One sandbox is enough; the engine wants room for a few.
pub const CONCURRENCY: u32 = 4;
/// For the first sample of the host's numbers: what hangs is left out of it after a second.
const SAMPLE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("a runtime cannot be started: {0}")]
    Runtime(#[from] io::Error),
}

/// What the sandbox of such a command is built from, where no configuration says so.
pub fn config(agent_id: Name) -> Config {
    Config {
        agent_id,
        concurrency: CONCURRENCY,
        memory: DEFAULT_MEMORY,
        workers: 1,
        dns_servers: Vec::new(),
        cache_dir: None,
    }
}

/// A sandbox, ready to compile and to run.
pub struct Alone<'a> {
    control: &'a Runtime,
    supervisor: Supervisor,
    sandbox: Arc<Sandbox>,
    metrics: Metrics,
    sample: watch::Sender<Arc<HostSample>>,
    stop: Stop,
}

/// Builds a sandbox, works with it, and takes it down.
pub fn alone<T>(
    config: &Config,
    observer: Option<Arc<dyn Observer>>,
    work: impl FnOnce(&Alone<'_>) -> T,
) -> Result<T, AloneError> {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (control, guest) = (runtime()?, runtime()?);
    let (supervisor, _deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
    let (sample, numbers) = watch::channel(Arc::default());
    let metrics = Metrics::default();
    let sandbox = Arc::new(Sandbox::observed(config, supervisor.clone(), numbers, &metrics, observer)?);
    let (stopper, stop) = stop_pair();
    // Without its pulse the guest runtime would seem to be late, and nothing be said of what took too long.
    supervisor.spawn_guest_loop("guest", &stop, sandbox.pulse(stop.clone()));
    let worked = work(&Alone { control: &control, supervisor, sandbox, metrics, sample, stop });
    stopper.stop();
    // Whatever still waits there is nothing to be waited for.
    guest.shutdown_background();
    control.shutdown_background();
    Ok(worked)
}

impl Alone<'_> {
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.control.block_on(work)
    }

    /// Takes the host's numbers, and goes on taking them. False: there are none in time.
    pub fn sample_host(&self, config: host::Config) -> bool {
        let (text, _) = watch::channel(Arc::new(HostText::default()));
        let wires = host::Wires { sample: self.sample.clone(), text };
        let host = Host::build(config, self.supervisor.clone(), wires, &self.metrics);
        let mut sampled = self.sample.subscribe();
        self.supervisor.spawn("host", &self.stop, host.run(self.stop.clone()));
        let is_there = |sample: &Arc<HostSample>| !sample.blocks.is_empty();
        self.wait_for(async { timeout(SAMPLE, sampled.wait_for(is_there)).await.is_ok() })
    }

    /// One run, where an agent would run it. None: the sandbox itself failed.
    pub fn run(&self, check: Arc<dyn Check>, state: Option<Vec<u8>>) -> Option<RunReport> {
        self.wait_for(self.supervisor.run_guest(check.run(state))).ok()
    }
}
