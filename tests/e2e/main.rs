//! The real agent, end to end, against real servers: what a user sees, and nothing else.
//!
//! Each module is a theme, each test a sentence of the contract. They run beside each other; what takes minutes is
//! `#[ignore]`d, named `long_*` and run by `tests/run --long`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why by panicking"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod caps;
mod catalogue;
mod cluster;
mod configuration;
mod control;
mod credentials;
mod dialects;
mod discovery;
mod edits;
mod egress;
mod endpoints;
mod guests;
mod hostile;
mod http;
mod identity;
mod keeping;
mod long;
mod maintenance;
mod outages;
mod overload;
mod plugins;
mod quota;
mod readme;
mod registration;
mod secrets;
mod services;
mod stopping;
mod tls;
mod toolchains;
