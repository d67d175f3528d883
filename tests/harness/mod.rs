//! What the tests stand on: the real agent and real servers, each in a directory of its own and on a free port of the
//! loopback, ended in `Drop`. A server that is not installed is a failure that says how to install it.

mod agent;
mod child;
mod etcd;
mod guests;
mod http;
mod listener;
mod metrics;
mod poll;
mod ports;
mod redis;
mod site;
mod toml;
mod wait;

pub use self::agent::{Agent, Ended, vitald};
pub use self::etcd::{Etcd, Key};
pub use self::guests::{bundled, guest};
pub use self::http::request;
pub use self::listener::{Listener, Manner};
pub use self::metrics::Metrics;
pub use self::poll::Poll;
pub use self::redis::Redis;
pub use self::site::{Site, write};
pub use self::toml::{Table, check, service};
pub use self::wait::{alone, eventually, that, throughout, timed};
