//! Running, and the three ways to end: stopping, handing over, and dying.
//!
//! Stopping: `/health/ready` answers 503 and the instances' keys are deleted, at once and together; `drain` passes
//! while everything else goes on; the lease is revoked; schedule and plugins stop and the runs in flight end; what is
//! known is written down; HTTP goes last. The second signal quits at once.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::registry::{self, Mode, OnStop};
use crate::supervise::{Death, EXIT_DIED, Stop, Stopper, Supervisor, stop_pair};

use super::signals::{Asked, Signals};
use super::{App, Wired};

/// How long a part may take to stop.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the runs in flight may take: they have deadlines of their own.
const RUNS_PATIENCE: Duration = Duration::from_secs(30);

impl App {
    /// Runs until the agent is asked to end or one of its tasks dies. Returns the exit code.
    pub fn run(self) -> Result<u8, std::io::Error> {
        self.supervisor.beats().watchdog()?;
        let code = self.control.block_on(run_parts(self.parts, &self.supervisor, self.deaths));
        // Whatever still runs must not keep the process.
        self.guest.shutdown_background();
        self.control.shutdown_background();
        code
    }
}

async fn run_parts(
    parts: Wired,
    supervisor: &Supervisor,
    mut deaths: mpsc::Receiver<Death>,
) -> Result<u8, std::io::Error> {
    let mut signals = Signals::new()?;
    let running = RunningParts::start(parts, supervisor);
    let asked = tokio::select! {
        asked = signals.asked() => asked,
        Some(death) = deaths.recv() => return Ok(died(&death)),
    };
    tokio::select! {
        () = running.stop(asked) => {
            tracing::info!("stopped");
            Ok(0)
        }
        _ = signals.asked() => {
            tracing::warn!("asked a second time: the agent ends at once");
            Ok(0)
        }
        Some(death) = deaths.recv() => Ok(died(&death)),
    }
}

fn died(death: &Death) -> u8 {
    let how = if death.panicked { "panicked" } else { "ended unasked" };
    tracing::error!(task = death.task, "the task {} {how}: the agent ends, and should be started anew", death.task);
    EXIT_DIED
}

/// A part that runs.
struct Running {
    name: &'static str,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Running {
    fn start<F>(name: &'static str, supervisor: &Supervisor, run: impl FnOnce(Stop) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stopper, stop) = stop_pair();
        let task = supervisor.spawn(name, &stop, run(stop.clone()));
        Self { name, stopper, task }
    }

    async fn stop(self, patience: Duration) {
        self.stopper.stop();
        if timeout(patience, self.task).await.is_err() {
            tracing::warn!("{} did not stop within {} s", self.name, patience.as_secs());
        }
    }
}

struct RunningParts {
    registry: Option<(Running, registry::Handle, registry::Config)>,
    plugins: Running,
    schedule: Running,
    health: Running,
    host: Running,
    pulse: Running,
    http: Running,
    stopping: watch::Sender<bool>,
}

impl RunningParts {
    fn start(parts: Wired, supervisor: &Supervisor) -> Self {
        let Wired { plugins, sandbox, schedule, health, host, http, registry, stopping } = parts;
        // The registry first: it continues its lease before anything else takes time.
        let registry = registry.map(|(part, handle, config)| {
            (Running::start("registry", supervisor, |stop| part.run(stop)), handle, config)
        });
        let (stopper, stop) = stop_pair();
        let task = supervisor.spawn_guest_loop("pulse", &stop, sandbox.pulse(stop.clone()));
        Self {
            registry,
            http: Running::start("http", supervisor, |stop| http.run(stop)),
            health: Running::start("health", supervisor, |stop| health.run(stop)),
            plugins: Running::start("plugins", supervisor, |stop| plugins.run(stop)),
            schedule: Running::start("schedule", supervisor, |stop| schedule.run(stop)),
            host: Running::start("host", supervisor, |stop| host.run(stop)),
            pulse: Running { name: "pulse", stopper, task },
            stopping,
        }
    }

    async fn stop(mut self, asked: Asked) {
        self.stopping.send_replace(true);
        if let Some((_, handle, config)) = &mut self.registry {
            leave_registry(handle, config, asked).await;
        }
        self.schedule.stop(RUNS_PATIENCE).await;
        self.plugins.stop(PATIENCE).await;
        self.health.stop(PATIENCE * 3).await;
        if let Some((registry, ..)) = self.registry {
            registry.stop(PATIENCE).await;
        }
        self.host.stop(PATIENCE).await;
        self.pulse.stop(PATIENCE).await;
        self.http.stop(PATIENCE).await;
    }
}

/// Takes the instances out of traffic, or leaves them to the next agent. An etcd that does not answer delays the end
/// by two requests' time: the keys then go with the lease.
async fn leave_registry(handle: &mut registry::Handle, config: &registry::Config, asked: Asked) {
    let patience = config.request_timeout * 2;
    if asked == Asked::HandOver || config.on_stop == OnStop::Keep {
        if !handle.reach(Mode::HandOver, patience).await {
            tracing::warn!("handing over without a last keepalive: etcd does not answer");
        }
        return;
    }
    let withdrawn = handle.reach(Mode::Withdraw, patience).await;
    if withdrawn && !config.drain.is_zero() {
        tracing::info!("instances withdrawn, draining for {}", humantime::format_duration(config.drain));
    }
    tokio::time::sleep(config.drain).await;
    if !handle.reach(Mode::Leave, patience).await {
        tracing::warn!("etcd does not answer: the keys go when the lease ends, {} s at most", config.ttl.as_secs());
    }
}
