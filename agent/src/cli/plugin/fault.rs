//! Why work on a plugin's project came to nothing: what is wrong where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::project::called;
use super::tools::ToolError;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(
        "{}: no project of a plugin: there is neither Cargo.toml nor package.json nor Makefile; `{} plugin new NAME` \
         makes one", .0.display(), called()
    )]
    NoProject(PathBuf),
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file of the project says what cannot be.
    #[error("{}: {what}", path.display())]
    Wrong { path: PathBuf, what: String },
    #[error("{}: the build made no plugin; Cargo.toml needs [lib] with crate-type = [\"cdylib\"]", .0.display())]
    NoArtifact(PathBuf),
    #[error("{}: the build left no .wasm file there", .0.display())]
    NoFile(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{file}: no agent would load it: {why}")]
    Unusable { file: String, why: String },
    #[error("this process has nothing to work with: {0}")]
    Own(#[from] io::Error),
}

impl Fault {
    /// For `map_err`.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// Says it; returns the exit code.
    pub fn report(&self) -> u8 {
        eprintln!("vitald: {self}");
        super::EXIT_FAILED
    }
}
