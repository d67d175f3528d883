//! What a run costs, side by side in one process: `cargo bench -p vitald`.
//!
//! Checkers go through the product's own path (a fresh store with every cap, grants, deadline, a task of its own on the
//! guest runtime); beside each stands its native twin, which does the same with the same peer. CPU is the process's CPU
//! clock over blocks of runs, wall time is that of one run after the other; the candidates take turns, and the median
//! of all blocks is shown. The peers are other processes. `cargo bench -p vitald --bench runs -- tcp` runs the pairs with
//! that word in a name.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on may panic"
)]

mod checks;
mod native;
mod peers;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use vitald::clock;
use vitald::model::check::Check;
use vitald::model::outcome::{Ending, Status};
use vitald::supervise::Supervisor;

use self::checks::Bench;
use self::peers::Peers;

const BLOCKS: usize = 20;
const RUNS: u32 = 1_000;
/// Handshakes cost more.
const TLS_RUNS: u32 = 200;
const PROCESSES: u32 = 50;
/// A full accept queue costs a second until the next try; that is not what is measured.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Microseconds of one run.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
}

/// Something that is measured: it does so many runs.
struct Candidate<'a> {
    name: &'static str,
    runs: u32,
    work: Box<dyn Fn(u32) + 'a>,
    costs: Vec<Cost>,
}

fn main() {
    if peers::is_acceptor() {
        return peers::accept();
    }
    let peers = Peers::start();
    let guest = Builder::new_multi_thread()
        .worker_threads(1)
        .event_interval(4)
        .global_queue_interval(1)
        .enable_all()
        .build()
        .unwrap();
    let control = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (supervisor, _deaths) = Supervisor::new(control.handle().clone(), guest.handle().clone());
    let bench = Bench::new(&supervisor);

    let check = |name, runs, check: Arc<dyn Check>| {
        let (guest, supervisor) = (&guest, supervisor.clone());
        Candidate::new(name, runs, move |count| checked(guest, &supervisor, &check, count))
    };
    let (address, redis, tls) = (peers.address, peers.redis, peers.tls);
    let roots = native::roots(&peers.ca_file);
    let plain = control.block_on(bench.load("tcp", "vitald_plugin_tcp.wasm", &format!("tcp://{address}"), None));
    let ping = control.block_on(bench.load("redis", "vitald_plugin_redis.wasm", &format!("redis://{redis}"), None));
    let secure = format!("rediss://{tls}");
    let secure = control.block_on(bench.load("redis", "vitald_plugin_redis.wasm", &secure, Some(&peers.ca_file)));
    let mut all = [
        check("noop checker", RUNS, control.block_on(bench.load("noop", "examples/noop.wasm", "", None))),
        Candidate::new("fork + exec /bin/true", PROCESSES, processes),
        check("tcp checker", RUNS, plain),
        Candidate::new("tokio connect + close", RUNS, |count| connects(&guest, &supervisor, address, count)),
        check("redis checker, PING", RUNS, ping),
        Candidate::new("redis crate, PING", RUNS, |count| native::pings(redis, count)),
        check("redis checker over TLS", TLS_RUNS, secure),
        Candidate::new("redis crate over rustls", TLS_RUNS, |count| native::secure_pings(tls, &roots, count)),
    ];
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut pairs: Vec<&mut [Candidate<'_>]> = all.chunks_mut(2).collect();
    pairs.retain(|pair| pair.iter().any(|candidate| candidate.name.contains(&word)));
    for _ in 0..=BLOCKS {
        pairs.iter_mut().flat_map(|pair| pair.iter_mut()).for_each(Candidate::measure);
    }
    println!("microseconds of one run, median of {BLOCKS} blocks; each checker above its native twin:");
    println!("{:26}{:>10}{:>10}{:>14}{:>14}", "", "CPU", "wall", "CPU ratio", "wall ratio");
    for pair in pairs {
        let [ours, twin] = [pair[0].median(), pair[1].median()];
        let (cpu, wall) = (ours.cpu / twin.cpu, ours.wall / twin.wall);
        println!("{:26}{:10.1}{:10.1}{cpu:14.2}{wall:14.2}", pair[0].name, ours.cpu, ours.wall);
        println!("{:26}{:10.1}{:10.1}", pair[1].name, twin.cpu, twin.wall);
    }
}

impl<'a> Candidate<'a> {
    fn new(name: &'static str, runs: u32, work: impl Fn(u32) + 'a) -> Self {
        Self { name, runs, work: Box::new(work), costs: Vec::new() }
    }

    fn measure(&mut self) {
        let (cpu, wall) = (cpu(), Instant::now());
        (self.work)(self.runs);
        let per_run = |length: Duration| length.as_secs_f64() * 1e6 / f64::from(self.runs);
        let cost = Cost { cpu: per_run(self::cpu() - cpu), wall: per_run(wall.elapsed()) };
        self.costs.push(cost);
    }

    /// The first block only warms up.
    fn median(&self) -> Cost {
        let of = |value: fn(&Cost) -> f64| {
            let mut values: Vec<f64> = self.costs[1..].iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Cost { cpu: of(|cost| cost.cpu), wall: of(|cost| cost.wall) }
    }
}

/// Of this process, and of its children that ended.
fn cpu() -> Duration {
    let children = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = children.rsplit(')').next().unwrap().split_whitespace().collect();
    // proc(5): cutime and cstime, in ticks of 10 ms.
    let ticks: u64 = fields[13..=14].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    clock::process_cpu() + Duration::from_millis(ticks * 10)
}

fn checked(guest: &Runtime, supervisor: &Supervisor, check: &Arc<dyn Check>, count: u32) {
    let (own, check) = (supervisor.clone(), check.clone());
    let runs = async move {
        for _ in 0..count {
            let report = own.run_guest(check.clone().run(None)).await.unwrap();
            match report.ending {
                Ending::Judged(outcome) => assert_eq!(outcome.status, Status::Up, "{}", outcome.message),
                other => panic!("{other:?}"),
            }
        }
    };
    guest.block_on(supervisor.run_guest(runs)).unwrap();
}

fn connects(guest: &Runtime, supervisor: &Supervisor, address: std::net::SocketAddr, count: u32) {
    let own = supervisor.clone();
    let connects = async move {
        for _ in 0..count {
            let connect = tokio::time::timeout(TIMEOUT, tokio::net::TcpStream::connect(address));
            own.run_guest(connect).await.unwrap().unwrap().unwrap();
        }
    };
    guest.block_on(supervisor.run_guest(connects)).unwrap();
}

fn processes(count: u32) {
    for _ in 0..count {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
}
