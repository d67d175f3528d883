//! Running, and the three ways to end: stopping, handing over, and dying.
//!
//! Stopping: `/health/ready` answers 503 and the instances' keys are deleted, at once and together; `drain` passes
//! while everything else goes on; the lease is revoked; schedule and plugins stop and the runs in flight end; what is
//! known is written down, and reported a last time; HTTP goes last. Handing over writes nothing to etcd: the lease is
//! renewed until what is known is written down, and then once more; runs in flight have two seconds. The second signal
//! quits at once.

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
/// The same where another agent waits for our place.
const LAST_RUNS_PATIENCE: Duration = Duration::from_secs(2);

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
    let mut signals = Signals::new(parts.reload.clone())?;
    let (running, mut hand_over) = RunningParts::start(parts, supervisor);
    let asked = tokio::select! {
        asked = signals.asked(&mut hand_over) => asked,
        Some(death) = deaths.recv() => return Ok(died(&death)),
    };
    tokio::select! {
        () = running.stop(asked) => {
            tracing::info!("stopped");
            Ok(0)
        }
        () = signals.asked_again() => {
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
        let name = self.name;
        if !self.stopped(patience).await {
            tracing::warn!("{name} did not stop within {} s", patience.as_secs());
        }
    }

    /// Asks it to stop; has it?
    async fn stopped(self, patience: Duration) -> bool {
        self.stopper.stop();
        timeout(patience, self.task).await.is_ok()
    }
}

struct RunningParts {
    registry: Option<(Running, registry::Handle, registry::Config)>,
    plugins: Running,
    schedule: Running,
    health: Running,
    host: Running,
    pulse: Running,
    discovery: Option<Running>,
    reports: Option<Running>,
    control: Option<Running>,
    http: Running,
    stopping: watch::Sender<bool>,
}

impl RunningParts {
    /// With them, what the control socket asks for.
    fn start(parts: Wired, supervisor: &Supervisor) -> (Self, mpsc::Receiver<()>) {
        let Wired { plugins, sandbox, schedule, health, host, http, registry, discovery, .. } = parts;
        let Wired { reports, control, hand_over, stopping, .. } = parts;
        // The registry first: it continues its lease before anything else takes time.
        let registry = registry.map(|(part, handle, config)| {
            (Running::start("registry", supervisor, |stop| part.run(stop)), handle, config)
        });
        let (stopper, stop) = stop_pair();
        let task = supervisor.spawn_guest_loop("pulse", &stop, sandbox.pulse(stop.clone()));
        let running = Self {
            registry,
            discovery: discovery.map(|part| Running::start("discovery", supervisor, |stop| part.run(stop))),
            reports: reports.map(|part| Running::start("report", supervisor, |stop| part.run(stop))),
            control: control.map(|control| Running::start("control", supervisor, |stop| control.run(stop))),
            http: Running::start("http", supervisor, |stop| http.run(stop)),
            health: Running::start("health", supervisor, |stop| health.run(stop)),
            plugins: Running::start("plugins", supervisor, |stop| plugins.run(stop)),
            schedule: Running::start("schedule", supervisor, |stop| schedule.run(stop)),
            host: Running::start("host", supervisor, |stop| host.run(stop)),
            pulse: Running { name: "pulse", stopper, task },
            stopping,
        };
        (running, hand_over)
    }

    async fn stop(mut self, asked: Asked) {
        self.stopping.send_replace(true);
        let keeps = |config: &registry::Config| asked == Asked::HandOver || config.on_stop == OnStop::Keep;
        let handing_over = match &mut self.registry {
            Some((_, handle, config)) if keeps(config) => {
                freeze_registry(handle, config).await;
                true
            }
            Some((_, handle, config)) => {
                leave_registry(handle, config).await;
                false
            }
            None => asked == Asked::HandOver,
        };
        if handing_over {
            // What is known grows old meanwhile, and the next agent begins anew what was not finished.
            if !self.schedule.stopped(LAST_RUNS_PATIENCE).await {
                tracing::info!("runs that go on are left to the next agent");
            }
        } else {
            self.schedule.stop(RUNS_PATIENCE).await;
        }
        self.plugins.stop(PATIENCE).await;
        self.health.stop(PATIENCE * 3).await;
        if let Some((registry, mut handle, config)) = self.registry {
            // The lease was renewed until now: from here on the next agent has a whole TTL to start.
            if keeps(&config) {
                hand_over_registry(&mut handle, &config).await;
            }
            registry.stop(PATIENCE).await;
        }
        if let Some(discovery) = self.discovery {
            discovery.stop(PATIENCE).await;
        }
        // The last report says how everything ended.
        if let Some(reports) = self.reports {
            reports.stop(PATIENCE).await;
        }
        self.host.stop(PATIENCE).await;
        self.pulse.stop(PATIENCE).await;
        if let Some(control) = self.control {
            control.stop(PATIENCE).await;
        }
        self.http.stop(PATIENCE).await;
    }
}

/// How long etcd may take: what it does not do by then is left to the end of the lease.
fn patience(config: &registry::Config) -> Duration {
    config.etcd.request_timeout * 2
}

/// From now on nothing changes, but the lease is kept.
async fn freeze_registry(handle: &mut registry::Handle, config: &registry::Config) {
    // Without a session nothing changes either.
    let _ = handle.reach(Mode::Freeze, patience(config)).await;
}

/// Leaves the instances to the next agent.
async fn hand_over_registry(handle: &mut registry::Handle, config: &registry::Config) {
    if !handle.reach(Mode::HandOver, patience(config)).await {
        tracing::warn!("handing over without a last keepalive: etcd does not answer");
    }
}

/// Takes the instances out of traffic.
async fn leave_registry(handle: &mut registry::Handle, config: &registry::Config) {
    let patience = patience(config);
    let ttl = config.ttl.as_secs();
    // There is nothing to drain from while everybody still finds us.
    if !handle.reach(Mode::Withdraw, patience).await {
        tracing::warn!("etcd does not answer: the keys go when the lease ends, {ttl} s at most");
        return;
    }
    if !config.drain.is_zero() {
        tracing::info!("instances withdrawn, draining for {}", humantime::format_duration(config.drain));
    }
    tokio::time::sleep(config.drain).await;
    if !handle.reach(Mode::Leave, patience).await {
        tracing::warn!("etcd does not answer: the lease ends by itself, within {ttl} s");
    }
}
