//! Answers what is known, with its age. `GET` and `HEAD` only; a request runs nothing and changes nothing.
//!
//! Strangers may connect: headers are capped and must come in time, connections are bounded, and a peer that does not
//! read is dropped by the kernel.

mod api;
mod cache;
mod exposed;
mod health;
mod metrics;
pub mod registry;
mod reply;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::exposition::HostText;
use crate::model::checkset::PluginInfo;
use crate::model::name::Name;
use crate::model::requests::Reload;
use crate::model::snapshot::HealthSnapshot;
use crate::serving;
use crate::supervise::{Stop, Supervisor};
use crate::telemetry::{MetricSource, Metrics};

use self::cache::Cache;
use self::metrics::HttpMetrics;
use self::registry::Discovered;
use self::routes::State;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 512;
/// Data that a peer does not take for so long ends its connection.
const PEER_TIMEOUT: Duration = Duration::from_secs(15);
/// At a start nobody is answered before what is on disk has been looked at, or this has passed: a restart must not look
/// like an outage. Whoever connects waits in the kernel's queue.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Requests that are being answered get so long when the agent stops.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", advice(source))]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program has it, perhaps another vitald: set listen in [agent]",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

/// What is answered from.
pub struct Wires {
    pub agent_id: Name,
    /// Its origin is `config` in `/health`.
    pub reload: watch::Receiver<Reload>,
    pub snapshot: watch::Receiver<Arc<HealthSnapshot>>,
    pub plugins: watch::Receiver<Arc<[PluginInfo]>>,
    /// The host's part of `/metrics`.
    pub host: watch::Receiver<Arc<HostText>>,
    /// None where discovery is off.
    pub discovered: Option<Discovered>,
    /// Set while the agent is stopping.
    pub stopping: watch::Receiver<bool>,
    /// What is exposed beside what is counted.
    pub sources: Vec<Arc<dyn MetricSource>>,
}

pub struct Http {
    supervisor: Supervisor,
    listeners: Vec<std::net::TcpListener>,
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
}

impl Http {
    /// Binds, and answers nothing yet.
    pub fn build(config: &Config, supervisor: Supervisor, wires: Wires, metrics: &Metrics) -> Result<Self, BindError> {
        let bind = |address: &SocketAddr| {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let bind = |address: &SocketAddr| bind(address).map_err(|source| BindError { address: *address, source });
        let listeners = config.listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let state = Arc::new(State {
            wires,
            metrics: metrics.clone(),
            counts: HttpMetrics::new(metrics),
            beats: supervisor.beats().clone(),
            started: Instant::now(),
            cache: Cache::default(),
            registry_cache: Cache::default(),
        });
        Ok(Self { supervisor, listeners, addresses, state })
    }

    /// Where it really listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub async fn run(self, stop: Stop) {
        let mut beat = self.supervisor.beats().register("http");
        let mut snapshot = self.state.wires.snapshot.clone();
        let looked = async { drop(snapshot.wait_for(|snapshot| snapshot.loaded).await) };
        let _ = beat.during(tokio::time::timeout(FIRST_LOOK, looked)).await;
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = self.listeners.into_iter().map(|listener| {
            accept_loop(listener, self.supervisor.clone(), self.state.clone(), connections.clone(), stop.clone())
        });
        let accepting = futures::future::join_all(accepting);
        tokio::pin!(accepting);
        loop {
            tokio::select! {
                _ = &mut accepting => break,
                () = beat.next() => {}
            }
        }
        let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(FAREWELL, connections.acquire_many(all)).await;
    }
}

async fn accept_loop(
    listener: std::net::TcpListener,
    supervisor: Supervisor,
    state: Arc<State>,
    connections: Arc<Semaphore>,
    mut stop: Stop,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("a listening socket cannot be used: {error}"),
    };
    loop {
        let permit = tokio::select! {
            () = stop.wait() => return,
            permit = connections.clone().acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = stop.wait() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (state, stop) = (state.clone(), stop.clone());
                supervisor.helper(async move {
                    serve(stream, state, stop).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, mostly: they come back.
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>, stop: Stop) {
    let _ = stream.set_nodelay(true);
    let timeout = u32::try_from(PEER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, timeout);
    let service = service_fn(move |request: Request<Incoming>| {
        let state = state.clone();
        async move { Ok::<_, std::convert::Infallible>(routes::answer(&state, &request)) }
    });
    serving::serve(stream, HEADER_TIMEOUT, service, stop).await;
}
