//! The components that the tests hand to the agent.

use std::path::{Path, PathBuf};

/// Where the build script put the guests.
const GUESTS: &str = env!("VITALD_GUESTS_DIR");

/// A checker of `tests/guests`.
pub fn guest(name: &str) -> Vec<u8> {
    read(&Path::new(GUESTS).join(format!("{name}.wasm")))
}

/// A bundled checker, as the agent's build made it.
pub fn bundled(name: &str) -> Vec<u8> {
    read(&Path::new(GUESTS).join(format!("../vitald_plugin_{name}.wasm")))
}

fn read(path: &PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo build --release` first", path.display()))
}
