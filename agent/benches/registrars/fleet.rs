//! The registrars: the agent's own registry, each with a connection, a lease, watches, a state directory and metrics of
//! its own. What health would say is made by hand: one service, UP or DOWN.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use vitald::clock;
use vitald::etcd;
use vitald::model::check::TlsDef;
use vitald::model::name::Name;
use vitald::model::registration::{KeyState, RegistryView};
use vitald::model::service::ServiceDef;
use vitald::model::snapshot::{Aggregate, HealthSnapshot, ServiceView};
use vitald::registry::{Advertise, Built, Config, Dialect, OnDown, OnStop, Registry};
use vitald::supervise::{Death, Stopper, Supervisor, stop_pair};
use vitald::telemetry::Metrics;

pub const SERVICES: &str = "/services/";
pub const AGENTS: &str = "/vitald/agents/";
const SERVICE: &str = "orders";
/// As the configuration has them by default.
const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(3);

pub struct Fleet {
    pub members: Vec<Member>,
    runtime: Runtime,
}

/// One host.
pub struct Member {
    config: Config,
    service: Arc<ServiceDef>,
    /// What health says; it outlives the registrar, as it does in the agent's state.
    snapshot: Arc<HealthSnapshot>,
    running: Option<Running>,
    /// Of registrars that have ended.
    errors_before: f64,
}

struct Running {
    snapshot: watch::Sender<Arc<HealthSnapshot>>,
    view: watch::Receiver<Arc<RegistryView>>,
    stopper: Stopper,
    task: JoinHandle<()>,
    metrics: Metrics,
    deaths: mpsc::Receiver<Death>,
    /// Asks nothing of the registrar, but would end it.
    _handle: vitald::registry::Handle,
}

impl Fleet {
    /// Nobody runs yet.
    pub fn new(count: usize, ttl: Duration, url: &str, dir: &Path) -> Self {
        // Of N registrars only one would be on a host: no more threads for what blocks than there are cores.
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).max_blocking_threads(2).enable_all().build().unwrap();
        let members = (0..count).map(|number| Member::new(number, ttl, url, dir)).collect();
        Self { members, runtime }
    }

    pub fn start(&mut self, from: usize, to: usize) {
        for member in &mut self.members[from..to] {
            member.start(&self.runtime);
        }
    }

    /// Without a farewell, as if the processes had been killed: the connections close, nothing is said.
    pub fn stop(&mut self, from: usize, to: usize) {
        let stopped: Vec<Running> = self.members[from..to].iter_mut().filter_map(Member::stop).collect();
        for running in &stopped {
            running.stopper.stop();
        }
        for running in stopped {
            self.runtime.block_on(running.task).unwrap();
        }
    }

    /// Do these members say that their keys are in etcd, or are not, as they should be?
    pub fn is_settled(&self, from: usize, to: usize) -> bool {
        self.members[from..to].iter().all(Member::is_settled)
    }

    /// What went wrong with etcd, lost sessions among it, over all that ever ran.
    pub fn errors(&self) -> f64 {
        self.members.iter().map(|member| member.errors_before + member.running.as_ref().map_or(0.0, errors)).sum()
    }

    /// A registrar must not end by itself.
    pub fn assert_alive(&mut self) {
        for running in self.members.iter_mut().filter_map(|member| member.running.as_mut()) {
            assert!(running.deaths.try_recv().is_err(), "a registrar died");
        }
    }
}

impl Member {
    fn new(number: usize, ttl: Duration, url: &str, dir: &Path) -> Self {
        let agent_id = name(&format!("host-{number:05}"));
        let state_dir = dir.join("hosts").join(&*agent_id);
        std::fs::create_dir_all(&state_dir).unwrap();
        let service = Arc::new(ServiceDef {
            name: name(SERVICE),
            id: name(&format!("{SERVICE}-{agent_id}")),
            host: None,
            port: 8080,
            tags: vec!["v2".into()],
            weight: Some(10),
            metadata: [("zone".to_owned(), "a".to_owned())].into(),
            unchecked: false,
        });
        let snapshot = snapshot(&service, true);
        let config = config(agent_id, ttl, url, state_dir);
        Self { config, service, snapshot, running: None, errors_before: 0.0 }
    }

    fn start(&mut self, runtime: &Runtime) {
        // A supervisor each: a shared one would look through everyone's beats before each keepalive.
        let (supervisor, deaths) = Supervisor::new(runtime.handle().clone(), runtime.handle().clone());
        let (sender, receiver) = watch::channel(self.snapshot.clone());
        let metrics = Metrics::default();
        let Built { registry, handle, view } =
            Registry::build(self.config.clone(), supervisor.clone(), receiver, &metrics);
        let (stopper, stop) = stop_pair();
        let task = supervisor.spawn("registry", &stop, registry.run(stop.clone()));
        self.running = Some(Running { snapshot: sender, view, stopper, task, metrics, deaths, _handle: handle });
    }

    fn stop(&mut self) -> Option<Running> {
        let running = self.running.take()?;
        self.errors_before += errors(&running);
        Some(running)
    }

    /// Health says something else from now on; returns when that was.
    pub fn turn(&mut self, up: bool) -> Instant {
        self.snapshot = snapshot(&self.service, up);
        let at = Instant::now();
        if let Some(running) = &self.running {
            running.snapshot.send_replace(self.snapshot.clone());
        }
        at
    }

    fn is_settled(&self) -> bool {
        let Some(running) = &self.running else { return false };
        let up = self.snapshot.overall == Aggregate::Up;
        let wanted = if up { KeyState::Registered } else { KeyState::Absent };
        let view = running.view.borrow();
        let keys = view.services.get(&self.service.name);
        view.up && keys.is_some_and(|keys| keys.iter().all(|key| key.state == wanted))
    }
}

fn errors(running: &Running) -> f64 {
    let families = running.metrics.gather();
    let family = families.iter().filter(|family| family.name() == "vitald_registry_errors_total");
    family.flat_map(|family| family.get_metric()).map(|metric| metric.get_counter().get_value()).sum()
}

fn snapshot(service: &Arc<ServiceDef>, up: bool) -> Arc<HealthSnapshot> {
    let (at, aggregate) = (clock::now(), if up { Aggregate::Up } else { Aggregate::Down });
    let view = ServiceView {
        definition: service.clone(),
        aggregate,
        since: at,
        registrable: up,
        decided: true,
        checks: Vec::new(),
        maintenance: None,
    };
    let services = [(service.name.clone(), view)].into();
    Arc::new(HealthSnapshot { at, overall: aggregate, checks: [].into(), services, loaded: true })
}

fn config(agent_id: Name, ttl: Duration, url: &str, state_dir: PathBuf) -> Config {
    Config {
        agent_id,
        advertise: Advertise::Auto,
        listen: vec![([127, 0, 0, 1], 9720).into()],
        etcd: client(url),
        prefix: SERVICES.trim_end_matches('/').to_owned(),
        agents_prefix: AGENTS.trim_end_matches('/').to_owned(),
        ttl,
        dialects: vec![Dialect::Native],
        on_down: OnDown::Remove,
        on_stop: OnStop::Remove,
        keep_at_least: 0,
        drain: Duration::ZERO,
        state_dir,
    }
}

fn client(url: &str) -> etcd::Config {
    etcd::Config {
        endpoints: vec![url.to_owned()],
        credentials: None,
        tls: TlsDef::default(),
        connect_timeout: CONNECT,
        request_timeout: REQUEST,
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
