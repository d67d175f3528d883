//! One plugin name: the version that runs, and the one that was tried last.

use std::sync::Arc;

use crate::model::check::CheckDef;
use crate::model::checkset::{Checker, LoadError, PluginInfo};
use crate::model::name::Name;
use crate::model::target::Endpoint;

use super::bind;
use super::schema::{ParamsSchema, SchemaError};

/// The bytes of a plugin, and where they are from.
#[derive(Debug, Clone)]
pub struct Version {
    /// `bundled`, or the file's path.
    pub source: String,
    /// SHA-256 of the bytes, in hex.
    pub digest: String,
    pub bytes: Arc<[u8]>,
}

/// A version that works.
pub struct Ready {
    pub checker: Arc<dyn Checker>,
    pub schema: ParamsSchema,
    digest: String,
}

impl Ready {
    /// Where a check may connect to with this version; why it does not take the check's parameters or target.
    pub fn suits(&self, check: &CheckDef) -> Result<Vec<Endpoint>, String> {
        self.schema.check(&check.params)?;
        bind::endpoints(check, self.checker.description())
    }
}

/// Why a version is not used.
#[derive(Debug, thiserror::Error)]
pub enum NotUsed {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its params-schema is not usable: {0}")]
    Schema(#[from] SchemaError),
    #[error("it does not suit check {check}, which runs: {problem}")]
    Unsuitable { check: Name, problem: String },
}

pub struct Slot {
    source: String,
    ready: Option<Ready>,
    /// The digest that was tried last, and what was wrong with it.
    tried: String,
    error: Option<String>,
}

impl Slot {
    pub fn new(version: &Version) -> Self {
        Self { source: version.source.clone(), ready: None, tried: String::new(), error: None }
    }

    pub fn is_file(&self) -> bool {
        self.source != "bundled"
    }

    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    pub fn ready(&self) -> Option<&Ready> {
        self.ready.as_ref()
    }

    /// Why there is nothing to run with.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The digest that was tried last.
    pub fn tried(&self) -> &str {
        &self.tried
    }

    pub fn has_tried(&self, version: &Version) -> bool {
        self.tried == version.digest
    }

    pub fn version_text(&self) -> String {
        self.ready.as_ref().map(|ready| ready.checker.description().version.clone()).unwrap_or_default()
    }

    /// Swaps the new version in, unless it is worse than what there is.
    pub fn take<'a>(
        &mut self,
        version: &Version,
        loaded: Result<Arc<dyn Checker>, LoadError>,
        used_by: impl Iterator<Item = &'a CheckDef>,
    ) -> Result<(), NotUsed> {
        self.tried.clone_from(&version.digest);
        self.source.clone_from(&version.source);
        let result = loaded.map_err(NotUsed::from).and_then(|checker| {
            let schema = ParamsSchema::parse(&checker.description().params_schema)?;
            let next = Ready { checker, schema, digest: version.digest.clone() };
            self.refuse_regression(&next, used_by)?;
            Ok(next)
        });
        match result {
            Ok(ready) => {
                self.ready = Some(ready);
                self.error = None;
                Ok(())
            }
            Err(error) => {
                self.error = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// A check that runs must not be stopped by a new version of its checker.
    fn refuse_regression<'a>(
        &self,
        next: &Ready,
        mut used_by: impl Iterator<Item = &'a CheckDef>,
    ) -> Result<(), NotUsed> {
        let Some(ready) = &self.ready else { return Ok(()) };
        let lost = used_by.find_map(|check| {
            let problem = next.suits(check).err()?;
            ready.suits(check).is_ok().then(|| NotUsed::Unsuitable { check: check.name.clone(), problem })
        });
        lost.map_or(Ok(()), Err)
    }

    pub fn info(&self, name: &Name, checks: Vec<Name>) -> PluginInfo {
        let description = self.ready.as_ref().map(|ready| ready.checker.description());
        let state = match (&self.ready, &self.error) {
            (Some(_), None) => "ready",
            (Some(_), Some(_)) => "kept",
            (None, _) => "broken",
        };
        PluginInfo {
            name: name.clone(),
            source: self.source.clone(),
            state,
            digest: self.ready.as_ref().map(|ready| ready.digest.clone()),
            version: description.map(|description| description.version.clone()),
            summary: description.map(|description| description.summary.clone()),
            schemes: description.map(|description| description.schemes.clone()).unwrap_or_default(),
            params_schema: description.and_then(|d| serde_json::from_str(&d.params_schema).ok()),
            checks,
            error: self.error.clone(),
        }
    }
}

/// A bundled checker that no check names.
pub fn unused(name: Name, version: &Version) -> PluginInfo {
    PluginInfo {
        name,
        source: version.source.clone(),
        state: "unused",
        digest: Some(version.digest.clone()),
        version: None,
        summary: None,
        schemes: Vec::new(),
        params_schema: None,
        checks: Vec::new(),
        error: None,
    }
}
