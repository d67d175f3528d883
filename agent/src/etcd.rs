//! etcd as a client: for those who register and for those who read. One endpoint at a time, so that it is known which
//! one answers; errors that say which endpoint, which setting and what etcd said.
//!
//! Nothing here is kept alive or repaired: a client that failed is dropped, and the next one is made from the
//! configuration. Every request has a name and a time.

mod connect;
mod error;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use etcd_client::Client;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::model::check::TlsDef;
use crate::tls::Tls;

use self::connect::LastWords;
pub use self::error::{EtcdError, Kind};

/// The next endpoint is tried this long after the one before, whether that one has failed by then or not: a member
/// that hangs must not cost the lease.
const STAGGER: Duration = Duration::from_millis(250);
/// While one hangs, those that failed are tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// A peer that ends a TLS connection has said why within this.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: Password,
}

/// A password as it is now. Clones share it: one that was changed is what the next connection says.
#[derive(Clone)]
pub struct Password(Arc<RwLock<String>>);

impl Password {
    pub fn new(password: String) -> Self {
        Self(Arc::new(RwLock::new(password)))
    }

    pub fn get(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if it was another one.
    pub fn set(&self, password: String) -> bool {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *own, password);
        before != *own
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.get() == other.get()
    }
}

impl Eq for Password {}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, ***)", self.username)
    }
}

/// How a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `http://HOST:PORT` or `https://HOST:PORT`, at least one.
    pub endpoints: Vec<String>,
    pub credentials: Option<Credentials>,
    /// For `https` endpoints.
    pub tls: TlsDef,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
}

/// A cluster.
#[derive(Clone)]
pub struct Etcd {
    config: Arc<Config>,
    tls: Arc<Tls>,
}

/// No endpoint could be used: what each of them did.
#[derive(Debug, thiserror::Error)]
#[error("{}", each.iter().map(|(endpoint, error)| format!("{endpoint}: {error}")).collect::<Vec<_>>().join("; "))]
pub struct NoEndpoint {
    pub each: Vec<(String, EtcdError)>,
}

impl NoEndpoint {
    /// What is worth saying of all: the kind that somebody can mend, before those that mend themselves.
    pub fn kind(&self) -> Kind {
        self.each.iter().map(|(_, error)| error.kind()).min().unwrap_or(Kind::Unreachable)
    }
}

/// The endpoint that answered first, and what it gave.
#[derive(Debug)]
pub struct Answered<T> {
    /// Its place among the endpoints.
    pub index: usize,
    pub endpoint: String,
    pub value: T,
}

impl Etcd {
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), tls: Arc::default() }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Connects to the endpoints, beginning with that of this place and each a little after the one before; returns
    /// what the first gave that `attempt` succeeds with. `attempt` should ask for something that needs a leader: that
    /// a member accepts connections says little. While some hang, those that failed are tried again: one may be back
    /// before another gives up.
    pub async fn first<T, F>(
        &self,
        start: usize,
        attempt: impl Fn(Client) -> F + Sync,
    ) -> Result<Answered<T>, NoEndpoint>
    where
        F: Future<Output = Result<T, EtcdError>> + Send,
        T: Send,
    {
        let endpoints = &self.config.endpoints;
        let count = endpoints.len().max(1);
        let mut waiting = (0..endpoints.len()).map(|n| (start.wrapping_add(n)) % count);
        let mut trying = FuturesUnordered::new();
        let mut failed: BTreeMap<usize, (String, EtcdError)> = BTreeMap::new();
        // Endpoints that were not heard of yet.
        let mut unheard = endpoints.len();
        let mut again_at: Option<Instant> = None;
        loop {
            if let Some(index) = waiting.next() {
                trying.push(self.attempt(index, &attempt));
            }
            if unheard == 0 {
                return Err(NoEndpoint { each: failed.into_values().collect() });
            }
            tokio::select! {
                Some((index, endpoint, tried)) = trying.next() => match tried {
                    Ok(value) => return Ok(Answered { index, endpoint, value }),
                    Err(error) => {
                        if failed.insert(index, (endpoint, error)).is_none() {
                            unheard -= 1;
                        }
                        again_at.get_or_insert_with(|| Instant::now() + AGAIN);
                    }
                },
                () = sleep(STAGGER), if waiting.len() > 0 => {}
                () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() && waiting.len() == 0 => {
                    // What is under way still is one of those that hang, or a try that takes long.
                    if trying.len() == unheard {
                        failed.keys().for_each(|index| trying.push(self.attempt(*index, &attempt)));
                    }
                    again_at = Some(Instant::now() + AGAIN);
                }
            }
        }
    }

    async fn attempt<T, F>(
        &self,
        index: usize,
        attempt: &(impl Fn(Client) -> F + Sync),
    ) -> (usize, String, Result<T, EtcdError>)
    where
        F: Future<Output = Result<T, EtcdError>> + Send,
    {
        let endpoint = self.config.endpoints.get(index).cloned().unwrap_or_default();
        let words = LastWords::default();
        let tried = match self.connect(&endpoint, &words).await {
            Ok(client) => attempt(client).await,
            Err(error) => Err(error),
        };
        let tried = match tried {
            Err(error) if error.kind() == Kind::Unreachable && endpoint.starts_with("https://") => {
                // The connection's own task hears why.
                sleep(LAST_WORDS).await;
                Err(words.take().map_or(error, EtcdError::Handshake))
            }
            // What was asked without a token was refused for want of one.
            Err(error) if error.kind() == Kind::Credentials => Err(words.refusal().unwrap_or(error)),
            tried => tried,
        };
        (index, endpoint, tried)
    }

    /// A client of one endpoint: connected, and with a token where there are credentials.
    async fn connect(&self, endpoint: &str, words: &LastWords) -> Result<Client, EtcdError> {
        let within = self.config.connect_timeout;
        match timeout(within, connect::connect(&self.config, &self.tls, endpoint, words)).await {
            Ok(connected) => connected,
            Err(_) => Err(EtcdError::Slow { doing: "connect", within }),
        }
    }

    /// Gives a request its name and its time.
    pub async fn ask<T>(
        &self,
        doing: &'static str,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, EtcdError> {
        within(doing, self.config.request_timeout, request).await
    }
}

/// Gives a request its name and its time.
pub async fn within<T>(
    doing: &'static str,
    within: Duration,
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, EtcdError> {
    match timeout(within, request).await {
        Ok(answer) => answer.map_err(|error| EtcdError::from_client(doing, error)),
        Err(_) => Err(EtcdError::Slow { doing, within }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that takes connections and says nothing, and one where nobody listens.
    fn mute_and_dead() -> (std::net::TcpListener, String, String) {
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = |listener: &std::net::TcpListener| format!("http://{}", listener.local_addr().expect("its address"));
        let mute = listen();
        let (mute_url, dead_url) = (url(&mute), url(&listen()));
        (mute, mute_url, dead_url)
    }

    fn etcd(endpoints: Vec<String>) -> Etcd {
        Etcd::new(Config {
            endpoints,
            credentials: None,
            tls: TlsDef::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(3),
        })
    }

    #[tokio::test]
    async fn a_slow_endpoint_is_waited_for_beside_a_dead_one() {
        let (_mute, slow, dead) = mute_and_dead();
        let etcd = etcd(vec![dead, slow.clone()]);
        let answered = etcd.first(0, |_| async {
            // Longer than the dead one is left alone for.
            sleep(AGAIN * 2 + STAGGER).await;
            Ok(())
        });
        assert_eq!(answered.await.expect("an answer").endpoint, slow);
    }

    #[tokio::test]
    async fn every_endpoint_is_named_in_the_error() {
        let (_mute, hangs, dead) = mute_and_dead();
        let etcd = etcd(vec![dead.clone(), hangs.clone()]);
        let tried = etcd.first(0, |_| async {
            sleep(AGAIN + STAGGER).await;
            Err::<(), _>(EtcdError::Slow { doing: "look", within: AGAIN })
        });
        let error = tried.await.expect_err("nobody answers").to_string();
        assert!(error.contains(&format!("{dead}: connect: refused")), "{error}");
        assert!(error.contains(&format!("{hangs}: look: no answer within 1000 ms")), "{error}");
    }
}
