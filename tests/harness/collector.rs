//! A real `vitald collect`, on a port and with a file that outlive it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::agent::program;
use super::child::Server;
use super::ports::free_port;
use super::tls::Identity;
use super::wait::eventually;

const SOON: Duration = Duration::from_secs(20);

pub struct Collector {
    dir: TempDir,
    port: u16,
    out: PathBuf,
    arguments: Vec<String>,
    scheme: &'static str,
    server: Option<Server>,
}

impl Collector {
    /// Nothing listens yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let out = dir.path().join("reports.jsonl");
        Self { dir, port: free_port(), out, arguments: Vec::new(), scheme: "http", server: None }
    }

    pub fn started() -> Self {
        let mut collector = Self::new();
        collector.start();
        collector
    }

    /// Writes there.
    pub fn into(mut self, out: &Path) -> Self {
        out.clone_into(&mut self.out);
        self
    }

    pub fn with_tls(self, identity: &Identity) -> Self {
        let path = |path: &Path| path.display().to_string();
        let mut own = self.with(&["--tls-cert", &path(&identity.cert), "--tls-key", &path(&identity.key)]);
        own.scheme = "https";
        own
    }

    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Starts it, and waits until it says where it listens.
    pub fn start(&mut self) {
        let mut command = Command::new(program());
        command.env_remove("RUST_LOG").arg("collect").arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.arg("--out").arg(&self.out).args(&self.arguments);
        let log = self.dir.path().join("log");
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        let mut server = Server::start("", &mut command, &log);
        let says = format!("collects at {}", self.url());
        eventually("the collector says where it listens", SOON, || {
            if let Some(code) = server.ended() {
                panic!("the collector ended with {code}: {}", server.log());
            }
            let log = server.log();
            if log[before..].contains(&says) { Ok(()) } else { Err(log) }
        });
        self.server = Some(server);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// SIGTERM; its exit code.
    pub fn stop(&mut self) -> i32 {
        let mut server = self.server.take().expect("it runs");
        server.signal(Signal::TERM);
        server.end(SOON)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Everything that was written, in order.
    pub fn reports(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.out).unwrap_or_default();
        // The last line may be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let report = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["received"].is_string(), "{line}");
            line["report"].take()
        };
        whole.lines().map(report).collect()
    }

    /// The first report after the first `known` ones for which it holds.
    pub fn until(&self, what: &str, known: usize, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(what, Duration::from_secs(60), || {
            let reports = self.reports();
            let found = reports.iter().skip(known).find(|report| holds(report)).cloned();
            found.ok_or_else(|| format!("{} reports, the last: {:?}", reports.len(), reports.last()))
        })
    }
}
