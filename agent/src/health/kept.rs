//! A file of the state directory that is read at a start: of a version that we know, ours, and whole. What cannot be used
//! is set aside, so that nothing is lost, and the agent starts without it.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::files;

#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    File(#[from] files::FileError),
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("it has version {found}; this agent knows {known}")]
    Version { found: u32, known: u32 },
}

#[derive(serde::Deserialize)]
struct Header {
    version: u32,
}

/// What the file holds; none where there is none, or none of use. `without` says what that means.
pub fn read<T: DeserializeOwned>(path: &Path, version: u32, limit: u64, without: &str) -> Option<T> {
    match parse(path, version, limit) {
        Ok(content) => Some(content),
        Err(Unusable::File(error)) if error.is_missing() => None,
        Err(error) => {
            let aside = path.with_extension("json.unusable");
            let kept = std::fs::rename(path, &aside).is_ok();
            let kept = if kept { format!("; it was set aside as {}", aside.display()) } else { String::new() };
            tracing::warn!("{without}: {} is not used: {error}{kept}", path.display());
            None
        }
    }
}

fn parse<T: DeserializeOwned>(path: &Path, version: u32, limit: u64) -> Result<T, Unusable> {
    files::check_owner(path)?;
    let bytes = files::read_capped(path, limit)?;
    // Of another version only the version can be read.
    let Header { version: found } = serde_json::from_slice(&bytes)?;
    if found != version {
        return Err(Unusable::Version { found, known: version });
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// Replaces the file.
pub fn write<T: serde::Serialize>(path: &Path, content: &T) -> Result<(), Unusable> {
    Ok(files::write_atomic(path, &serde_json::to_vec(content)?)?)
}
