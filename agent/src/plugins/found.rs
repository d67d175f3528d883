//! One plugin, found as the agent finds it, and a check bound to it: for `vitald try` and
//! `vitald plugin inspect`, which run no agent. Nothing is
//! remembered here, so it is not asked whether somebody approved the version that lies there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{self, FileError};
use crate::model::check::{Check, CheckDef};
use crate::model::checkset::{Checker, PluginRules};
use crate::model::name::Name;

use super::look::At;
use super::schema::SchemaError;
use super::slot::Ready;
use super::{bind, bundled, gate, inventory};

/// A plugin's bytes, and where they are from.
#[derive(Debug, Clone)]
pub struct Found {
    /// `bundled`, or the file's path.
    pub source: String,
    /// SHA-256, in hex.
    pub digest: String,
    pub bytes: Arc<[u8]>,
}

impl Found {
    fn new(source: String, bytes: Arc<[u8]>) -> Self {
        Self { source, digest: inventory::digest_of(&bytes), bytes }
    }

    /// A file, wherever it lies.
    pub fn file(path: &Path) -> Result<Self, FileError> {
        let bytes = files::read_capped(path, inventory::MAX_PLUGIN)?;
        Ok(Self::new(path.display().to_string(), Arc::from(bytes)))
    }

    pub fn bundled(name: &str) -> Option<Self> {
        Some(Self::new(bundled::SOURCE.to_owned(), Arc::from(bundled::bytes(name)?)))
    }

    /// None: it is bundled.
    pub fn path(&self) -> Option<&str> {
        Some(self.source.as_str()).filter(|source| *source != bundled::SOURCE)
    }

    /// `the bundled checker redis`, or the file's path.
    pub fn called(&self, name: &str) -> String {
        self.path().map_or_else(|| format!("the bundled checker {name}"), str::to_owned)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    #[error("the plugin {name} is not loaded: {reason}")]
    Refused { name: Name, reason: String },
    #[error("the plugin {name} from {path} is not used: {why}")]
    Pinned { name: Name, path: String, why: String },
    #[error("{path} cannot be read any more as it was seen")]
    Gone { path: String },
    /// With all that there is.
    #[error("there is no checker {name:?}")]
    Unknown { name: Name, known: Vec<String>, unreadable: Vec<String> },
}

/// Looks through the plugin directories, then among what is bundled. Blocking.
pub fn find(name: &Name, dirs: &[PathBuf], rules: &PluginRules) -> Result<Found, NotFound> {
    let inventory = inventory::read(dirs, &rules.overrides, &At::default());
    if let Some(version) = inventory.files.get(name) {
        let path = version.source.clone();
        let Some((digest, bytes)) = inventory::content(Path::new(&path)) else { return Err(NotFound::Gone { path }) };
        return match gate::against_pin(rules, name, &digest) {
            Some(why) => Err(NotFound::Pinned { name: name.clone(), path, why }),
            None => Ok(Found { source: path, digest, bytes }),
        };
    }
    let refused = inventory.refused.iter().find(|refused| refused.name.as_ref() == Some(name));
    // A file that may not take a bundled checker's name leaves that in place.
    if let Some(refused) = refused.filter(|refused| !refused.takes_a_name(rules)) {
        return Err(NotFound::Refused { name: name.clone(), reason: refused.reason.clone() });
    }
    Found::bundled(name).ok_or_else(|| {
        let bundled = bundled::names().into_iter().map(str::to_owned);
        let known = bundled.chain(inventory.files.keys().map(Name::to_string)).collect();
        NotFound::Unknown { name: name.clone(), known, unreadable: inventory.unreadable }
    })
}

/// Why a check cannot run with a checker.
#[derive(Debug, thiserror::Error)]
pub enum Unsuited {
    #[error("its params-schema is not usable: {0}")]
    Schema(#[from] SchemaError),
    #[error("{0}")]
    /// Its parameters, its target, or a secret that cannot be had.
    Check(String),
}

/// Binds a check as the agent does.
pub fn bound(
    checker: Arc<dyn Checker>,
    definition: &Arc<CheckDef>,
    services: Vec<Name>,
) -> Result<Arc<dyn Check>, Unsuited> {
    if let Some(problem) = &definition.problem {
        return Err(Unsuited::Check(problem.clone()));
    }
    let ready = Ready::new(String::new(), String::new(), checker)?;
    let binding = bind::binding(definition, services, &ready).map_err(Unsuited::Check)?;
    Ok(ready.checker.bind(binding))
}
