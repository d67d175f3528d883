//! The agent `vitald`: runs health checks as sandboxed WebAssembly components, answers `/health` and `/metrics`, and
//! keeps well services registered in etcd.
//!
//! Data flows one way:
//!
//! ```text
//! vitald.toml ─► config ─► app
//! conf_dirs, plugin_dirs ─► plugins ══ watch<Arc<CheckSet>> ══► schedule ── mpsc<Observation> ──► health
//! /proc ─► host ══ watch<Arc<HostSample>> ══► sandbox (import `host`), http
//! health ══ watch<Arc<HealthSnapshot>> ══► http · registry · schedule (what is being confirmed)
//! ```
//!
//! Layers, imports only downwards: `cli` > `app` > `config` > parts (`plugins`, `sandbox`, `schedule`, `health`,
//! `host`, `registry`, `http`) > tools (`supervise`, `telemetry`, `clock`, `files`, `tls`) > `model`. Parts never import each
//! other; they meet in `app`. `tests/layers.rs` holds this.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod files;
pub mod health;
pub mod host;
pub mod http;
pub mod model;
pub mod plugins;
pub mod registry;
pub mod sandbox;
pub mod schedule;
pub mod supervise;
pub mod telemetry;
pub mod tls;
