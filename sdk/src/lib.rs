//! Health checkers for vitald: a function, a target, an outcome.
//!
//! This is a whole checker:
//!
//! ```
//! use vitald_sdk::prelude::*;
//!
//! /// Waits for a line from a TCP service and looks at how it starts.
//! #[params]
//! #[serde(default)]
//! struct Banner {
//!     /// What the first line must start with.
//!     starts_with: String,
//! }
//!
//! impl Default for Banner {
//!     fn default() -> Self {
//!         Self { starts_with: "220".into() }
//!     }
//! }
//!
//! #[checker(schemes = ["tcp", "smtp:25"])]
//! fn banner(target: Target, params: Banner, _run: &mut Run) -> Result<Outcome> {
//!     let mut line = String::new();
//!     BufReader::new(target.connect()?).read_line(&mut line)?;
//!     if line.starts_with(&params.starts_with) {
//!         Ok(up(line.trim_end()))
//!     } else {
//!         Ok(down(format!("unexpected banner: {}", line.trim_end())))
//!     }
//! }
//! ```
//!
//! Its crate needs nothing but this one:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! vitald-sdk = "0.1"
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the plugin: one `.wasm`, to be put into a plugin directory.
//!
//! # A run
//!
//! Each run has a fresh sandbox: statics start anew, nothing leaks, and what is to be remembered goes through
//! [`Run::set_state`]. There are no files, no environment and no arguments. The network is [`Target::connect`],
//! [`connect_to`] and [`Target::datagrams`], and only where the operator granted it. The host ends a run that takes too long and says where it
//! stood, so a checker sets no timeouts.
//!
//! # Judging
//!
//! A target that fails is an outcome: return [`down`]. An [`Error`] means "I could not judge". `?` sorts that out: an
//! I/O error of the target, and any error after its first byte, becomes `down` with the reason
//! (`connect 10.0.0.9:5432: refused`); an error before contact is the checker's own. [`Run::cannot_judge`] makes an
//! error of what only the checker can know. The whole table is at [`Error`].
//!
//! # Parameters
//!
//! Any type with `serde::Deserialize` and `schemars::JsonSchema`. The agent checks the operator's parameters against
//! the schema before anything runs. There are two ways to write one:
//!
//! - [`#[params]`](macro@params) as above derives both with this crate's own `serde` and `schemars`;
//! - `#[derive(Deserialize, JsonSchema)]` with `#[serde(default, deny_unknown_fields)]` is the plain form, for types
//!   that need more; its crate depends on `serde` and `schemars` (1.x) as well, because derives look for these names.
//!
//! A [`Length`] is a length of time, a [`Share`] a part of a whole, an [`Expect`] what an answer must be, an
//! [`AuthFailure`] what a refused user means. Every checker of a target has the parameter `slow` by itself: with
//! `slow = "200ms"` a target that is UP, but for which the run took longer, is DEGRADED.
//!
//! # Async
//!
//! With the feature `tokio` a [`Stream`] is `tokio::io::{AsyncRead, AsyncWrite}` as well, for crates that want that, and
//! `block_on` runs a future with all its streams at once. It is no runtime: no threads, no tasks.
//!
//! # Tests
//!
//! A checker's crate compiles natively, too, and `cargo test` runs it without WebAssembly: connections are sockets of
//! the machine then. `testing` tries a checker against a scripted peer, or any address. Only TLS needs a host.

#![deny(missing_docs)]

mod auth_failure;
#[allow(
    unsafe_code,
    missing_docs,
    dead_code,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unimplemented,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
#[doc(hidden)]
pub mod bindings;
mod component;
mod contact;
mod datagrams;
mod error;
mod expect;
pub mod host;
#[cfg(feature = "tokio")]
mod hosts;
mod length;
mod net;
mod options;
mod outcome;
pub mod prelude;
mod quantity;
mod run;
mod share;
mod slow;
pub mod sql;
mod stream;
mod sys;
mod target;
#[cfg(feature = "tokio")]
mod task;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod tls;
#[cfg(feature = "tokio")]
mod tokio_io;
mod wildcard;

pub use crate::auth_failure::AuthFailure;
pub use crate::datagrams::Datagrams;
pub use crate::error::{Error, Result};
pub use crate::expect::Expect;
#[cfg(feature = "tokio")]
pub use crate::hosts::Host;
pub use crate::length::Length;
pub use crate::net::{Cause, NetError, Phase};
pub use crate::outcome::{Outcome, Status, degraded, down, up};
pub use crate::quantity::{Measurable, Quantity, Unit, bytes, ratio, seconds};
pub use crate::run::{Level, Measurement, Run};
pub use crate::share::Share;
pub use crate::stream::{Stream, Timings, connect_to};
pub use crate::target::{Endpoint, Target};
#[cfg(feature = "tokio")]
pub use crate::task::{Elapsed, Sleep, block_on, sleep, timeout};
pub use crate::tls::{TlsOptions, TlsPeer};
pub use crate::wildcard::wildcard_matches;
pub use vitald_sdk_macros::{checker, params, state};

/// What the macros' code names. No part of the interface: it changes with any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::export_plugin;
    pub use crate::component::{About, Checker, Component, Judged, NoParams, Reading, reading};
    pub use schemars;
    pub use serde;
}

/// The README's code, compiled. Some of it is async.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
