//! The embedded demonstration: it shows the main job on any machine and leaves nothing behind.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use super::validate::DEFAULT_LISTEN;
use super::{Loaded, Mistakes, SourceFile, Sources, build};

const TEXT: &str = include_str!("demo.toml");

/// The demonstration's configuration, on the usual port or, where that is taken, on a free one.
pub fn load(state_dir: &Path) -> Result<Loaded, Mistakes> {
    let port = free_port().unwrap_or(DEFAULT_LISTEN.1);
    let text = TEXT.replace("@PORT@", &port.to_string()).replace("@STATE_DIR@", &state_dir.display().to_string());
    let main = SourceFile { path: "(demonstration)".into(), text };
    let sources = Sources { main, drop_ins: Vec::new() };
    let mut config = build(&sources)?;
    // There is no file to be watched.
    Arc::make_mut(&mut config.definitions).places.main = None;
    Ok(Loaded { config, sources })
}

fn free_port() -> Option<u16> {
    let bind = |port| TcpListener::bind(SocketAddr::from((DEFAULT_LISTEN.0, port)));
    let listener = bind(DEFAULT_LISTEN.1).or_else(|_| bind(0)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}
