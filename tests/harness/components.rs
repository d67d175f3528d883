//! The components that other toolchains made: `tests/components/build` puts them into place.

use std::path::Path;

/// A checker of `tests/components`.
pub fn component(name: &str) -> Vec<u8> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/components");
    let path = built.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run tests/components/build {name}", path.display()))
}
