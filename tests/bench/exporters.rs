//! The agent beside node_exporter, both on this machine: what a scrape costs, what a minute costs, how much memory.
//!
//! A long test: `tests/run --long`, or `tests/run e2e --ignored long_beside`. CPU is what the kernel's scheduler counted
//! for the threads of each, in nanoseconds. Scrapes come over one connection, as Prometheus has it, in blocks that take
//! turns; the median of the blocks is shown. The agent answers what it rendered less than 100 ms ago, so scrapes are
//! counted back to back and, for what a scrape costs that renders, further apart; what the process uses in the same time
//! without being scraped is taken off. The agents of these blocks sample once an hour: what sampling costs is in the
//! minutes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{
    Agent, Listener, Manner, Metrics, NodeExporter, Site, alone, check, eventually, that, throughout,
};

const BLOCKS: usize = 20;
/// Back to back.
const SCRAPES: u32 = 200;
/// Far enough apart that each is rendered.
const APART: Duration = Duration::from_millis(120);
const SCRAPES_APART: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// As Prometheus is mostly told to.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(60);
const CHECKS: usize = 10;

/// Microseconds of one scrape.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
}

struct Candidate {
    name: &'static str,
    pid: u32,
    address: String,
    path: &'static str,
}

impl Candidate {
    fn of(name: &'static str, pid: u32, url: &str) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { name, pid, address, path: "/metrics" }
    }

    fn scraper(&self, zipped: bool) -> Scraper {
        let encoding = if zipped { "Accept-Encoding: gzip\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{encoding}\r\n", self.path, self.address);
        Scraper { stream: connect(&self.address), address: self.address.clone(), request }
    }

    /// Nanoseconds of each thread. What threads that ended have used is lost.
    fn cpu(&self) -> BTreeMap<String, u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the process lives");
        let used = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            let spent = text.split(' ').next()?.parse().ok()?;
            Some((task.file_name().to_string_lossy().into_owned(), spent))
        };
        tasks.flatten().filter_map(used).collect()
    }

    /// Microseconds since then.
    fn cpu_since(&self, before: &BTreeMap<String, u64>) -> f64 {
        let grown = |(task, now): (&String, &u64)| now.saturating_sub(before.get(task).copied().unwrap_or(0));
        self.cpu().iter().map(grown).sum::<u64>() as f64 / 1e3
    }

    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a number");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// A connection that is kept, for as long as the other side keeps it.
struct Scraper {
    stream: BufReader<TcpStream>,
    address: String,
    request: String,
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    BufReader::with_capacity(1 << 16, stream)
}

impl Scraper {
    /// The body, as it comes.
    fn scrape(&mut self) -> Vec<u8> {
        let mut status = self.ask();
        if status.is_empty() {
            self.stream = connect(&self.address);
            status = self.ask();
        }
        assert_eq!(status, "HTTP/1.1 200 OK");
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("transfer-encoding", _)) => chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if !chunked {
            self.take(length, &mut body);
            return body;
        }
        loop {
            let length = usize::from_str_radix(&self.line(), 16).expect("a chunk");
            self.take(length, &mut body);
            self.line();
            if length == 0 {
                return body;
            }
        }
    }

    /// Sends the request; the answer's first line, nothing where the connection is closed.
    fn ask(&mut self) -> String {
        match self.stream.get_mut().write_all(self.request.as_bytes()) {
            Ok(()) => self.line(),
            Err(_) => String::new(),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) {
        let begun = body.len();
        body.resize(begun + length, 0);
        self.stream.read_exact(&mut body[begun..]).expect("a whole answer");
    }
}

/// How a block is scraped.
#[derive(Debug, Clone, Copy)]
struct Pace {
    zipped: bool,
    scrapes: u32,
    apart: Duration,
}

/// One block of scrapes.
fn block(candidate: &Candidate, scraper: &mut Scraper, pace: Pace) -> Cost {
    let before = candidate.cpu();
    let mut wall = Duration::ZERO;
    for _ in 0..pace.scrapes {
        let begun = Instant::now();
        scraper.scrape();
        wall += begun.elapsed();
        throughout("time passes", pace.apart, || Ok(()));
    }
    let (scraped, before) = (candidate.cpu_since(&before), candidate.cpu());
    throughout("time passes", pace.apart * pace.scrapes, || Ok(()));
    let count = f64::from(pace.scrapes);
    Cost { cpu: (scraped - candidate.cpu_since(&before)) / count, wall: wall.as_secs_f64() * 1e6 / count }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The medians of blocks in turns, by candidate.
fn in_turns(candidates: &[Candidate], pace: Pace) -> Vec<Cost> {
    let mut scrapers: Vec<Scraper> = candidates.iter().map(|candidate| candidate.scraper(pace.zipped)).collect();
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); candidates.len()];
    for _ in 0..BLOCKS {
        for ((candidate, scraper), costs) in candidates.iter().zip(&mut scrapers).zip(&mut costs) {
            costs.push(block(candidate, scraper, pace));
        }
    }
    let of = |costs: &Vec<Cost>, value: fn(&Cost) -> f64| median(costs.iter().map(value).collect());
    costs.iter().map(|costs| Cost { cpu: of(costs, |cost| cost.cpu), wall: of(costs, |cost| cost.wall) }).collect()
}

/// A table of microseconds; the last candidate is what the others are compared with.
fn show_costs(what: &str, candidates: &[Candidate], costs: &[Cost]) {
    let reference = costs.last().expect("candidates");
    for (candidate, cost) in candidates.iter().zip(costs) {
        println!(
            "BENCH | {what} | {} | CPU {:.1} us (1/{:.1}) | time {:.1} us (1/{:.1})",
            candidate.name,
            cost.cpu,
            reference.cpu / cost.cpu,
            cost.wall,
            reference.wall / cost.wall
        );
    }
}

/// Milliseconds of CPU of a minute, by candidate; scraped this often, or never.
fn minute(candidates: &[Candidate], scraped: Option<bool>) -> Vec<f64> {
    let mut scrapers: Vec<Scraper> =
        scraped.iter().flat_map(|zipped| candidates.iter().map(|candidate| candidate.scraper(*zipped))).collect();
    let before: Vec<_> = candidates.iter().map(Candidate::cpu).collect();
    let begun = Instant::now();
    while begun.elapsed() < MINUTE {
        for scraper in &mut scrapers {
            scraper.scrape();
        }
        throughout("time passes", SCRAPE_INTERVAL, || Ok(()));
    }
    candidates.iter().zip(&before).map(|(candidate, before)| candidate.cpu_since(before) / 1e3).collect()
}

fn show_minute(what: &str, candidates: &[Candidate], spent: &[f64]) {
    let reference = spent.last().expect("candidates");
    for (candidate, spent) in candidates.iter().zip(spent) {
        let times = spent / reference;
        println!("BENCH | a minute {what} | {} | CPU {spent:.1} ms ({times:.2} times)", candidate.name);
    }
}

/// An agent with so many checks, which has sampled and is well.
fn agent(interval: &str, checks: usize, listener: &Listener) -> (Site, Agent) {
    let site = Site::new().with("host", &format!("interval = {interval:?}")).with_defaults("interval = \"10s\"");
    site.drop_in("checks", (0..checks).map(|n| check(&format!("check-{n}"), "tcp").target(&listener.url())));
    let agent = site.start();
    agent.until_health(200);
    eventually("the host is sampled", SOON, || {
        let metrics = agent.metrics();
        that(metrics.get("node_boot_time_seconds", &[]).is_some(), || "no sample".to_owned())
    });
    (site, agent)
}

fn series(text: &[u8]) -> (usize, usize) {
    let metrics = Metrics::parse(std::str::from_utf8(text).expect("UTF-8")).expect("metrics");
    (metrics.series().count(), metrics.series().filter(|(name, ..)| name.starts_with("node_")).count())
}

#[test]
#[ignore = "minutes"]
fn long_beside_node_exporter() {
    let _machine = alone();
    let listener = Listener::start(Manner::Closing);
    let exporter = NodeExporter::live();
    let reference = || Candidate::of("node_exporter", exporter.pid(), exporter.url());
    let (seldom, seldom_checks) = (agent("1h", 0, &listener), agent("1h", CHECKS, &listener));
    let of = |name, agent: &(Site, Agent)| Candidate::of(name, agent.1.pid(), agent.1.url());
    let candidates = [
        // What any answer costs a process that slept.
        Candidate { path: "/health/live", ..of("vitald, /health/live", &seldom) },
        of("vitald", &seldom),
        of("vitald, 10 checks", &seldom_checks),
        reference(),
    ];
    let mut rendered = Vec::new();
    for (zipped, form) in [(false, "plain"), (true, "gzip")] {
        let costs = in_turns(&candidates, Pace { zipped, scrapes: SCRAPES, apart: Duration::ZERO });
        show_costs(&format!("scrape, {form}, back to back"), &candidates, &costs);
        rendered = in_turns(&candidates, Pace { zipped, scrapes: SCRAPES_APART, apart: APART });
        show_costs(&format!("scrape, {form}, apart"), &candidates, &rendered);
    }
    drop(seldom_checks);

    let (usual, usual_checks) = (agent("5s", 0, &listener), agent("5s", CHECKS, &listener));
    let candidates = [
        of("vitald, sampling once an hour", &seldom),
        of("vitald", &usual),
        of("vitald, 10 checks", &usual_checks),
        reference(),
    ];
    show_minute("at rest", &candidates, &minute(&candidates, None));
    show_minute("scraped every 15 s, plain", &candidates, &minute(&candidates, Some(false)));
    show_minute("scraped every 15 s, gzip", &candidates, &minute(&candidates, Some(true)));

    let mut counts = Vec::new();
    for candidate in &candidates {
        let (plain, zipped) = (candidate.scraper(false).scrape(), candidate.scraper(true).scrape());
        let (all, node) = series(&plain);
        println!(
            "BENCH | {} | VmRSS {} KiB | {all} series, {node} of them node_* | {} bytes, {} zipped",
            candidate.name,
            candidate.resident(),
            plain.len(),
            zipped.len()
        );
        counts.push(node);
    }
    assert!(counts[1] + 1 >= counts[3], "fewer series than node_exporter, whose build info is its own: {counts:?}");
    // Ten times what DESIGN 10 says, as everywhere.
    assert!(rendered[2].cpu < rendered[3].cpu && rendered[2].wall < rendered[3].wall, "{rendered:?}");
}
