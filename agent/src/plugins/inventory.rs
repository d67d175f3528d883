//! What the plugin directories hold now. Content decides what changed, never a time stamp.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::files;
use crate::model::checkset::PluginInfo;
use crate::model::name::Name;

use super::bundled;
use super::slot::Version;

/// Components made from interpreters have tens of MiB.
const MAX_PLUGIN: u64 = 64 * 1024 * 1024;
const MAX_FILES: usize = 1_000;

#[derive(Debug, Default)]
pub struct Inventory {
    pub files: BTreeMap<Name, Version>,
    pub refused: Vec<Refused>,
    /// Directories that are there and cannot be read: what they hold is not known, so nothing is gone.
    pub unreadable: Vec<String>,
}

/// A file that is not even looked at as a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub path: PathBuf,
    pub name: Option<Name>,
    pub reason: String,
}

impl Refused {
    pub fn info(&self) -> Option<PluginInfo> {
        Some(PluginInfo {
            name: self.name.clone()?,
            source: self.path.display().to_string(),
            state: "broken",
            digest: None,
            version: None,
            summary: None,
            schemes: Vec::new(),
            params_schema: None,
            checks: Vec::new(),
            error: Some(self.reason.clone()),
        })
    }
}

/// SHA-256, in hex.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads all plugins. A directory that is not there holds none. Of what is `known` already, the digest that each
/// name has, the bytes are not kept. Blocking: seconds where there is much to read.
pub fn read(dirs: &[PathBuf], known: &BTreeMap<Name, String>) -> Inventory {
    let mut inventory = Inventory::default();
    let mut paths = Vec::new();
    for dir in dirs {
        match wasm_files(dir) {
            Ok(found) => paths.extend(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => inventory.unreadable.push(format!("{}: {error}", dir.display())),
        }
    }
    for path in paths {
        let name = name_of(&path);
        match version(&path, name.as_ref()) {
            Ok((name, mut version)) => {
                if known.get(&name) == Some(&version.digest) {
                    version.bytes = Arc::from([]);
                }
                inventory.files.entry(name).or_insert(version);
            }
            Err(Some(reason)) => inventory.refused.push(Refused { path, name, reason }),
            Err(None) => {}
        }
    }
    inventory
}

fn wasm_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?;
    let is_plugin = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "wasm")
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(is_plugin).take(MAX_FILES).collect();
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> Option<Name> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The file's version; the reason why it is refused; none if it has gone meanwhile.
fn version(path: &Path, name: Option<&Name>) -> Result<(Name, Version), Option<String>> {
    let Some(name) = name else {
        let text = "its name without .wasm must be 1 to 63 characters of a-z, 0-9, '.', '_', '-': rename it";
        return Err(Some(text.to_owned()));
    };
    if bundled::has(name) {
        let text = format!("{name:?} is a bundled checker, which a file cannot replace yet: rename the file");
        return Err(Some(text));
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    let owned = files::check_owner(dir).and_then(|()| files::check_owner(path));
    let bytes = owned.and_then(|()| files::read_capped(path, MAX_PLUGIN));
    let bytes = bytes.map_err(|error| (!error.is_missing()).then(|| error.to_string()))?;
    let version = Version { source: path.display().to_string(), digest: digest_of(&bytes), bytes: Arc::from(bytes) };
    Ok((name.clone(), version))
}
