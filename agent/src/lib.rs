//! The agent `vitald`: runs health checks as sandboxed WebAssembly components, answers `/health` and `/metrics`, and
//! keeps well services registered in etcd.
//!
//! Data flows one way:
//!
//! ```text
//! vitald.toml ─► config ─► app
//! conf_dirs, plugin_dirs ─► plugins ══ watch<Arc<CheckSet>> ══► schedule ── mpsc<Observation> ──► health
//! /proc ─► host ══ watch<Arc<HostSample>> ══► sandbox (import `host`); watch<Arc<HostText>> ══► http
//! health ══ watch<Arc<HealthSnapshot>> ══► http · registry · report · control · schedule (what is being confirmed)
//! registry ══ watch<Arc<RegistryView>> ══► control (`vitald status`, `maintenance`, `handover`)
//! etcd ─► discovery ══ watch<Arc<Set>> ══► http (who else is registered)
//! control ── mpsc<MaintenanceRequest> ──► health; mpsc<PluginRequest> ──► plugins (`vitald reload`, `plugin approve`);
//! what operators ask is answered on the way back
//! ```
//!
//! Layers, imports only downwards: `cli` > `app` > `config` > parts (`plugins`, `sandbox`, `schedule`, `health`,
//! `host`, `registry`, `discovery`, `report`, `control`, `http`) > tools (`supervise`, `serving`, `telemetry`,
//! `exposition`, `clock`, `files`, `tls`, `etcd`) > `model`. Parts never import each other; they meet in `app`.
//! `tests/layers.rs` holds this.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod discovery;
pub mod etcd;
pub mod exposition;
pub mod files;
pub mod health;
pub mod host;
pub mod http;
pub mod model;
pub mod plugins;
pub mod registry;
pub mod report;
pub mod sandbox;
pub mod schedule;
pub mod serving;
pub mod supervise;
pub mod telemetry;
pub mod tls;
