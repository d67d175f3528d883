//! A consumer: it watches the prefix of all services and notes when it saw what. On a thread and a runtime of its own,
//! so that it does not wait behind the registrars.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, EventType, GetOptions, WatchOptions};
use tokio::runtime::{Builder, Runtime};

/// All instances at once may come in one message.
const MESSAGE: usize = 256 << 20;
const CONNECT: Duration = Duration::from_secs(1);
/// Between two tries to reach an etcd that is away.
const RETRY: Duration = Duration::from_millis(10);

/// An event of an instance's key.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub host: usize,
    pub put: bool,
    pub at: Instant,
}

pub struct Watcher {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Its thread ends when it is dropped.
    runtime: Runtime,
    url: String,
}

/// How far a watch has come: in which cluster, up to which revision.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Place {
    cluster: u64,
    revision: i64,
}

impl Watcher {
    pub fn start(url: String, prefix: &'static str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (own, into) = (url.clone(), seen.clone());
        runtime.spawn(async move {
            let mut place = Place::default();
            loop {
                // Whatever it is: etcd is away, and comes back.
                let _ = follow(&own, prefix, &mut place, &into).await;
                tokio::time::sleep(RETRY).await;
            }
        });
        Self { seen, runtime, url }
    }

    /// What was seen since it was asked last.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Keys below these prefixes, as etcd counts them now.
    pub fn count(&self, prefixes: &[&str]) -> i64 {
        let counting = async {
            let mut client = connect(&self.url).await.ok()?;
            let mut sum = 0;
            for prefix in prefixes {
                let options = GetOptions::new().with_prefix().with_count_only();
                sum += client.get(*prefix, Some(options)).await.ok()?.count();
            }
            Some(sum)
        };
        self.runtime.block_on(counting).unwrap_or(-1)
    }
}

/// Follows the prefix until something is lost. In a cluster that is not the one of before it begins at its beginning.
async fn follow(url: &str, prefix: &str, place: &mut Place, seen: &Mutex<Vec<Seen>>) -> Result<(), etcd_client::Error> {
    let mut client = connect(url).await?;
    let now = client.get(prefix, Some(GetOptions::new().with_count_only())).await?;
    let cluster = now.header().map_or(0, |header| header.cluster_id());
    if place.cluster != cluster {
        *place = Place { cluster, revision: 0 };
    }
    let options = WatchOptions::new().with_prefix().with_start_revision(place.revision + 1);
    let mut watching = client.watch_client().max_decoding_message_size(MESSAGE);
    let mut stream = watching.watch(prefix, Some(options)).await?;
    while let Some(response) = stream.message().await? {
        let at = Instant::now();
        let mut seen = seen.lock().unwrap();
        for event in response.events() {
            let kv = event.kv().unwrap();
            place.revision = kv.mod_revision();
            seen.push(Seen { host: host(kv.key()), put: event.event_type() == EventType::Put, at });
        }
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Client, etcd_client::Error> {
    Client::connect([url], Some(ConnectOptions::new().with_connect_timeout(CONNECT))).await
}

/// The number at the end of an instance's key.
fn host(key: &[u8]) -> usize {
    let digits = std::str::from_utf8(key).unwrap().rsplit('-').next();
    digits.unwrap().parse().unwrap()
}
