//! What the tests stand on: the real agent and real servers, each in a directory of its own and on a free port of the
//! loopback, ended in `Drop`. A server that is not installed is a failure that says how to install it.

mod address;
mod agent;
mod cgroup;
mod child;
mod components;
mod deaf;
mod dns;
mod etcd;
mod guests;
mod http;
mod listener;
mod metrics;
mod nginx;
mod poll;
mod ports;
mod postgres;
mod redis;
mod site;
mod tls;
mod toml;
mod wait;

pub use self::address::OwnAddress;
pub use self::agent::{Agent, Ended, program, vitald};
pub use self::cgroup::Cgroup;
pub use self::components::component;
pub use self::deaf::Deaf;
pub use self::dns::{Dns, Said};
pub use self::etcd::{Etcd, Key};
pub use self::guests::{bundled, by_hand, guest, with_schema};
pub use self::http::request;
pub use self::listener::{Listener, Manner};
pub use self::metrics::Metrics;
pub use self::nginx::Nginx;
pub use self::poll::Poll;
pub use self::postgres::Postgres;
pub use self::redis::Redis;
pub use self::site::{Site, write};
pub use self::tls::{Ca, Identity, VALID_UNTIL};
pub use self::toml::{Table, check, service};
pub use self::wait::{alone, eventually, that, throughout, timed};
