//! What a run costs in CPU, side by side in one process: `cargo bench -p vitald`.
//!
//! A noop checker and the bundled `tcp` checker go through the product's own path (a fresh store with every cap,
//! grants, deadline, a task of its own on the guest runtime); beside them a plain tokio connect and a fork + exec of
//! `/bin/true`. CPU is the process's CPU clock over blocks of runs, the candidates in turns, the median of all blocks.
//! Whatever accepts the connections is another process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on may panic"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vitald::clock;
use vitald::model::check::{Check, CheckDef, Judges, OnFault, Policy, Severity};
use vitald::model::checkset::{Binding, Compiler};
use vitald::model::grant::{Grants, Host, NetGrant};
use vitald::model::name::Name;
use vitald::model::outcome::{Ending, Status};
use vitald::model::secret::Masker;
use vitald::model::target::{Endpoint, Target};
use vitald::sandbox::{Config, Sandbox};
use vitald::supervise::{Supervisor, stop_pair};
use vitald::telemetry::Metrics;

const BLOCKS: usize = 20;
const RUNS: u32 = 1_000;
/// A full accept queue costs a second until the next try; that is not what is measured.
const TIMEOUT: Duration = Duration::from_secs(10);
const PROCESSES: u32 = 50;
/// Tells the child that it is to accept.
const ACCEPT: &str = "VITALD_BENCH_ACCEPT";

fn main() {
    if std::env::var_os(ACCEPT).is_some() {
        return accept();
    }
    let (mut acceptor, address) = start_acceptor();
    let guest = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .event_interval(4)
        .global_queue_interval(1)
        .enable_all()
        .build()
        .unwrap();
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (supervisor, _deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
    let config = Config { agent_id: name("bench"), concurrency: 256, memory: 512 << 20, workers: 1 };
    let host = watch::channel(Arc::default()).1;
    let sandbox = Sandbox::build(&config, supervisor.clone(), host, &Metrics::default()).unwrap();
    let (_stopper, stop) = stop_pair();
    supervisor.spawn_guest_loop("pulse", &stop, sandbox.pulse(stop.clone()));

    let noop = control.block_on(load(&sandbox, "noop", &wasm("examples/noop.wasm"), None));
    let tcp = control.block_on(load(&sandbox, "tcp", &wasm("vitald_plugin_tcp.wasm"), Some(address)));
    let mut samples: [Vec<f64>; 4] = Default::default();
    for block in 0..=BLOCKS {
        let taken = [
            cpu_per(RUNS, || guest.block_on(supervisor.run_guest(runs(supervisor.clone(), noop.clone()))).unwrap()),
            cpu_per(RUNS, || guest.block_on(supervisor.run_guest(runs(supervisor.clone(), tcp.clone()))).unwrap()),
            cpu_per(RUNS, || guest.block_on(supervisor.run_guest(connects(supervisor.clone(), address))).unwrap()),
            processes(),
        ];
        // The first block warms up.
        if block > 0 {
            samples.iter_mut().zip(taken).for_each(|(all, one)| all.push(one));
        }
    }
    let [noop, tcp, connect, process] = samples.map(median);
    println!("CPU per run, median of {BLOCKS} blocks of {RUNS}:");
    println!("  noop checker          {noop:7.1} us   {:.0} times cheaper than fork + exec", process / noop);
    println!("  tcp checker           {tcp:7.1} us   {:.2} times a tokio connect", tcp / connect);
    println!("  tokio connect + close {connect:7.1} us");
    println!("  fork + exec /bin/true {process:7.1} us");
    let _ = acceptor.kill();
    let _ = acceptor.wait();
}

async fn runs(supervisor: Supervisor, check: Arc<dyn Check>) {
    for _ in 0..RUNS {
        let report = supervisor.run_guest(check.clone().run(None)).await.unwrap();
        match report.ending {
            Ending::Judged(outcome) => assert_eq!(outcome.status, Status::Up, "{}", outcome.message),
            other => panic!("{other:?}"),
        }
    }
}

async fn connects(supervisor: Supervisor, address: SocketAddr) {
    for _ in 0..RUNS {
        let connect = tokio::time::timeout(TIMEOUT, tokio::net::TcpStream::connect(address));
        supervisor.run_guest(connect).await.unwrap().unwrap().unwrap();
    }
}

/// CPU in microseconds.
fn cpu_per(count: u32, work: impl FnOnce()) -> f64 {
    let before = clock::process_cpu();
    work();
    (clock::process_cpu() - before).as_secs_f64() * 1e6 / f64::from(count)
}

/// CPU of children is counted by the kernel in ticks of 10 ms: over many of them it is exact enough. Wall time is close
/// to it, for nothing waits.
fn processes() -> f64 {
    let begun = Instant::now();
    for _ in 0..PROCESSES {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(PROCESSES)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Components lie in the target folder, where the build scripts put them.
fn wasm(file: &str) -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let path = target.join("wasm/wasm32-wasip2/plugin").join(file);
    assert!(path.exists(), "there is no {}: run cargo build --release --workspace first", path.display());
    path
}

async fn load(sandbox: &Sandbox, plugin: &str, path: &Path, target: Option<SocketAddr>) -> Arc<dyn Check> {
    let bytes: Arc<[u8]> = std::fs::read(path).unwrap().into();
    let checker = sandbox.load(name(plugin), "digest".into(), bytes).await.unwrap();
    let mut grants = Grants::default();
    let mut endpoints = Vec::new();
    if let Some(address) = target {
        let host = Host::Address(address.ip());
        grants.add(NetGrant::endpoint(&host, address.port()));
        endpoints.push(Endpoint { host, port: address.port() });
    }
    let definition = Arc::new(CheckDef {
        name: name(plugin),
        checker: name(plugin),
        target: target.map(|address| Target::parse(&format!("tcp://{address}")).unwrap()),
        judges: Judges::Host,
        severity: Severity::Critical,
        policy: Policy {
            interval: Duration::from_secs(10),
            timeout: TIMEOUT,
            fall: 3,
            rise: 2,
            retry_interval: Duration::from_secs(2),
            stale_after: Duration::from_secs(31),
            on_fault: OnFault::Keep,
        },
        allow: Vec::new(),
        params: serde_json::Map::new(),
        memory: None,
        masker: Masker::default(),
        problem: None,
        origin: "bench".into(),
    });
    checker.bind(Binding { definition, services: Vec::new(), endpoints, grants })
}

fn start_acceptor() -> (Child, SocketAddr) {
    let mut child =
        Command::new(std::env::current_exe().unwrap()).env(ACCEPT, "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

fn accept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    for stream in listener.incoming() {
        drop(stream);
    }
}
