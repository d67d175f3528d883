//! Builds the guests, as the agent's build script builds the bundled checkers, and says where they are.

#[path = "../agent/build_wasm.rs"]
mod build_wasm;

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().context("the tests lie in the workspace")?;
    for path in ["tests/guests", "sdk", "wit", "agent/build_wasm.rs", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let args = ["-p", "vitald-guests", "--examples"].map(str::to_owned);
    let dir = build_wasm::build(root, &out, args.to_vec())?;
    println!("cargo::rustc-env=VITALD_GUESTS_DIR={}", dir.join("examples").display());
    Ok(())
}
