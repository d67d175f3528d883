//! The control socket: what an operator on this host asks of the agent, and nobody else. `vitald status`,
//! `vitald maintenance`, `vitald reload`, `vitald plugin` and `vitald handover` speak to it.
//!
//! Root and the agent's own user may use it; the file's mode and the kernel's word for who is there both say so. It
//! decides nothing itself: it asks `health`, `schedule`, `plugins` and `app`, and shows what they and the registry
//! publish. An agent that can have no socket goes on without one.

mod answer;
pub mod client;
pub mod deploying;
pub mod protocol;
pub mod report;
mod socket;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::model::checkset::PluginInfo;
use crate::model::name::Name;
use crate::model::registration::RegistryView;
use crate::model::requests::{MaintenanceRequest, NextRunsRequest, PluginRequest, Reload};
use crate::model::snapshot::HealthSnapshot;
use crate::supervise::{Stop, Supervisor};

use self::protocol::{Answer, MAX_REQUEST};
use self::socket::Socket;

pub use self::socket::{RUN_DIR, SocketError, run_dir};

/// A person at a terminal, scripts, and the hooks of every service of a host that shuts down, which wait for `drain`;
/// more are a mistake.
const MAX_CONNECTIONS: usize = 256;
/// For a request to come, and for an answer to be taken.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Config {
    pub agent_id: Name,
    pub state_dir: PathBuf,
    /// What it was configured from, if that is a file.
    pub main: Option<PathBuf>,
    /// Where the socket is to lie; none: in the state directory alone.
    pub run_dir: Option<PathBuf>,
    /// What registration does once keys are gone.
    pub drain: Duration,
}

/// What the socket is connected to.
pub struct Wires {
    pub snapshot: watch::Receiver<Arc<HealthSnapshot>>,
    /// None: the agent stands alone.
    pub registry: Option<watch::Receiver<Arc<RegistryView>>>,
    pub reload: watch::Receiver<Reload>,
    /// Set while the agent is stopping.
    pub stopping: watch::Receiver<bool>,
    /// To health. Full: whoever ordered waits until those before have been written down.
    pub orders: mpsc::Sender<MaintenanceRequest>,
    /// To the plugins. Full: whoever asked waits.
    pub plugin_requests: mpsc::Sender<PluginRequest>,
    pub plugins: watch::Receiver<Arc<[PluginInfo]>>,
    /// To the schedule. Full: the status does without.
    pub next_runs: mpsc::Sender<NextRunsRequest>,
    /// To app. Full: it has been asked already.
    pub hand_over: mpsc::Sender<()>,
}

/// What every connection needs.
struct State {
    config: Config,
    wires: Wires,
    /// Somebody was told that the agent hands over.
    handing_over: AtomicBool,
}

pub struct Control {
    supervisor: Supervisor,
    socket: Socket,
    state: Arc<State>,
}

impl Control {
    /// Binds, and answers nothing yet.
    pub fn build(mut config: Config, supervisor: Supervisor, wires: Wires) -> Result<Self, SocketError> {
        // Commands may have come to it by another path.
        config.state_dir = config.state_dir.canonicalize().unwrap_or(config.state_dir);
        let socket = socket::bind(config.run_dir.as_deref(), &config.agent_id, &config.state_dir)?;
        Ok(Self { supervisor, socket, state: Arc::new(State { config, wires, handing_over: AtomicBool::new(false) }) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    pub async fn run(self, mut stop: Stop) {
        let mut beat = self.supervisor.beats().register("control");
        let listener = match self.socket.listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!("the control socket cannot be used: {error}");
                return beat.during(stop.wait()).await;
            }
        };
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = beat.next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.welcome(stream, &connections, &stop),
                    // Out of file descriptors, mostly: they come back.
                    Err(error) => {
                        tracing::warn!("a connection to the control socket was not accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    fn welcome(&self, stream: UnixStream, connections: &Arc<Semaphore>, stop: &Stop) {
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            let busy = format!("{MAX_CONNECTIONS} commands are being answered already: try again");
            // A line fits into an empty socket's buffer.
            let _ = stream.try_write(&protocol::line(&Answer::Refused(busy)));
            return;
        };
        let (state, mut stop) = (self.state.clone(), stop.clone());
        self.supervisor.helper(async move {
            tokio::select! {
                () = serve(stream, &state) => {}
                () = stop.wait() => {}
            }
            drop(permit);
        });
    }
}

/// One connection: one request.
async fn serve(stream: UnixStream, state: &State) {
    let Ok(peer) = stream.peer_cred().map(|peer| peer.uid()) else { return };
    let (reader, writer) = stream.into_split();
    let mut connection = Connection { reader: BufReader::new(reader), writer };
    let own = rustix::process::geteuid().as_raw();
    if peer != 0 && peer != own {
        tracing::warn!("uid {peer} may not use the control socket");
        let who = format!("root and uid {own}");
        return connection
            .say(&Answer::Refused(format!("only {who} may use this socket, and you are uid {peer}")))
            .await;
    }
    let answer = match connection.request().await {
        Ok(Some(line)) => answer::answer(state, &line, peer, &mut connection).await,
        Ok(None) => return,
        Err(problem) => Answer::Refused(problem),
    };
    connection.say(&answer).await;
    if matches!(answer, Answer::HandingOver(_)) {
        // Not before: an agent that has nothing to stop is gone at once. Full: it has been asked already.
        let _ = state.wires.hand_over.try_send(());
        // Whoever cannot see our process takes the end of this connection for ours.
        connection.gone().await;
    }
}

/// Both ends of what a command holds.
struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    /// The line that a command sends; none if it goes without a word.
    async fn request(&mut self) -> Result<Option<Vec<u8>>, String> {
        let limit = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX);
        let mut line = Vec::new();
        let mut capped = (&mut self.reader).take(limit);
        match timeout(PEER_TIMEOUT, capped.read_until(b'\n', &mut line)).await {
            Err(_) => Err(format!("no request came within {} s", PEER_TIMEOUT.as_secs())),
            Ok(Err(error)) => Err(format!("the request could not be read: {error}")),
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(_)) if line.ends_with(b"\n") => Ok(Some(line)),
            Ok(Ok(length)) if length >= MAX_REQUEST => Err(format!("a request has at most {MAX_REQUEST} bytes")),
            Ok(Ok(_)) => Err("the request does not end with a newline".to_owned()),
        }
    }

    /// Whoever does not take what it asked for is left.
    async fn say(&mut self, answer: &Answer) {
        let line = protocol::line(answer);
        match timeout(PEER_TIMEOUT, self.writer.write_all(&line)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("a command left before its answer: {error}"),
            Err(_) => tracing::debug!("a command did not take its answer"),
        }
    }

    /// Waits until the command has gone. A command says nothing after its request.
    async fn gone(&mut self) {
        let mut byte = [0];
        let _ = self.reader.read(&mut byte).await;
    }
}

#[cfg(test)]
#[path = "control/control_tests.rs"]
mod tests;
