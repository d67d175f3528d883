//! The crates as they are published: complete, and all that a checker outside of this workspace needs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = r#"
[package]
name = "outside"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
vitald-sdk = { path = "../vitald-sdk" }

[patch.crates-io]
vitald-sdk-macros = { path = "../vitald-sdk-macros" }

[profile.dev]
debug = false

[workspace]
"#;

const SOURCE: &str = r#"
use vitald_sdk::prelude::*;

/// Waits for a line.
#[params]
struct Banner {
    /// What the first line must start with.
    starts_with: String,
    /// How long ago it may be.
    age: Option<Length>,
}

/// What the next run gets.
#[state]
#[derive(Default)]
struct Seen {
    runs: u32,
    #[serde(default)]
    last: Option<Kind>,
}

#[state]
enum Kind {
    Friendly,
}

#[checker(schemes = ["smtp:25"])]
fn banner(target: Target, params: Banner, run: &mut Run) -> Result<Outcome> {
    let seen = run.state::<Seen>().unwrap_or_default();
    run.set_state(&Seen { runs: seen.runs + 1, last: Some(Kind::Friendly) })?;
    let mut line = String::new();
    BufReader::new(target.connect()?).read_line(&mut line)?;
    run.measure("length", bytes(line.len() as f64));
    if line.starts_with(&params.starts_with) { Ok(up(line)) } else { Ok(down(line)) }
}
"#;

/// What has to be in a published crate beside its code.
const CONTENTS: [(&str, &[&str]); 2] = [
    ("vitald-sdk-macros", &["LICENSE", "src/lib.rs"]),
    ("vitald-sdk", &["LICENSE", "README.md", "src/lib.rs", "wit/v0.1/checker.wit", "wit/v0.1/deps/io.wit"]),
];

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The toolchain's own, without what the cargo that runs the tests was told.
fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(dir);
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// Packages both, and unpacks them side by side. Stays from one run to the next, for the sake of time.
fn unpacked() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("package");
    let target = dir.join("target");
    let packages = ["--package", "vitald-sdk-macros", "--package", "vitald-sdk"];
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    succeed(cargo(sdk).args(["package", "--no-verify", "--allow-dirty", "--target-dir"]).arg(&target).args(packages));
    for (name, contents) in CONTENTS {
        let crate_dir = dir.join(name);
        let _ = fs::remove_dir_all(&crate_dir);
        fs::create_dir_all(&crate_dir).unwrap();
        let archive = target.join(format!("package/{name}-{}.crate", env!("CARGO_PKG_VERSION")));
        succeed(Command::new("tar").arg("-xzf").arg(archive).arg("--strip-components=1").arg("-C").arg(&crate_dir));
        for file in contents {
            assert!(crate_dir.join(file).is_file(), "{name} has no {file}");
        }
    }
    dir
}

#[test]
fn a_checker_builds_from_what_is_published() {
    let dir = unpacked();
    let outside = dir.join("outside");
    fs::create_dir_all(outside.join("src")).unwrap();
    fs::write(outside.join("Cargo.toml"), MANIFEST).unwrap();
    fs::write(outside.join("src/lib.rs"), SOURCE).unwrap();
    // The versions that this workspace is tested with: cargo takes out what is not needed.
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"), outside.join("Cargo.lock")).unwrap();
    let target = dir.join("target");
    succeed(cargo(&outside).args(["build", "--target", "wasm32-wasip2", "--target-dir"]).arg(&target));
    let component = fs::read(target.join("wasm32-wasip2/debug/outside.wasm")).unwrap();
    // WebAssembly, and a component: https://component-model.bytecodealliance.org
    assert_eq!(component.get(..8), Some(&b"\0asm\x0d\0\x01\0"[..]));
}
