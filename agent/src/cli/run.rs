//! `vitald run`

use std::path::Path;

use crate::app::{App, BuildError};
use crate::config::{self, DEFAULT_FILE, EXIT_CONFIG, LastGood, Loaded, Mistakes, Origin};
use crate::files::FileError;
use crate::supervise::EXIT_DIED;

/// Runs the agent with a main file.
pub fn run(file: &Path, strict: bool) -> u8 {
    match config::load(file) {
        Ok(loaded) => start(loaded, Origin::File),
        Err(mistakes) => go_on_with_copy(file, &mistakes, strict),
    }
}

/// There is no main file at all.
pub fn no_file() -> u8 {
    eprintln!(
        "vitald: there is no {DEFAULT_FILE}\n\
         Name a file with `vitald run --config FILE`, or try `vitald demo`, which needs none."
    );
    EXIT_CONFIG
}

/// A host that restarts while somebody's edit is wrong goes on with what it had.
fn go_on_with_copy(file: &Path, mistakes: &Mistakes, strict: bool) -> u8 {
    let copy = LastGood::new(&config::state_dir_of(file));
    let loaded = if strict || !file.exists() { None } else { copy.load(file).map_err(note).ok() };
    let Some((config, sources)) = loaded else {
        eprintln!("vitald: the configuration cannot be used:\n{mistakes}");
        return EXIT_CONFIG;
    };
    for mistake in &mistakes.0 {
        tracing::error!("configuration not used: {mistake}");
    }
    tracing::error!("the agent runs on its last good configuration, until the mistakes above are mended");
    start(Loaded { config, sources }, Origin::LastGood)
}

fn note(error: config::LastGoodError) {
    if !error.is_missing() {
        tracing::warn!("the last good copy of the configuration cannot be used: {error}");
    }
}

/// Builds and runs the agent; says where it answers.
pub fn start(loaded: Loaded, origin: Origin) -> u8 {
    let (agent, alone) = (loaded.config.agent_id.clone(), loaded.config.registry.is_none());
    let app = match App::build(loaded, origin) {
        Ok(app) => app,
        Err(error) => {
            eprintln!("vitald: {error}");
            return exit_code(&error);
        }
    };
    for address in app.addresses() {
        let local = address.ip().is_loopback() && origin != Origin::Demo;
        let advice =
            if local { "; for load balancers and Prometheus elsewhere write listen = [\"0.0.0.0:9720\"]" } else { "" };
        tracing::info!("vitald {} agent {agent} answers at http://{address}{advice}", env!("CARGO_PKG_VERSION"));
    }
    if alone && origin != Origin::Demo {
        tracing::info!("there is no [registry]: the agent stands alone and registers nothing");
    }
    app.run().unwrap_or_else(|error| {
        tracing::error!("the agent cannot run: {error}");
        EXIT_DIED
    })
}

fn exit_code(error: &BuildError) -> u8 {
    match error {
        BuildError::Bind(_) | BuildError::State(FileError::Locked { .. }) => EXIT_CONFIG,
        _ => EXIT_DIED,
    }
}
