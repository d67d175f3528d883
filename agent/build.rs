//! Builds the bundled checkers for wasm32-wasip2 and lists them for `plugins::bundled`, so that the binary is all
//! there is to deploy. `VITALD_PLUGINS_DIR` names a directory with prebuilt ones (`tcp.wasm`, ...) instead.
//! The examples of the SDK are listed for `vitald plugin new`.

#[path = "build_templates.rs"]
mod build_templates;
#[path = "build_wasm.rs"]
mod build_wasm;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    // At run time: a target folder that two clones share may hold a script that the other one built.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().context("the agent lies in the workspace")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=VITALD_PLUGINS_DIR");
    let names = plugin_names(&root.join("plugins"))?;
    let files = match env::var_os("VITALD_PLUGINS_DIR") {
        Some(dir) => prebuilt(Path::new(&dir), &names),
        None => built(root, &out, &names)?,
    };
    let mut list = String::from("pub const BUNDLED: &[(&str, &[u8])] = &[\n");
    for (name, file) in names.iter().zip(files) {
        anyhow::ensure!(file.is_file(), "there is no {}", file.display());
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(list, "    ({name:?}, include_bytes!({:?})),", file.display().to_string())?;
    }
    list.push_str("];\n");
    fs::write(out.join("bundled.rs"), list)?;
    build_templates::list(&root.join("sdk/examples"), &out.join("templates.rs"))?;
    Ok(())
}

fn plugin_names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn prebuilt(dir: &Path, names: &[String]) -> Vec<PathBuf> {
    names.iter().map(|name| dir.join(format!("{name}.wasm"))).collect()
}

fn built(root: &Path, out: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    for path in ["plugins", "sdk", "wit", "Cargo.lock", "Cargo.toml", ".cargo/config.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let packages = names.iter().flat_map(|name| ["-p".to_owned(), format!("vitald-plugin-{name}")]);
    let dir = build_wasm::build(root, out, packages.collect())?;
    Ok(names.iter().map(|name| dir.join(format!("vitald_plugin_{name}.wasm"))).collect())
}
