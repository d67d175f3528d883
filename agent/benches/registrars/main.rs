//! What many hosts cost one etcd: `cargo bench -p vitald --bench registrars`, with `-- 100 1000` only these numbers of
//! hosts, with `-- --ttl=60` another TTL than 15 s.
//!
//! Every host is the agent's own registry, alone: its connection, its lease, its watches, its state. All of them share
//! this process and two cores with etcd and with a consumer that watches the prefix, so the times of scenes in which
//! everybody moves at once are worse than those of a real fleet. etcd's data are in memory where there is `/dev/shm`.
//! It ends with an error if a key is wrong, or if anybody took a well instance away while the machine was not full.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on may panic"
)]

mod figures;
mod fleet;
mod scenes;
mod server;
mod table;
mod watcher;

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vitald::telemetry::{self, LogFormat};

const COUNTS: [usize; 3] = [100, 1_000, 5_000];
const TTL: u64 = 15;
/// More fill the two cores that they share with etcd, and whoever is not heard loses its lease: the table says how
/// many.
const HELD: usize = 1_000;
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    // Losing etcd is part of the play; RUST_LOG shows what is said of it.
    telemetry::init_logs(LogFormat::Text, "error");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ttl = arguments.iter().find_map(|argument| argument.strip_prefix("--ttl=")?.parse().ok()).unwrap_or(TTL);
    let mut counts: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if counts.is_empty() {
        counts.extend(COUNTS);
    }
    let files = raise_files();
    println!("{}; {} cores; at most {files} open files", etcd_version(), cores());
    for count in counts {
        let played = scenes::play(count, Duration::from_secs(ttl));
        table::print(count, Duration::from_secs(ttl), &played);
        let taken: usize = played.scenes.iter().map(|scene| scene.figures.deleted).sum();
        assert!(taken == 0 || count > HELD, "{taken} well instances were deleted");
    }
}

/// Every registrar has a connection, and etcd the other end of it: as many files as may be.
fn raise_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn etcd_version() -> String {
    let answer = Command::new("etcd").arg("--version").output().expect("apt-get install etcd-server");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    text.lines().next().unwrap_or_default().to_lowercase()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Waits for a condition; what takes too long is a failure.
fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "after {limit:?} still not: {what}");
        std::thread::sleep(LOOK);
    }
}
