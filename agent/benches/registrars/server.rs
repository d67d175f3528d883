//! One real etcd, and what it says of itself: its own counters, and what the kernel knows of its process.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::until;

/// In memory: what a disk takes to sync would be measured else, and every disk takes another time.
const MEMORY: &str = "/dev/shm";
const START: Duration = Duration::from_secs(60);
/// More than an etcd under load may take to answer one request.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Etcd {
    address: SocketAddr,
    peer: SocketAddr,
    dir: TempDir,
    /// Counts the data directories.
    lives: u32,
    server: Option<Child>,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Etcd {
    pub fn start() -> Self {
        let builder = |dir: &Path| tempfile::Builder::new().prefix("vitald-registrars-").tempdir_in(dir);
        let dir = builder(Path::new(MEMORY)).or_else(|_| builder(&std::env::temp_dir())).unwrap();
        let mut etcd = Self { address: free(), peer: free(), dir, lives: 0, server: None };
        etcd.start_empty();
        etcd
    }

    /// Where everything of this run is kept.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts with nothing in it, on the ports of before; returns when it first answered as a whole.
    pub fn start_empty(&mut self) -> Instant {
        self.kill();
        self.lives += 1;
        let (client, peer) = (self.url(), format!("http://{}", self.peer));
        let log = std::fs::File::create(self.dir().join(format!("log-{}", self.lives))).unwrap();
        let mut command = Command::new("etcd");
        command.args(["--name", "load", "--logger", "zap", "--log-level", "error"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("load={peer}")]);
        command.args(["--initial-cluster-token", &format!("load-{}", self.lives)]).arg("--data-dir").arg(self.data());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = command.spawn().expect("the benchmark needs etcd: apt-get install etcd-server");
        self.server = Some(server);
        // etcd says that it is well once a read through its leader was answered.
        until("etcd answers", START, || self.get("/health").is_ok_and(|body| body.contains("\"true\"")));
        Instant::now()
    }

    fn data(&self) -> PathBuf {
        self.dir().join(format!("data-{}", self.lives))
    }

    fn pid(&self) -> u32 {
        self.server.as_ref().map_or(0, Child::id)
    }

    /// CPU that it has used since it was started, in ticks of 10 ms: proc(5), utime and stime.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory now, and the most there was since [`Self::forget_peak`], in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        (bytes("VmRSS"), bytes("VmHWM"))
    }

    pub fn forget_peak(&self) {
        // proc(5): 5 sets the peak to what is resident now.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }

    /// Its counters by series.
    pub fn counters(&self) -> Counters {
        let text = self.get("/metrics").unwrap();
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Counters(series.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

/// Below the ports that the kernel gives to outgoing connections (32768 and up): an etcd that is started again finds
/// its port as it left it, whatever thousands of clients do meanwhile.
fn free() -> SocketAddr {
    let from = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let mut ports = (from..32_000).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    ports.find_map(|address| TcpListener::bind(address).ok()?.local_addr().ok().filter(|_| is_fresh(address))).unwrap()
}

/// Each port is given out once.
fn is_fresh(address: SocketAddr) -> bool {
    static GIVEN: std::sync::Mutex<Vec<SocketAddr>> = std::sync::Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    let fresh = !given.contains(&address);
    if fresh {
        given.push(address);
    }
    fresh
}

/// What an etcd has counted since it was started.
#[derive(Debug, Clone, Default)]
pub struct Counters(BTreeMap<String, f64>);

impl Counters {
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Messages that each gRPC method was sent.
    pub fn requests(&self) -> BTreeMap<String, f64> {
        const NAME: &str = "grpc_server_msg_received_total{grpc_method=\"";
        let method = |series: &str| series.strip_prefix(NAME)?.split('"').next().map(str::to_owned);
        self.0.iter().filter_map(|(series, count)| Some((method(series)?, *count))).collect()
    }
}
