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

#[path = "../bench/exporters.rs"]
mod exporters;

mod alerts;
mod caps;
mod catalogue;
mod cluster;
mod compiled;
mod compiling;
mod configuration;
mod control;
mod costs;
mod credentials;
mod deploy;
mod dialects;
mod discovery;
mod edits;
mod egress;
mod endpoints;
mod exposition;
mod guests;
mod host;
mod host_checker;
mod hostile;
mod http;
mod identity;
mod inspect;
mod keeping;
mod languages;
mod long;
mod long_reloads;
mod maintenance;
mod mysql;
mod outages;
mod overload;
mod parity;
mod plugin_dev;
mod plugin_dirs;
mod plugin_files;
mod plugin_gate;
mod plugin_hangs;
mod plugin_memory;
mod plugin_new;
mod plugin_storm;
mod plugins;
mod postgres;
mod quota;
mod readme;
mod refusals;
mod registration;
mod reloads;
mod reports;
mod sdk;
mod secrets;
mod services;
mod slow;
mod startup;
mod state;
mod stopping;
mod tls;
mod toolchains;
mod trial;
