//! A DNS server that answers what a test wants, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

use super::ports::{bound, free_port};

/// The largest message over UDP that is not an extension (RFC 1035, 2.3.4).
const DATAGRAM: usize = 512;
const TCP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said of a name.
#[derive(Debug, Clone)]
pub enum Said {
    Addresses(Vec<IpAddr>),
    /// The same, but too long for UDP.
    OverTcp(Vec<IpAddr>),
    NoSuchName,
    ServerFailure,
    Nothing,
}

impl Said {
    /// One address, as text.
    pub fn address(text: &str) -> Self {
        Self::Addresses(vec![text.parse().expect("an address")])
    }
}

/// A name's answers, one after the other and over again: each question for IPv4 addresses takes the next.
#[derive(Debug, Default)]
struct Script {
    answers: Vec<Said>,
    asked: usize,
}

#[derive(Debug, Default)]
struct State {
    scripts: BTreeMap<String, Script>,
    ttl: u32,
    queries: Vec<String>,
}

pub struct Dns {
    port: u16,
    state: Arc<Mutex<State>>,
    running: Option<(Arc<AtomicBool>, [JoinHandle<()>; 2])>,
}

impl Dns {
    /// Starts one that knows no name; what it will say may be kept for that many seconds.
    pub fn start(ttl: u32) -> Self {
        let state = Arc::new(Mutex::new(State { ttl, ..State::default() }));
        let mut dns = Self { port: free_port(), state, running: None };
        dns.open();
        dns
    }

    /// For the agent's table `[dns]`.
    pub fn table(&self) -> String {
        format!("servers = [\"127.0.0.1:{}\"]", self.port)
    }

    /// Where it listens, by UDP and TCP: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it answers when asked for that name, from now on: one after the other, and over again.
    pub fn says(&self, name: &str, answers: impl IntoIterator<Item = Said>) {
        let script = Script { answers: answers.into_iter().collect(), asked: 0 };
        held(&self.state).scripts.insert(name.to_owned(), script);
    }

    /// All names that it was asked for, each as often as it was asked for IPv4 addresses.
    pub fn queries(&self) -> Vec<String> {
        held(&self.state).queries.clone()
    }

    fn open(&mut self) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let udp = bound(|| UdpSocket::bind(address));
        let tcp = bound(|| TcpListener::bind(address));
        let stop = Arc::new(AtomicBool::new(false));
        let of_udp = (self.state.clone(), stop.clone());
        let of_tcp = (self.state.clone(), stop.clone());
        let threads = [
            std::thread::spawn(move || serve_udp(&udp, &of_udp.0, &of_udp.1)),
            std::thread::spawn(move || serve_tcp(&tcp, &of_tcp.0, &of_tcp.1)),
        ];
        self.running = Some((stop, threads));
    }

    /// Nobody listens there any more.
    pub fn stop(&mut self) {
        let Some((stop, threads)) = self.running.take() else { return };
        stop.store(true, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let _ = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(b"", address));
        let _ = TcpStream::connect(address);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop();
    }
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve_udp(socket: &UdpSocket, state: &Mutex<State>, stop: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some(answer) = answer(&buffer[..length], state, true) {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn serve_tcp(socket: &TcpListener, state: &Mutex<State>, stop: &AtomicBool) {
    for connection in socket.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // A client that breaks off is none of ours.
        let _ = connection.and_then(|connection| converse(connection, state));
    }
}

/// Each message has its length before it (RFC 1035, 4.2.2).
fn converse(mut connection: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    connection.set_read_timeout(Some(TCP_TIMEOUT))?;
    let mut length = [0; 2];
    connection.read_exact(&mut length)?;
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    connection.read_exact(&mut question)?;
    if let Some(answer) = answer(&question, state, false) {
        let length = u16::try_from(answer.len()).expect("a message fits");
        connection.write_all(&length.to_be_bytes())?;
        connection.write_all(&answer)?;
    }
    Ok(())
}

/// The answer to a message; none where nothing is to be said.
fn answer(question: &[u8], state: &Mutex<State>, over_udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let (said, ttl) = held(state).next(&query);
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    match said {
        Said::Nothing => return None,
        Said::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
        Said::ServerFailure => answer.metadata.response_code = ResponseCode::ServFail,
        Said::OverTcp(_) if over_udp => answer.metadata.truncation = true,
        Said::Addresses(addresses) | Said::OverTcp(addresses) => {
            let records = addresses.into_iter().filter_map(|address| record(&query, ttl, address));
            answer.add_answers(records.collect::<Vec<_>>());
        }
    }
    let bytes = answer.to_vec().expect("a message");
    assert!(!over_udp || bytes.len() <= DATAGRAM, "that is an answer to be given over TCP");
    Some(bytes)
}

impl State {
    fn next(&mut self, query: &Query) -> (Said, u32) {
        let name = query.name().to_utf8().trim_end_matches('.').to_ascii_lowercase();
        let of_four = query.query_type() == RecordType::A;
        if of_four {
            self.queries.push(name.clone());
        }
        let Some(script) = self.scripts.get_mut(&name) else { return (Said::NoSuchName, self.ttl) };
        if of_four {
            script.asked += 1;
        }
        let turn = script.asked.saturating_sub(1) % script.answers.len();
        (script.answers[turn].clone(), self.ttl)
    }
}

/// The record of an address, where it is of the kind that was asked for.
fn record(query: &Query, ttl: u32, address: IpAddr) -> Option<Record> {
    let data = match (query.query_type(), address) {
        (RecordType::A, IpAddr::V4(address)) => RData::from(address),
        (RecordType::AAAA, IpAddr::V6(address)) => RData::from(address),
        _ => return None,
    };
    Some(Record::from_rdata(query.name().clone(), ttl, data))
}
