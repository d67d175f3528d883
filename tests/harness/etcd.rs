//! A real etcd of one member, and what can be asked of any etcd.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use etcd_client::{
    Client, ConnectOptions, Error, Event, EventType, GetOptions, PutOptions, ResponseHeader, WatchOptions,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::child::Server;
use super::ports::free_port;
use super::wait::{eventually, pause};

/// For a request, with all its tries.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For a try where there are other members to be asked.
const TRY: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_secs(20);
/// Put to end a list of events; below every prefix that is asked for.
pub const MARK: &str = "/~end-of-events";

/// A key, as etcd has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub value: Value,
    pub lease: i64,
    pub mod_revision: i64,
}

/// A key below a prefix, its value as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub lease: i64,
    pub mod_revision: i64,
}

pub struct Etcd {
    client_port: u16,
    peer_port: u16,
    /// Where it speaks TLS too.
    tls_port: Option<u16>,
    /// What it is told beside its addresses.
    options: Vec<String>,
    dir: TempDir,
    /// Counts the data directories.
    lives: u32,
    store: Store,
    server: Option<Server>,
}

impl Etcd {
    /// Starts one, with nothing in it.
    pub fn start() -> Self {
        let mut etcd = Self::absent();
        etcd.restart();
        etcd
    }

    /// Starts one that is told this too.
    pub fn with(options: Vec<String>) -> Self {
        let mut etcd = Self { options, ..Self::absent() };
        etcd.restart();
        etcd
    }

    /// Starts one that speaks TLS on a port of its own, beside the plain one.
    pub fn with_tls(options: Vec<String>) -> Self {
        let mut etcd = Self { options, tls_port: Some(free_port()), ..Self::absent() };
        etcd.restart();
        etcd
    }

    /// Only its address, for now.
    pub fn absent() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (client_port, peer_port) = (free_port(), free_port());
        let store = Store::at(vec![url(client_port)]);
        Self { client_port, peer_port, tls_port: None, options: Vec::new(), dir, lives: 0, store, server: None }
    }

    pub fn url(&self) -> String {
        url(self.client_port)
    }

    /// Where it speaks TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("it was started with TLS")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again on its ports, with the data that it had.
    pub fn restart(&mut self) {
        let (client, peer) = (self.url(), url(self.peer_port));
        let mut command = Command::new("etcd");
        command.args(OPTIONS).args(&self.options).args(["--name", "test"]);
        let tls = self.tls_port.map(|port| format!(",https://127.0.0.1:{port}")).unwrap_or_default();
        command.args(["--listen-client-urls", &format!("{client}{tls}"), "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("test={peer}")]);
        command.args(["--initial-cluster-token", &format!("test-{}", self.lives)]).arg("--data-dir").arg(self.data());
        self.server = Some(Server::start("etcd-server", &mut command, &self.dir.path().join("log")));
        eventually("etcd answers", START, || self.try_now().map(drop));
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
}

impl Deref for Etcd {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// What every member is told: elections are short, and the log has what went wrong.
pub const OPTIONS: [&str; 8] =
    ["--heartbeat-interval", "50", "--election-timeout", "500", "--logger", "zap", "--log-level", "warn"];

/// What can be asked of an etcd, by a client of its own for each request. Of several members the one is asked that
/// answered last, then the others in turn.
pub struct Store {
    endpoints: Vec<String>,
    answered: Cell<usize>,
    /// Who asks, with a password, where the cluster wants to know.
    user: RefCell<Option<(String, String)>>,
    runtime: Runtime,
}

impl Store {
    pub fn at(endpoints: Vec<String>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { endpoints, answered: Cell::new(0), user: RefCell::new(None), runtime }
    }

    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// From now on this user asks.
    pub fn log_in(&self, user: &str, password: &str) {
        self.user.replace(Some((user.to_owned(), password.to_owned())));
    }

    /// From now on nobody in particular asks.
    pub fn log_out(&self) {
        self.user.replace(None);
    }

    /// One request to that member.
    pub fn ask_at<T>(
        &self,
        member: usize,
        request: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, String> {
        let limit = if self.endpoints.len() == 1 { TIMEOUT } else { TRY };
        let mut options = ConnectOptions::new().with_timeout(limit).with_connect_timeout(limit);
        if let Some((user, password)) = &*self.user.borrow() {
            options = options.with_user(user, password);
        }
        let url = &self.endpoints[member];
        let asking = async {
            let mut client = Client::connect([url], Some(options)).await?;
            request(&mut client).await
        };
        match self.runtime.block_on(async { tokio::time::timeout(limit, asking).await }) {
            Ok(answer) => answer.map_err(|error| format!("etcd at {url}: {error}")),
            Err(_) => Err(format!("etcd at {url}: no answer within {limit:?}")),
        }
    }

    /// One request to each member, until one answers it.
    pub fn ask<T>(&self, request: impl AsyncFn(&mut Client) -> Result<T, Error>) -> Result<T, String> {
        let mut wrong = Vec::new();
        for step in 0..self.endpoints.len() {
            let member = (self.answered.get() + step) % self.endpoints.len();
            match self.ask_at(member, &request) {
                Ok(answer) => {
                    self.answered.set(member);
                    return Ok(answer);
                }
                Err(error) => wrong.push(error),
            }
        }
        Err(wrong.join("; "))
    }

    /// An election may be under way: it is asked again for a while.
    pub fn must<T>(&self, request: impl AsyncFn(&mut Client) -> Result<T, Error>) -> T {
        let begun = Instant::now();
        loop {
            match self.ask(&request) {
                Ok(answer) => return answer,
                Err(error) => assert!(begun.elapsed() < TIMEOUT, "{error}"),
            }
            pause();
        }
    }

    /// Where its history is now: which cluster it is, and at which revision.
    pub fn try_now(&self) -> Result<(u64, i64), String> {
        self.ask(async |client| client.get(MARK, None).await).map(|got| moment(got.header()))
    }

    pub fn now(&self) -> (u64, i64) {
        moment(self.must(async |client| client.get(MARK, None).await).header())
    }

    /// Of the whole store, now.
    pub fn revision(&self) -> i64 {
        self.now().1
    }

    pub fn get(&self, key: &str) -> Option<Key> {
        let got = self.must(async |client| client.get(key, None).await);
        got.kvs().first().map(|kv| Key {
            value: serde_json::from_slice(kv.value()).expect("the value is JSON"),
            lease: kv.lease(),
            mod_revision: kv.mod_revision(),
        })
    }

    /// Everything below that prefix, as one revision had it.
    pub fn below(&self, prefix: &str) -> Vec<Entry> {
        let got = self.must(async |client| client.get(prefix, Some(GetOptions::new().with_prefix())).await);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let entry = |kv: &etcd_client::KeyValue| Entry {
            key: text(kv.key()),
            value: text(kv.value()),
            lease: kv.lease(),
            mod_revision: kv.mod_revision(),
        };
        got.kvs().iter().map(entry).collect()
    }

    /// What an operator, or another agent, might write.
    pub fn put(&self, key: &str, value: &str) {
        self.must(async |client| client.put(key, value, None).await);
    }

    /// What another agent would write, under its lease.
    pub fn put_leased(&self, key: &str, value: &str, lease: i64) {
        let options = || Some(PutOptions::new().with_lease(lease));
        self.must(async |client| client.put(key, value, options()).await);
    }

    /// A lease that nobody renews.
    pub fn grant(&self, seconds: i64) -> i64 {
        self.must(async |client| client.lease_grant(seconds, None).await).id()
    }

    pub fn delete(&self, key: &str) {
        self.must(async |client| client.delete(key, None).await);
    }

    /// Seconds that a lease still has; negative where it is gone.
    pub fn lease_left(&self, lease: i64) -> i64 {
        self.must(async |client| client.lease_time_to_live(lease, None).await).ttl()
    }

    /// All leases that there are.
    pub fn leases(&self) -> Vec<i64> {
        self.must(async |client| client.leases().await).leases().iter().map(|lease| lease.id()).collect()
    }

    /// Puts a key that is no event; everything before that moment has happened.
    pub fn mark(&self) -> (u64, i64) {
        moment(self.must(async |client| client.put(MARK, "{}", None).await).header())
    }

    /// Every event that a watcher of the prefix has seen since that revision: none is missed, and none is waited for.
    pub fn events_since(&self, revision: i64, prefix: &str) -> Vec<String> {
        self.history_since(revision, prefix).into_iter().map(|(_, what)| what).collect()
    }

    /// The same, each with its revision: what has the same happened at once.
    pub fn history_since(&self, revision: i64, prefix: &str) -> Vec<(i64, String)> {
        let (_, mark) = self.mark();
        self.must(async |client| {
            let options = WatchOptions::new().with_all_keys().with_start_revision(revision + 1);
            let mut watcher = client.watch("", Some(options)).await?;
            let mut events = Vec::new();
            while let Some(response) = watcher.message().await? {
                assert_eq!(response.compact_revision(), 0, "the history was compacted");
                let before = response.events().iter().filter(|event| event_revision(event) < mark);
                events.extend(before.filter_map(|event| Some((event_revision(event), described(event, prefix)?))));
                if response.events().iter().any(|event| event_revision(event) >= mark) {
                    return Ok(events);
                }
            }
            panic!("the watch ended by itself")
        })
    }
}

fn moment(header: Option<&ResponseHeader>) -> (u64, i64) {
    let header = header.expect("a header");
    (header.cluster_id(), header.revision())
}

pub fn event_revision(event: &Event) -> i64 {
    event.kv().expect("an event of a key").mod_revision()
}

/// `PUT key value` or `DELETE key`; none for another prefix and for the mark.
pub fn described(event: &Event, prefix: &str) -> Option<String> {
    let kv = event.kv().expect("an event of a key");
    let key = kv.key_str().expect("a key in UTF-8");
    if key == MARK || !key.starts_with(prefix) {
        return None;
    }
    Some(match event.event_type() {
        EventType::Put => format!("PUT {key} {}", kv.value_str().unwrap_or("?")),
        EventType::Delete => format!("DELETE {key}"),
    })
}
