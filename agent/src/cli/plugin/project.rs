//! A plugin's project: its language is known by its files, and each language is built and tested as its people do it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::fault::Fault;
use super::packages;
use super::tools::{Signals, ToolError, succeed};

/// What Rust compiles plugins for.
pub const TARGET: &str = "wasm32-wasip2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Cargo.toml`
    Cargo,
    /// `package.json`
    Npm,
    /// `Makefile`: Python and C.
    Make,
}

#[derive(Debug, Clone)]
pub struct Project {
    /// Absolute, as the kernel has it.
    pub dir: PathBuf,
    pub kind: Kind,
}

impl Project {
    pub fn at(dir: &Path) -> Result<Self, Fault> {
        let real = dir.canonicalize().map_err(Fault::file(dir))?;
        let kinds = [("Cargo.toml", Kind::Cargo), ("package.json", Kind::Npm), ("Makefile", Kind::Make)];
        let kind = kinds.into_iter().find(|(file, _)| real.join(file).is_file()).map(|(_, kind)| kind);
        let kind = kind.ok_or_else(|| Fault::NoProject(dir.to_owned()))?;
        Ok(Self { dir: real, kind })
    }

    /// A program that works in the project.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.dir);
        command
    }

    /// What must be there before building or testing.
    pub async fn prepare(&self, signals: &mut Signals) -> Result<(), ToolError> {
        match self.kind {
            Kind::Cargo | Kind::Make => Ok(()),
            Kind::Npm if packages::are_installed(&self.dir) => Ok(()),
            Kind::Npm => {
                let clean = self.dir.join("package-lock.json").is_file();
                let how = if clean { "ci" } else { "install" };
                succeed(&mut self.command("npm", &[how, "--no-fund", "--no-audit"]), signals).await.map(drop)
            }
        }
    }

    /// Runs its tests.
    pub async fn test(&self, signals: &mut Signals) -> Result<(), ToolError> {
        self.prepare(signals).await?;
        let mut command = match self.kind {
            Kind::Cargo => self.command("cargo", &["test"]),
            Kind::Npm => self.command("npm", &["test"]),
            Kind::Make => self.command("make", &["test"]),
        };
        succeed(&mut command, signals).await.map(drop)
    }

    /// Rust's standard library for plugins is not there by itself.
    pub async fn ensure_target(&self, signals: &mut Signals) -> Result<(), ToolError> {
        let mut ask = self.command("rustc", &["--print", "target-libdir", "--target", TARGET]);
        let asked = succeed(ask.stdout(Stdio::piped()), signals).await?;
        let there = Path::new(String::from_utf8_lossy(&asked.stdout).trim()).is_dir();
        if there {
            return Ok(());
        }
        eprintln!("The target {TARGET} is not installed; adding it by rustup.");
        succeed(&mut self.command("rustup", &["target", "add", TARGET]), signals).await.map(drop)
    }
}

/// This program, as it was called: what is to be typed again.
pub fn called() -> String {
    quoted(&std::env::args().next().unwrap_or_else(|| "vitald".to_owned()))
}

/// For a shell that is to take it as one word.
pub fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}
