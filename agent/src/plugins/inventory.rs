//! What the plugin directories hold now. Content decides what changed, never a time stamp.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::files::{self, FileError, Stamp};
use crate::model::checkset::{PluginInfo, PluginRules};
use crate::model::name::Name;

use super::bundled;
use super::look::At;
use super::settle::Saw;
use super::slot::Version;
use super::whole::Outline;

/// Components made from interpreters have tens of MiB.
pub const MAX_PLUGIN: u64 = 64 * 1024 * 1024;
const MAX_FILES: usize = 1_000;

#[derive(Debug, Default)]
pub struct Inventory {
    pub files: BTreeMap<Name, Version>,
    pub refused: Vec<Refused>,
    /// Directories that are there and cannot be read: what they hold is not known, so nothing is gone.
    pub unreadable: Vec<String>,
    /// Files that have the name of another in an earlier directory, which wins.
    pub shadowed: BTreeSet<PathBuf>,
}

impl Inventory {
    /// The path of each file, and what it holds or why it is refused. One that was written meanwhile is another, also
    /// where it holds the same: nothing, mostly.
    pub fn seen(&self) -> impl Iterator<Item = (String, Saw)> {
        let file = |file: &Version| {
            let what = format!("{} {:?}", file.digest, file.stamp);
            (file.source.clone(), Saw { what, unfinished: file.unfinished })
        };
        let files = self.files.values().map(file);
        let refused = |refused: &Refused| {
            let what = refused.reason.clone();
            (refused.path.display().to_string(), Saw { what, unfinished: false })
        };
        files.chain(self.refused.iter().map(refused))
    }

    fn has(&self, name: &Name) -> bool {
        self.files.contains_key(name) || self.refused.iter().any(|refused| refused.name.as_ref() == Some(name))
    }

    /// A directory has more files than are read.
    fn leave_out(&mut self, dir: &Path, left_out: &[PathBuf]) {
        let Some(first) = left_out.first() else { return };
        let (path, reason) = (
            PathBuf::from(escaped(dir)),
            format!(
                "of its plugin files only {MAX_FILES} are looked at, in the order of their names: not {}, and not the {} \
             after it",
                escaped(first),
                left_out.len() - 1
            ),
        );
        self.refused.push(Refused { path, name: None, reason });
    }
}

/// A file that is not even looked at as a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub path: PathBuf,
    pub name: Option<Name>,
    pub reason: String,
}

impl Refused {
    /// Is it refused for its name, which it would take from a bundled checker? Others may be readable again later.
    pub fn takes_a_name(&self, rules: &PluginRules) -> bool {
        self.name.as_ref().is_some_and(|name| bundled::has(name) && !rules.overrides.contains(name))
    }

    pub fn info(&self) -> Option<PluginInfo> {
        let info = PluginInfo::not_loaded(self.name.clone()?, self.path.display().to_string(), "broken");
        Some(PluginInfo { error: Some(self.reason.clone()), ..info })
    }
}

/// SHA-256, in hex.
pub fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads all plugins. A directory that is not there holds none. Blocking: seconds where there is much to read.
pub fn read(dirs: &[PathBuf], overrides: &BTreeSet<Name>, at: &At) -> Inventory {
    let mut inventory = Inventory::default();
    let mut paths = Vec::new();
    for dir in dirs {
        at.is(dir);
        match wasm_files(dir) {
            Ok(mut found) => {
                let left_out = found.split_off(MAX_FILES.min(found.len()));
                inventory.leave_out(dir, &left_out);
                paths.extend(found);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => inventory.unreadable.push(format!("{}: {error}", dir.display())),
        }
    }
    for path in paths {
        at.is(&path);
        let name = name_of(&path);
        // Also what is refused: an older version in a later directory is not what somebody wanted instead.
        if name.as_ref().is_some_and(|name| inventory.has(name)) {
            inventory.shadowed.insert(path);
            continue;
        }
        match version(&path, name.as_ref(), overrides) {
            Ok((name, version)) => {
                inventory.files.insert(name, version);
            }
            Err(Some(reason)) => {
                let path = PathBuf::from(escaped(&path));
                inventory.refused.push(Refused { path, name, reason });
            }
            Err(None) => {}
        }
    }
    inventory
}

fn wasm_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_plugin = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "wasm")
    };
    let paths: std::io::Result<Vec<PathBuf>> = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.retain(is_plugin);
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> Option<Name> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The file's version; the reason why it is refused; none if it has gone meanwhile.
fn version(path: &Path, name: Option<&Name>, overrides: &BTreeSet<Name>) -> Result<(Name, Version), Option<String>> {
    let Some(name) = name else {
        let text = "its name without .wasm must be 1 to 63 characters of a-z, 0-9, '.', '_', '-': rename it";
        return Err(Some(text.to_owned()));
    };
    if bundled::has(name) && !overrides.contains(name) {
        return Err(Some(format!(
            "{name}.wasm has a bundled checker's name: write override = [\"{name}\"] in [plugins] to let it take its \
             place, or rename the file"
        )));
    }
    let (mut hash, mut outline) = (Sha256::new(), Outline::default());
    let read = check_owners(path).and_then(|()| {
        files::read_pieces(path, MAX_PLUGIN, |piece| {
            hash.update(piece);
            outline.take(piece);
        })
    });
    read.map_err(|error| if error.is_missing() { leads_nowhere(path) } else { Some(error.to_string()) })?;
    let (source, stamp) = (path.display().to_string(), Stamp::of(path));
    Ok((
        name.clone(),
        Version {
            source,
            digest: hex(&hash.finalize()),
            whole: outline.is_whole(),
            unfinished: outline.is_unfinished(),
            stamp,
        },
    ))
}

/// Why there is nothing to read where a link is.
fn leads_nowhere(path: &Path) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    Some(format!("it is a link to {}, which is not there", escaped(&target)))
}

/// A name may have line breaks in it, and is to be found again by what is shown.
fn escaped(path: &Path) -> String {
    let mut line = String::new();
    for c in path.display().to_string().chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

fn check_owners(path: &Path) -> Result<(), FileError> {
    files::check_owner(path.parent().unwrap_or(Path::new("/")))?;
    files::check_owner(path)
}

/// What a file holds now, with its digest: it may be another than was looked at. None where it is not to be used, which
/// the next look sees too. Blocking.
pub fn content(path: &Path) -> Option<(String, Arc<[u8]>)> {
    check_owners(path).ok()?;
    let bytes = files::read_capped(path, MAX_PLUGIN).ok()?;
    Some((digest_of(&bytes), Arc::from(bytes)))
}
