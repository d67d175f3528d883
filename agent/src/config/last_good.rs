//! The last configuration that was good, kept in the state directory: a host that restarts while somebody's edit is
//! wrong goes on with what it had. It holds what was written, so no secret that is named stands in it.

use std::path::{Path, PathBuf};

use crate::files::kept::{self, Unusable};

use super::reading::{absolute, state_dir_of};
use super::{Config, Mistakes, Purpose, Sources, make};

/// Of the form of the file.
const VERSION: u32 = 1;
/// Room for many drop-ins of the largest size.
const MAX_COPY: u64 = 256 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct LastGood {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    #[error("{}: {source}", path.display())]
    Unusable { path: PathBuf, source: Unusable },
    /// Two agents had one state directory, one after the other.
    #[error("{}: it is a copy of {}", path.display(), of.display())]
    Other { path: PathBuf, of: PathBuf },
    #[error("the copy is not good any more:\n{0}")]
    Mistakes(Mistakes),
}

impl LastGoodError {
    /// Is there simply no copy?
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unusable { source, .. } if source.is_missing())
    }
}

impl LastGood {
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("last-good.json") }
    }

    /// What cannot be used is set aside: it may be what a newer agent needs.
    pub fn save(&self, sources: &Sources) -> Result<(), LastGoodError> {
        let _: Option<Sources> = kept::read(&self.path, VERSION, MAX_COPY, "there is a new copy of the configuration");
        kept::write(&self.path, VERSION, sources).map_err(|source| self.unusable(source))
    }

    /// The copy of that main file. One that is damaged stays where it is until the next good configuration is kept.
    pub fn load(&self, main: &Path) -> Result<(Config, Sources), LastGoodError> {
        let sources = self.read(main)?;
        let (config, _) = make(&sources, Purpose::LastGood).map_err(LastGoodError::Mistakes)?;
        for absent in &config.absent {
            let what = if absent.place.key.starts_with("report.") {
                "the report is left out"
            } else {
                "the registry is asked without it, which it may refuse"
            };
            tracing::error!("{absent}; until the next start {what}");
        }
        Ok((config, sources))
    }

    fn read(&self, main: &Path) -> Result<Sources, LastGoodError> {
        let sources: Sources = kept::load(&self.path, VERSION, MAX_COPY).map_err(|source| self.unusable(source))?;
        let of = &sources.main.path;
        let is_same =
            *of == absolute(main) || of.canonicalize().is_ok_and(|of| main.canonicalize().is_ok_and(|main| of == main));
        if is_same { Ok(sources) } else { Err(LastGoodError::Other { path: self.path.clone(), of: of.clone() }) }
    }

    fn unusable(&self, source: Unusable) -> LastGoodError {
        LastGoodError::Unusable { path: self.path.clone(), source }
    }
}

/// The drop-ins that a main file had when it was last good.
pub fn held(main: &Path) -> Vec<PathBuf> {
    let copy = LastGood::new(&state_dir_of(main)).read(main);
    copy.map(|sources| sources.drop_ins.into_iter().map(|file| file.path).collect()).unwrap_or_default()
}
