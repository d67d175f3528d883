//! Whom the candidates talk to: a process that accepts connections, and a Redis with and without TLS.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// Tells the child that it is to accept.
const ACCEPT: &str = "VITALD_BENCH_ACCEPT";

pub struct Peers {
    pub address: SocketAddr,
    pub redis: SocketAddr,
    pub tls: SocketAddr,
    pub ca_file: PathBuf,
    children: [Child; 2],
    _dir: TempDir,
}

impl Drop for Peers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Peers {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        let (acceptor, address) = start_acceptor();
        let [redis, tls] = [free(), free()];
        let server = start_redis(dir.path(), redis, tls);
        let ca_file = dir.path().join("ca.pem");
        Self { address, redis, tls, ca_file, children: [acceptor, server], _dir: dir }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", own.pem()), ("key.pem", key.serialize_pem())] {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

fn start_redis(dir: &Path, plain: SocketAddr, tls: SocketAddr) -> Child {
    let file = |name: &str| dir.join(name).display().to_string();
    let child = Command::new("redis-server")
        .args(["--port", &plain.port().to_string(), "--tls-port", &tls.port().to_string()])
        .args(["--tls-cert-file", &file("cert.pem"), "--tls-key-file", &file("key.pem")])
        .args(["--tls-ca-cert-file", &file("ca.pem"), "--tls-auth-clients", "no"])
        .args(["--bind", "127.0.0.1", "--save", "", "--dir", &dir.display().to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("the benchmark needs redis-server: apt-get install redis-server");
    for address in [plain, tls] {
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    child
}

pub fn is_acceptor() -> bool {
    std::env::var_os(ACCEPT).is_some()
}

pub fn accept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    // As servers do, it leaves it to the client to close first.
    for stream in listener.incoming() {
        let _ = stream.unwrap().read(&mut [0]);
    }
}

fn start_acceptor() -> (Child, SocketAddr) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program).env(ACCEPT, "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}
