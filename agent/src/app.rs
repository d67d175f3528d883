//! The composition root: builds each part, makes each channel, and owns the order of stopping.

mod signals;
mod stopping;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::config::{Config, LastGood, Loaded, Origin, ReloadingSource};
use crate::control::{self, Control};
use crate::discovery::{self, Consumer, Watched};
use crate::exposition::HostText;
use crate::files::{self, FileError, Lock};
use crate::health::{self, Health};
use crate::host::{self, Host};
use crate::http::registry::Discovered;
use crate::http::{self, BindError, Http};
use crate::model::checkset::{CheckSet, PluginInfo};
use crate::model::host::HostSample;
use crate::model::registration::RegistryView;
use crate::model::requests::PluginRequest;
use crate::model::snapshot::HealthSnapshot;
use crate::plugins::{self, Plugins};
use crate::registry::{self, Registry};
use crate::report::{self, Reports};
use crate::sandbox::Sandbox;
use crate::schedule::{self, Schedule};
use crate::supervise::{Death, Supervisor};
use crate::telemetry::Metrics;

/// Another agent that holds the state may be about to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Observations that may wait for health. When it is full, the schedule waits: see `schedule::Wires`.
const OBSERVATIONS: usize = 1024;
/// What operators ask for may wait so much: each asks for one thing.
const REQUESTS: usize = 16;
/// Threads of the control runtime: it never computes, so two are plenty.
const CONTROL_WORKERS: usize = 2;
/// Polls of the guest runtime between two looks at its sockets. A poll may last a tick (10 ms), so the default (61)
/// would make others wait.
const GUEST_FAIRNESS: u32 = 4;

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::EngineError),
    #[error(transparent)]
    State(#[from] FileError),
    #[error("a runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A built agent: bound, and nothing running yet.
pub struct App {
    control: Runtime,
    guest: Runtime,
    supervisor: Supervisor,
    deaths: mpsc::Receiver<Death>,
    parts: Wired,
    _lock: Option<Lock>,
}

impl App {
    pub fn build(loaded: Loaded, origin: Origin) -> Result<Self, BuildError> {
        let Loaded { config, sources } = loaded;
        raise_file_limit();
        let lock = lock_state(&config.state_dir)?;
        let control =
            Builder::new_multi_thread().worker_threads(CONTROL_WORKERS).thread_name("control").enable_all().build()?;
        let guest = Builder::new_multi_thread()
            .worker_threads(config.sandbox.workers)
            .thread_name("guest")
            .event_interval(GUEST_FAIRNESS)
            // What comes from other threads (new runs, the turns of hogs) is looked at before each poll.
            .global_queue_interval(1)
            .enable_all()
            .build()?;
        let (supervisor, deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
        let metrics = Metrics::default();
        build_info(&metrics);
        let source = definition_source(&config, sources.clone(), origin, &metrics);
        let parts = Wired::new(&config, &supervisor, source, origin, &metrics)?;
        // Only what could be built is good.
        if origin == Origin::File
            && let Err(error) = LastGood::new(&config.state_dir).save(&sources)
        {
            tracing::warn!("the copy of the configuration could not be kept: {error}");
        }
        Ok(Self { control, guest, supervisor, deaths, parts, _lock: lock })
    }

    /// Where it answers.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.parts.http.addresses()
    }
}

/// The parts, connected.
struct Wired {
    plugins: Plugins,
    sandbox: Arc<Sandbox>,
    schedule: Schedule,
    health: Health,
    host: Host,
    http: Http,
    registry: Option<(Registry, registry::Handle, registry::Config)>,
    discovery: Option<Consumer>,
    reports: Option<Reports>,
    control: Option<Control>,
    /// What the control socket asks for as SIGUSR2 does.
    hand_over: mpsc::Receiver<()>,
    /// SIGHUP asks the plugins to look.
    reload: mpsc::Sender<PluginRequest>,
    stopping: watch::Sender<bool>,
}

impl Wired {
    fn new(
        config: &Config,
        supervisor: &Supervisor,
        source: Arc<ReloadingSource>,
        origin: Origin,
        metrics: &Metrics,
    ) -> Result<Self, BuildError> {
        let (check_sender, checks) = watch::channel(Arc::new(CheckSet::default()));
        let (snapshot_sender, snapshot) = watch::channel(Arc::new(HealthSnapshot::default()));
        let (sample_sender, sample) = watch::channel(Arc::new(HostSample::default()));
        let (text_sender, text) = watch::channel(Arc::new(HostText::default()));
        let (info_sender, infos) = watch::channel(Arc::<[PluginInfo]>::from([]));
        let (stopping, stopping_receiver) = watch::channel(false);
        let (observation_sender, observations) = mpsc::channel(OBSERVATIONS);
        let (order_sender, orders) = mpsc::channel(REQUESTS);
        let (next_runs_sender, next_runs) = mpsc::channel(REQUESTS);
        let (hand_over_sender, hand_over) = mpsc::channel(1);
        let (plugin_sender, plugin_requests) = mpsc::channel(REQUESTS);
        let reload = source.reload();
        let discovery = config.discovery.as_ref().map(|config| discovery_part(config, supervisor, metrics));
        let (discovery, discovered) = discovery.unzip();

        let http_wires = http::Wires {
            agent_id: config.agent_id.clone(),
            reload: reload.clone(),
            snapshot: snapshot.clone(),
            plugins: infos.clone(),
            host: text,
            discovered,
            stopping: stopping_receiver.clone(),
            sources: vec![health::snapshot_source(snapshot.clone())],
        };
        let http = Http::build(&config.http, supervisor.clone(), http_wires, metrics)?;
        let sandbox = Arc::new(Sandbox::build(&config.sandbox, supervisor.clone(), sample.clone(), metrics)?);
        let plugin_wires = plugins::Wires {
            definitions: source,
            compiler: sandbox.clone(),
            checks: check_sender,
            infos: info_sender,
            requests: plugin_requests,
        };
        let definitions = config.definitions.clone();
        let plugins = Plugins::build(config.plugins.clone(), supervisor.clone(), definitions, plugin_wires, metrics);
        let health_wires = health::Wires { checks: checks.clone(), observations, orders, publish: snapshot_sender };
        let built =
            Health::build(&config.health, &config.definitions.checks, supervisor.clone(), health_wires, metrics);
        let schedule_wires = schedule::Wires {
            checks,
            snapshot: snapshot.clone(),
            observations: observation_sender,
            states: built.states,
            next_runs,
        };
        let schedule = Schedule::build(config.schedule.clone(), supervisor.clone(), schedule_wires, metrics);
        let registry = registry_part(config, http.addresses(), supervisor, &snapshot, metrics);
        let (registry, registry_view) = registry.unzip();
        let report_wires = report::Wires { snapshot: snapshot.clone(), sample, registry: registry_view.clone() };
        let reports = config.report.clone().map(|own| Reports::build(own, supervisor, &report_wires, metrics));
        let control_wires = control::Wires {
            snapshot,
            registry: registry_view,
            reload,
            plugin_requests: plugin_sender.clone(),
            plugins: infos,
            stopping: stopping_receiver,
            orders: order_sender,
            next_runs: next_runs_sender,
            hand_over: hand_over_sender,
        };
        let control = control_part(config, origin, supervisor, control_wires);
        let host_wires = host::Wires { sample: sample_sender, text: text_sender };
        let host = Host::build(config.host.clone(), supervisor.clone(), host_wires, metrics);
        Ok(Self {
            plugins,
            sandbox,
            schedule,
            health: built.health,
            host,
            http,
            registry,
            discovery,
            reports,
            control,
            hand_over,
            reload: plugin_sender,
            stopping,
        })
    }
}

/// The registry, how it is steered, and where it stands.
type Registering = ((Registry, registry::Handle, registry::Config), watch::Receiver<Arc<RegistryView>>);

fn registry_part(
    config: &Config,
    addresses: &[SocketAddr],
    supervisor: &Supervisor,
    snapshot: &watch::Receiver<Arc<HealthSnapshot>>,
    metrics: &Metrics,
) -> Option<Registering> {
    let mut registry = config.registry.clone()?;
    // A listen port of 0 was chosen by the kernel meanwhile.
    registry.listen = addresses.to_vec();
    let built = Registry::build(registry.clone(), supervisor.clone(), snapshot.clone(), metrics);
    Some(((built.registry, built.handle, registry), built.view))
}

/// What discovery finds is what HTTP serves.
fn discovery_part(config: &discovery::Config, supervisor: &Supervisor, metrics: &Metrics) -> (Consumer, Discovered) {
    let (publish, set) = watch::channel(Arc::default());
    let watched = match &config.watched {
        Watched::All => None,
        Watched::These(names) => Some(names.clone()),
    };
    let consumer = Consumer::build(config.clone(), supervisor.clone(), publish, metrics);
    (consumer, Discovered { set, watched })
}

/// An agent that can have no socket checks and registers all the same: it only cannot be asked.
fn control_part(config: &Config, origin: Origin, supervisor: &Supervisor, wires: control::Wires) -> Option<Control> {
    let control_config = control::Config {
        agent_id: config.agent_id.clone(),
        state_dir: config.state_dir.clone(),
        main: config.definitions.places.main.clone(),
        // A demonstration leaves nothing behind.
        run_dir: (origin != Origin::Demo).then(control::run_dir),
        drain: config.registry.as_ref().map(|registry| registry.drain).unwrap_or_default(),
    };
    match Control::build(control_config, supervisor.clone(), wires) {
        Ok(control) => {
            tracing::debug!("the control socket is {}", control.path().display());
            Some(control)
        }
        Err(error) => {
            tracing::warn!("`vitald status`, `maintenance` and `handover` will find no agent: {error}");
            None
        }
    }
}

fn definition_source(
    config: &Config,
    sources: crate::config::Sources,
    origin: Origin,
    metrics: &Metrics,
) -> Arc<ReloadingSource> {
    let last_good = LastGood::new(&config.state_dir);
    let source = ReloadingSource::new(config, sources, last_good, origin, metrics);
    if origin == Origin::LastGood {
        source.started_from_copy();
    }
    Arc::new(source)
}

/// Two agents on one state would undo each other's work. A state directory that cannot be used costs continuity over
/// a restart, which is worth a warning.
fn lock_state(dir: &Path) -> Result<Option<Lock>, FileError> {
    let made = files::create_private_dir(dir);
    let begun = Instant::now();
    let locked = loop {
        match files::lock_dir(dir) {
            // Of an agent that was just killed: the kernel takes a moment to give it back.
            Err(FileError::Locked { .. }) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::park_timeout(LOCK_PATIENCE / 40);
            }
            other => break other,
        }
    };
    match made.and(locked) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ FileError::Locked { .. }) => Err(error),
        Err(error) => {
            tracing::warn!("the state directory cannot be used, a restart will remember nothing: {error}");
            Ok(None)
        }
    }
}

/// Every connection of a check is a file descriptor; the usual soft limit is 1024.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}

fn build_info(metrics: &Metrics) {
    let info = metrics.gauges("vitald_build_info", "1, with what was built.", &["version"]);
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
}
