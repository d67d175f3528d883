//! A server that follows a script, on a real loopback port.
//!
//! It says what was not as the script has it when it is finished or dropped, in a panic of the test that shows both. It
//! speaks TCP without TLS.

use std::collections::VecDeque;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a peer waits for what it expects. Longer than any run of a test.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum Step {
    Expect(Vec<u8>),
    Answer(Vec<u8>),
    Delay(Duration),
    Close,
    Reset,
}

/// What a peer does with its connections, step by step.
///
/// When the steps of a connection are done and none of them closed it, it stays open and silent until the checker closes
/// it; what the checker still says then is against the script.
#[derive(Debug, Clone, Default)]
#[must_use = "a script does nothing before `start`"]
pub struct Script {
    /// Of the connections that come before.
    earlier: VecDeque<Vec<Step>>,
    steps: Vec<Step>,
}

impl Script {
    /// Waits for exactly these bytes.
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Expect(bytes.as_ref().to_vec()))
    }

    /// Sends these bytes.
    pub fn answer(self, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Answer(bytes.as_ref().to_vec()))
    }

    /// Does nothing for a while.
    pub fn delay(self, length: Duration) -> Self {
        self.step(Step::Delay(length))
    }

    /// Closes the connection in order.
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    /// Breaks the connection: the checker's next read fails with "connection reset".
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// What follows is for the next connection, and the last one's steps for all after it.
    pub fn next_connection(mut self) -> Self {
        self.earlier.push_back(std::mem::take(&mut self.steps));
        self
    }

    /// Opens a free port on 127.0.0.1 and follows the script there.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn start(self) -> Peer {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => Peer::listening(address, listener, self),
            Err(error) => disagree(&format!("no port on 127.0.0.1 for a peer: {error}")),
        }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn next(&mut self) -> Vec<Step> {
        self.earlier.pop_front().unwrap_or_else(|| self.steps.clone())
    }
}

/// A running server. It ends when it is dropped.
#[must_use = "a peer that is dropped is gone"]
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stopping: Condvar,
}

#[derive(Default)]
struct State {
    /// Where the connection comes from that wakes the accepting thread to end. What came before it is still served.
    waking: Option<SocketAddr>,
    connections: usize,
    /// No thread of its connections is left.
    over: bool,
    open: Vec<(usize, TcpStream)>,
    complaints: Vec<String>,
}

impl Peer {
    /// The beginning of a script.
    pub fn script() -> Script {
        Script::default()
    }

    fn listening(address: SocketAddr, listener: TcpListener, script: Script) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let accepting = std::thread::spawn(move || {
            accept(&listener, script, &of_thread);
            of_thread.over();
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It as a target: `redis://127.0.0.1:PORT` for `redis`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Ends it, and says what was not as in the script. Dropping it does the same, unless the test has failed already.
    ///
    /// # Panics
    /// If something was not: what came, and what was expected.
    #[track_caller]
    pub fn finish(mut self) {
        let complaints = self.stop();
        if !complaints.is_empty() {
            disagree(&complaints.join("\n"));
        }
    }

    fn stop(&mut self) -> Vec<String> {
        let Some(accepting) = self.accepting.take() else { return Vec::new() };
        let waking = self.shared.stop(self.address);
        let ended = self.shared.wait_until(PATIENCE, |state| state.over);
        drop(waking);
        if ended {
            let _ = accepting.join();
        }
        let mut state = self.shared.state();
        if !ended {
            // It keeps its port, but the test goes on.
            state.complaints.push(format!("the peer {} did not end within {PATIENCE:?}", self.address));
        }
        if state.connections == 0 {
            state.complaints.push(format!("nobody connected to the peer {}", self.address));
        }
        std::mem::take(&mut state.complaints)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let complaints = self.stop();
        if !complaints.is_empty() && !std::thread::panicking() {
            disagree(&complaints.join("\n"));
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish_non_exhaustive()
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "it is an assertion of a test")]
fn disagree(why: &str) -> ! {
    panic!("{why}")
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends delays, and connections that are still open: what the checker has sent is there by now.
    fn stop(&self, address: SocketAddr) -> Option<TcpStream> {
        let mut state = self.state();
        let waking = TcpStream::connect(address).ok();
        state.waking = waking.as_ref().and_then(|waking| waking.local_addr().ok());
        for (_, connection) in &state.open {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.stopping.notify_all();
        waking
    }

    /// Numbers a connection; none for the one that says that it is over.
    fn accepted(&self, connection: &TcpStream) -> Option<usize> {
        let mut state = self.state();
        if state.waking.is_some() && state.waking == connection.peer_addr().ok() {
            return None;
        }
        if state.waking.is_some() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        state.connections += 1;
        let number = state.connections;
        state.open.extend(connection.try_clone().map(|connection| (number, connection)));
        Some(number)
    }

    fn over(&self) {
        self.state().over = true;
        self.stopping.notify_all();
    }

    /// False where the peer was stopped meanwhile.
    fn delay(&self, length: Duration) -> bool {
        !self.wait_until(length, |state| state.waking.is_some())
    }

    /// False where it was not so in time.
    fn wait_until(&self, limit: Duration, reached: impl Fn(&State) -> bool) -> bool {
        let waited = self.stopping.wait_timeout_while(self.state(), limit, |state| !reached(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        reached(&state)
    }

    fn complain(&self, complaint: String) {
        self.state().complaints.push(complaint);
    }
}

fn accept(listener: &TcpListener, mut script: Script, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for connection in listener.incoming().flatten() {
        let Some(number) = shared.accepted(&connection) else { break };
        let (steps, shared) = (script.next(), shared.clone());
        threads.push(std::thread::spawn(move || Conversation { connection, number, shared }.follow(&steps)));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// One connection.
struct Conversation {
    connection: TcpStream,
    number: usize,
    shared: Arc<Shared>,
}

impl Conversation {
    fn follow(mut self, steps: &[Step]) {
        let _ = self.connection.set_read_timeout(Some(PATIENCE));
        let _ = self.connection.set_write_timeout(Some(PATIENCE));
        let _ = self.connection.set_nodelay(true);
        for step in steps {
            let goes_on = match step {
                Step::Expect(bytes) => self.expect(bytes),
                // A checker that does not wait for its answer is none of the script's.
                Step::Answer(bytes) => self.connection.write_all(bytes).is_ok(),
                Step::Delay(length) => self.shared.delay(*length),
                Step::Close => {
                    let _ = self.connection.shutdown(Shutdown::Both);
                    false
                }
                Step::Reset => return self.reset(),
            };
            if !goes_on {
                return;
            }
        }
        self.nothing_more();
    }

    /// Byte by byte as they come, so that it complains at once and not when its patience is over.
    fn expect(&mut self, expected: &[u8]) -> bool {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let mut chunk = vec![0; expected.len() - got.len()];
            let count = self.connection.read(&mut chunk).unwrap_or_default();
            got.extend(chunk.iter().take(count));
            if count == 0 || !expected.starts_with(&got) {
                let how = if count == 0 { " and the end" } else { "" };
                self.complain(&format!("expected {}\n       got {}{how}", shown(expected), shown(&got)));
                let _ = self.connection.shutdown(Shutdown::Both);
                return false;
            }
        }
        true
    }

    fn nothing_more(&mut self) {
        let mut more = [0; 256];
        if let Ok(count @ 1..) = self.connection.read(&mut more) {
            let got = shown(more.get(..count).unwrap_or_default());
            self.complain(&format!("expected nothing more\n       got {got}"));
            let _ = self.connection.shutdown(Shutdown::Both);
        }
    }

    /// What is closed with a linger of zero is reset.
    fn reset(self) {
        self.shared.state().open.retain(|(number, _)| *number != self.number);
        let _ = rustix::net::sockopt::set_socket_linger(&self.connection, Some(Duration::ZERO));
    }

    fn complain(&self, complaint: &str) {
        self.shared.complain(format!("connection {} of the peer: {complaint}", self.number));
    }
}

/// As text, escaped, as in a script.
fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
