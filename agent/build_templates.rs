//! The examples of the SDK as the templates of `vitald plugin new`: each directory of `sdk/examples` is one, with all
//! that lies in it. What building leaves there is no part of it, nor what cannot be text.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What tools make.
const MADE: [&str; 5] = ["target", "node_modules", "__pycache__", "build", "dist"];
/// Hidden, and part of a project all the same.
const HIDDEN: [&str; 2] = [".cargo", ".gitignore"];

/// Writes the Rust source of the table: language, path, executable, text.
pub fn list(examples: &Path, out: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={}", examples.display());
    let mut source = String::from("pub const TEMPLATES: &[Template] = &[\n");
    for dir in entries(examples)?.into_iter().filter(|path| path.is_dir()) {
        writeln!(source, "    Template {{ name: {:?}, files: &[", name(&dir))?;
        for file in files(&dir)? {
            let path = file.strip_prefix(&dir)?.display().to_string();
            let executable = fs::metadata(&file)?.permissions().mode() & 0o111 != 0;
            let text = file.display().to_string();
            writeln!(
                source,
                "        File {{ path: {path:?}, executable: {executable}, text: include_str!({text:?}) }},"
            )?;
        }
        source.push_str("    ] },\n");
    }
    source.push_str("];\n");
    fs::write(out, source).with_context(|| format!("writing {}", out.display()))
}

/// All files below a directory, in order; a link is what it leads to.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)?.into_iter().filter(|path| belongs(path)) {
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn belongs(path: &Path) -> bool {
    let name = name(path);
    let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
    !hidden && !MADE.contains(&name.as_str()) && path.extension().is_none_or(|extension| extension != "wasm")
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
