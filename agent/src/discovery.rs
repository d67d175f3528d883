//! The consumer side: who is registered, for programs and for people.
//!
//! A small library of its own: [`Discovery`] lists the instances, or watches them as a stream of sets; [`pick`] chooses
//! one that is well. The agent's own part, [`Consumer`], does the same for HTTP.
//!
//! An etcd that is away takes nothing from anybody: what was known last stays, and says since when nobody confirmed it.
//! When more than half of a service's instances vanish within one TTL, that says more of the registry than of them:
//! they stay for a while, marked as suspect. What is no instance is skipped, counted and said once; it breaks nothing.
//!
//! ```no_run
//! use std::pin::pin;
//!
//! use futures::StreamExt as _;
//! use vitald::discovery::{Config, Discovery, DiscoveryError, pick};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), DiscoveryError> {
//!     let discovery = Discovery::new(Config::at(["http://127.0.0.1:2379"]));
//!     for (service, instances) in discovery.list().await?.services.iter() {
//!         println!("{service}: {} instances", instances.len());
//!     }
//!     let mut sets = pin!(discovery.watch());
//!     while let Some(set) = sets.next().await {
//!         match pick(&set, "orders") {
//!             Some(instance) => println!("orders is at {}", instance.endpoint()),
//!             None => println!("nobody serves orders"),
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod book;
mod consumer;
mod follow;
mod listing;
mod metrics;
mod parse;
mod pick;
mod session;
mod skips;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;

use crate::etcd::{self, Etcd, EtcdError, NoEndpoint};
use crate::model::check::TlsDef;
use crate::model::name::Name;

use self::follow::Follower;

pub use self::consumer::Consumer;
pub use self::pick::pick;
pub use crate::model::found::{Found, Instances, SUSPECT_FOR, Set, Unconfirmed};

/// More keys than that are not instances of services: somebody's prefix is wrong.
pub const MAX_KEYS: usize = 100_000;
/// Of keys and values that are kept, together.
pub const MAX_BYTES: usize = 64 << 20;

/// Which services are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    All,
    These(Vec<Name>),
}

/// How the registry is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub etcd: etcd::Config,
    /// Where the keys begin: `{prefix}/{service}/{instance id}`.
    pub prefix: String,
    /// Of the leases of those who register, as far as we know: instances that vanish within it together are suspect.
    pub ttl: Duration,
    pub watched: Watched,
}

impl Config {
    /// All services of the default prefix `/services`, at these endpoints, without credentials.
    pub fn at<T: Into<String>>(endpoints: impl IntoIterator<Item = T>) -> Self {
        let etcd = etcd::Config {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            credentials: None,
            tls: TlsDef::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(3),
        };
        Self { etcd, prefix: "/services".into(), ttl: Duration::from_secs(15), watched: Watched::All }
    }

    /// The prefix as keys are compared with it: without a slash at its end.
    fn prefix(&self) -> &str {
        self.prefix.trim_end_matches('/')
    }

    /// What the keys that are read begin with: one range each.
    fn ranges(&self) -> Vec<String> {
        let prefix = self.prefix();
        match &self.watched {
            Watched::All => vec![format!("{prefix}/")],
            Watched::These(names) => names.iter().map(|name| format!("{prefix}/{name}/")).collect(),
        }
    }
}

/// Why the registry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("no endpoint of etcd is given")]
    NoEndpoints,
    #[error(transparent)]
    NoEndpoint(#[from] NoEndpoint),
    #[error("{endpoint}: {source}")]
    Etcd { endpoint: String, source: EtcdError },
    #[error("{endpoint}: what was read meanwhile is compacted: it is listed again")]
    Compacted { endpoint: String },
    #[error("there are more than {MAX_KEYS} keys below {prefix}: is that the prefix of the services?")]
    TooMany { prefix: String },
    #[error("the values below {prefix} have more than {} MiB: is that the prefix of the services?", MAX_BYTES >> 20)]
    TooLarge { prefix: String },
}

/// Reads the registry. Cheap to clone; every list and every watch has a connection of its own.
#[derive(Clone)]
pub struct Discovery {
    config: Arc<Config>,
    etcd: Etcd,
}

impl Discovery {
    /// Connects to nothing yet.
    pub fn new(config: Config) -> Self {
        let etcd = Etcd::new(config.etcd.clone());
        Self { config: Arc::new(config), etcd }
    }

    /// All that is registered now, as a majority of etcd's members has it. Asks each endpoint once.
    pub async fn list(&self) -> Result<Set, DiscoveryError> {
        Follower::new(self.clone()).list().await
    }

    /// Watches for ever: an item for every change, each of them everything that is known then, and one when etcd goes
    /// away and when it is back. The first comes once there is a list, or once it is known why there is none (see
    /// [`Set::is_known`]). A slow reader misses sets, but never the newest. To be polled inside of a tokio runtime.
    pub fn watch(&self) -> impl Stream<Item = Set> + Send + use<> {
        futures::stream::unfold(Follower::new(self.clone()), async |mut follower| {
            loop {
                if let Some(set) = follower.next().await {
                    return Some((set, follower));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_at_a_slash() {
        let mut config = Config::at(["http://127.0.0.1:2379"]);
        assert_eq!(config.ranges(), ["/services/"]);
        config.prefix = "/x/".into();
        let name = |text: &str| text.parse::<Name>().expect("a name");
        config.watched = Watched::These(vec![name("shop"), name("orders")]);
        assert_eq!(config.ranges(), ["/x/shop/", "/x/orders/"]);
    }
}
