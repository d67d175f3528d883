//! The nested cargo that makes components. Included by build scripts (this crate's and that of the tests).

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// What the outer cargo sets for its own compilations; under clippy, for one, it would otherwise yield no wasm.
const NOT_OURS: [&str; 4] = ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"];
const NOT_OURS_PREFIXES: [&str; 2] = ["CARGO_BUILD_", "CARGO_PROFILE_"];

/// Runs `cargo build` for the wasm target with these arguments; returns the directory that the components lie in.
///
/// All build scripts of one target folder share one nested folder: two cargos on one folder would wait for each other.
pub fn build(root: &Path, out_dir: &Path, args: Vec<String>) -> Result<PathBuf> {
    // <target>/<profile>/build/<package>-<hash>/out
    let target_dir = out_dir.ancestors().nth(4).context("OUT_DIR lies in a target folder")?.join("wasm");
    ensure_target()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["build", "--locked", "--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(&target_dir)
        .args(args);
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| is_not_ours(name)) {
        command.env_remove(name);
    }
    let status = command.status().context("running the nested cargo")?;
    if !status.success() {
        bail!("building the components failed, see above");
    }
    Ok(target_dir.join(TARGET).join(PROFILE))
}

fn is_not_ours(name: &str) -> bool {
    NOT_OURS.contains(&name) || NOT_OURS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Without the target's standard library the nested build would fail with an error about `core`.
fn ensure_target() -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("asking rustc for its wasm target")?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && dir.is_dir() {
        return Ok(());
    }
    bail!(
        "the Rust target {TARGET} is not installed; add it with\n\n    rustup target add {TARGET}\n\n(or name a \
         directory with prebuilt checkers in VITALD_PLUGINS_DIR)"
    )
}
