//! `${env:NAME}` and `${file:NAME}` in strings. Files are read only from below the secret directories, by their real
//! path, so that a name cannot lead out of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

/// A secret is a password or a key, not a document.
const MAX_SECRET: u64 = 64 * 1024;

/// Where secrets come from.
#[derive(Debug, Default)]
pub struct Secrets {
    dirs: Vec<PathBuf>,
    /// Those that were read: one configuration has one value of each, whatever is written meanwhile.
    known: RefCell<BTreeMap<String, String>>,
}

/// A string with its secrets put in.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    pub text: String,
    pub secrets: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{0:?} is not ended by }}")]
    Unclosed(String),
    #[error("${{{0}}} is neither ${{env:NAME}} nor ${{file:NAME}}")]
    Form(String),
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    #[error("there is no secret {name:?} in {}", list(dirs))]
    NoFile { name: String, dirs: Vec<PathBuf> },
    #[error("the secret {0:?} is an absolute path, which leads out of the secret_dirs: write its name there")]
    Absolute(String),
    #[error("the secret {name:?} leads out of {}", dir.display())]
    Outside { name: String, dir: PathBuf },
    #[error("the secret {name:?} is not UTF-8 text")]
    NotText { name: String },
    #[error("the secret {name:?} cannot be read: {source}")]
    Read { name: String, source: FileError },
}

impl SecretError {
    /// Is the text fine, and the secret only not there?
    pub fn is_absence(&self) -> bool {
        !matches!(self, Self::Unclosed(_) | Self::Form(_))
    }
}

fn list(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Secrets {
    pub fn below(dirs: Vec<PathBuf>) -> Self {
        Self { dirs, known: RefCell::default() }
    }

    /// Puts the secrets into a text.
    pub fn resolve(&self, written: &str) -> Result<Resolved, SecretError> {
        let mut text = String::new();
        let mut secrets = Vec::new();
        let mut rest = written;
        while let Some((before, from)) = rest.split_once("${") {
            let (name, after) = from.split_once('}').ok_or_else(|| SecretError::Unclosed(format!("${{{from}")))?;
            let secret = self.one(name)?;
            text.push_str(before);
            text.push_str(&secret);
            secrets.push(secret);
            rest = after;
        }
        text.push_str(rest);
        Ok(Resolved { text, secrets })
    }

    fn one(&self, placeholder: &str) -> Result<String, SecretError> {
        match placeholder.split_once(':') {
            Some(("env", name)) => std::env::var(name).map_err(|_| SecretError::NoVariable(name.to_owned())),
            Some(("file", name)) if !name.is_empty() => self.file(name),
            _ => Err(SecretError::Form(placeholder.to_owned())),
        }
    }

    fn file(&self, name: &str) -> Result<String, SecretError> {
        if let Some(secret) = self.known.borrow().get(name) {
            return Ok(secret.clone());
        }
        if Path::new(name).is_absolute() {
            return Err(SecretError::Absolute(name.to_owned()));
        }
        for dir in &self.dirs {
            if let Some(path) = below(dir, name)? {
                let secret = read(&path, name)?;
                self.known.borrow_mut().insert(name.to_owned(), secret.clone());
                return Ok(secret);
            }
        }
        Err(SecretError::NoFile { name: name.to_owned(), dirs: self.dirs.clone() })
    }
}

/// The real path of a secret in a directory; none if it is not there.
fn below(dir: &Path, name: &str) -> Result<Option<PathBuf>, SecretError> {
    let (Ok(root), Ok(path)) = (dir.canonicalize(), dir.join(name).canonicalize()) else { return Ok(None) };
    if path.starts_with(&root) {
        Ok(Some(path))
    } else {
        Err(SecretError::Outside { name: name.to_owned(), dir: dir.to_owned() })
    }
}

fn read(path: &Path, name: &str) -> Result<String, SecretError> {
    let named = || name.to_owned();
    let bytes = files::read_capped(path, MAX_SECRET).map_err(|source| SecretError::Read { name: named(), source })?;
    let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText { name: named() })?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_the_directories_only() {
        let dir = tempfile::tempdir().expect("tempdir");
        let inside = dir.path().join("secrets");
        std::fs::create_dir(&inside).expect("mkdir");
        std::fs::write(inside.join("db"), "pa$$word\n\n").expect("write");
        std::fs::write(dir.path().join("outside"), "x").expect("write");
        std::os::unix::fs::symlink(dir.path().join("outside"), inside.join("link")).expect("link");
        let secrets = Secrets::below(vec![dir.path().join("absent"), inside.clone()]);
        let resolved = secrets.resolve("u:${file:db}@h").expect("resolves");
        assert_eq!(resolved.text, "u:pa$$word\n@h");
        assert_eq!(resolved.secrets, ["pa$$word\n"]);
        assert!(matches!(secrets.resolve("${file:../outside}"), Err(SecretError::Outside { .. })));
        assert!(matches!(secrets.resolve("${file:link}"), Err(SecretError::Outside { .. })));
        let absolute = secrets.resolve("${file:/etc/shadow}").expect_err("refused");
        assert!(absolute.is_absence() && absolute.to_string().contains("absolute"), "{absolute}");
        assert!(matches!(secrets.resolve("${file:none}"), Err(SecretError::NoFile { .. })));
        assert!(matches!(secrets.resolve("${env:VITALD_NO_SUCH}"), Err(SecretError::NoVariable(_))));
        assert!(matches!(secrets.resolve("${x}"), Err(SecretError::Form(_))));
        assert!(matches!(secrets.resolve("${file:a"), Err(SecretError::Unclosed(_))));
        std::fs::write(inside.join("db"), "changed meanwhile").expect("write");
        assert_eq!(secrets.resolve("${file:db}").expect("resolves").text, "pa$$word\n", "one value of each");
    }
}
