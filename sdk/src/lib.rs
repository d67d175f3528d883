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
//! [`Run::set_state`]. There are no files, no environment and no arguments. The network is [`Target::connect`] and
//! [`connect_to`], and only where the operator granted it. The host ends a run that takes too long and says where it
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
//! # Natively
//!
//! A checker's crate compiles natively, too, so that `cargo test` runs the tests of its pure parts. Connecting,
//! logging and the host's numbers need a host: natively they panic.

#![deny(missing_docs)]

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
mod error;
pub mod host;
mod net;
mod outcome;
pub mod prelude;
mod run;
mod stream;
mod target;
mod tls;
mod wildcard;

pub use crate::error::{Error, Result};
pub use crate::net::{Cause, NetError, Phase};
pub use crate::outcome::{Outcome, Status, degraded, down, up};
pub use crate::run::{Level, Measurement, Run, Unit};
pub use crate::stream::{Stream, Timings, connect_to};
pub use crate::target::{Endpoint, Target};
pub use crate::tls::{TlsOptions, TlsPeer};
pub use crate::wildcard::wildcard_matches;
pub use vitald_sdk_macros::{checker, params};

/// What the macros' code names. No part of the interface: it changes with any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::export_plugin;
    pub use crate::component::{About, Checker, Component, NoParams};
    pub use schemars;
    pub use serde;
}
