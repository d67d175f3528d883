//! The last configuration that was good, kept in the state directory: a host that restarts while somebody's edit is
//! wrong goes on with what it had. It holds what was written, so no secret stands in it.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

use super::{Config, Mistakes, Sources, build};

/// Room for many drop-ins of the largest size.
const MAX_COPY: u64 = 256 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct LastGood {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is damaged: {source}", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("the copy is not good any more:\n{0}")]
    Mistakes(Mistakes),
}

impl LastGood {
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("last-good.json") }
    }

    pub fn save(&self, sources: &Sources) -> Result<(), LastGoodError> {
        let bytes =
            serde_json::to_vec(sources).map_err(|source| LastGoodError::Damaged { path: self.path.clone(), source })?;
        Ok(files::write_atomic(&self.path, &bytes)?)
    }

    pub fn load(&self) -> Result<(Config, Sources), LastGoodError> {
        files::check_owner(&self.path)?;
        let bytes = files::read_capped(&self.path, MAX_COPY)?;
        let sources: Sources = serde_json::from_slice(&bytes)
            .map_err(|source| LastGoodError::Damaged { path: self.path.clone(), source })?;
        let config = build(&sources).map_err(LastGoodError::Mistakes)?;
        Ok((config, sources))
    }
}
