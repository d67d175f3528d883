//! A real etcd of one member, and what it knows.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, EventType, LeaseTimeToLiveOptions, WatchOptions};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::child::Server;
use super::ports::free_port;
use super::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(20);
/// Put to end a list of events; below every prefix that is asked for.
const MARK: &str = "/~end-of-events";

/// A key, as etcd has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub value: Value,
    pub lease: i64,
    pub mod_revision: i64,
}

pub struct Etcd {
    client_port: u16,
    peer_port: u16,
    dir: TempDir,
    /// Counts the data directories.
    lives: u32,
    runtime: Runtime,
    server: Option<Server>,
}

impl Etcd {
    /// Starts one, with nothing in it.
    pub fn start() -> Self {
        let mut etcd = Self::absent();
        etcd.restart();
        etcd
    }

    /// Only its address, for now.
    pub fn absent() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { client_port: free_port(), peer_port: free_port(), dir, lives: 0, runtime, server: None }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again on its ports, with the data that it had.
    pub fn restart(&mut self) {
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer_port));
        let mut command = Command::new("etcd");
        command.args(["--name", "test", "--heartbeat-interval", "50", "--election-timeout", "500"]);
        command.args(["--logger", "zap", "--log-level", "warn"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("test={peer}")]).arg("--data-dir").arg(self.data());
        self.server = Some(Server::start("etcd-server", &mut command, &self.dir.path().join("log")));
        eventually("etcd answers", START, || self.try_revision().map(drop).map_err(|error| error.to_string()));
    }

    /// Starts it again on its ports, with nothing in it.
    pub fn restart_empty(&mut self) {
        self.kill();
        self.lives += 1;
        self.restart();
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join(format!("data-{}", self.lives))
    }

    /// One request by a client of its own.
    fn ask<T>(&self, request: impl AsyncFnOnce(&mut Client) -> Result<T, Error>) -> Result<T, Error> {
        let options = ConnectOptions::new().with_timeout(TIMEOUT).with_connect_timeout(TIMEOUT);
        self.runtime.block_on(async {
            let mut client = Client::connect([self.url()], Some(options)).await?;
            request(&mut client).await
        })
    }

    fn must<T>(&self, request: impl AsyncFnOnce(&mut Client) -> Result<T, Error>) -> T {
        self.ask(request).unwrap_or_else(|error| panic!("etcd at {}: {error}", self.url()))
    }

    fn try_revision(&self) -> Result<i64, Error> {
        let got = self.ask(async |client| client.get(MARK, None).await)?;
        Ok(got.header().expect("a header").revision())
    }

    /// Of the whole store, now.
    pub fn revision(&self) -> i64 {
        self.try_revision().unwrap_or_else(|error| panic!("etcd at {}: {error}", self.url()))
    }

    pub fn get(&self, key: &str) -> Option<Key> {
        let got = self.must(async |client| client.get(key, None).await);
        got.kvs().first().map(|kv| Key {
            value: serde_json::from_slice(kv.value()).expect("the value is JSON"),
            lease: kv.lease(),
            mod_revision: kv.mod_revision(),
        })
    }

    /// What an operator, or another agent, might write.
    pub fn put(&self, key: &str, value: &str) {
        self.must(async |client| client.put(key, value, None).await);
    }

    pub fn delete(&self, key: &str) {
        self.must(async |client| client.delete(key, None).await);
    }

    /// Seconds that a lease still has; negative where it is gone.
    pub fn lease_left(&self, lease: i64) -> i64 {
        let options = LeaseTimeToLiveOptions::new();
        self.must(async |client| client.lease_time_to_live(lease, Some(options)).await).ttl()
    }

    /// All leases that there are.
    pub fn leases(&self) -> Vec<i64> {
        self.must(async |client| client.leases().await).leases().iter().map(|lease| lease.id()).collect()
    }

    /// Every event that a watcher of the prefix has seen since that revision: none is missed, and none is waited for.
    pub fn events_since(&self, revision: i64, prefix: &str) -> Vec<String> {
        self.must(async |client| {
            client.put(MARK, "{}", None).await?;
            let options = WatchOptions::new().with_all_keys().with_start_revision(revision + 1);
            let mut watcher = client.watch("", Some(options)).await?;
            let mut events = Vec::new();
            while let Some(response) = watcher.message().await? {
                assert_eq!(response.compact_revision(), 0, "the history was compacted");
                for event in response.events() {
                    let kv = event.kv().expect("an event of a key");
                    let key = kv.key_str().expect("a key in UTF-8");
                    match event.event_type() {
                        EventType::Put if key == MARK => return Ok(events),
                        _ if !key.starts_with(prefix) => {}
                        EventType::Put => events.push(format!("PUT {key} {}", kv.value_str().unwrap_or("?"))),
                        EventType::Delete => events.push(format!("DELETE {key}")),
                    }
                }
            }
            panic!("the watch ended by itself")
        })
    }
}
