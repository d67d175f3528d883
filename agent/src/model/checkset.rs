//! What is to run: the definitions, and each check bound to its checker. Published by `plugins`, read by `schedule`
//! and `health`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::{BoxFuture, Check, CheckDef};
use super::grant::Grants;
use super::name::Name;
use super::service::ServiceDef;
use super::target::Endpoint;

/// What the configuration defines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    pub services: BTreeMap<Name, Arc<ServiceDef>>,
    pub checks: BTreeMap<Name, Arc<CheckDef>>,
}

/// Reads the definitions again. Implemented above the parts, by the configuration.
pub trait DefinitionSource: Send + Sync {
    /// The definitions as they are on disk now; none when they are wrong, which the source has then logged and
    /// counted, and what runs stays as it is.
    fn load(&self) -> Option<Arc<Definitions>>;
}

/// All checks, bound.
#[derive(Debug, Clone, Default)]
pub struct CheckSet {
    pub definitions: Arc<Definitions>,
    pub checks: BTreeMap<Name, Arc<dyn Check>>,
    /// False at the start, until every plugin has been looked at: nothing is decided before.
    pub loaded: bool,
}

/// A form of target that a checker accepts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Scheme {
    pub name: String,
    pub default_port: Option<u16>,
}

/// What a checker says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    pub summary: String,
    pub version: String,
    /// JSON Schema of the parameters, as text. Hostile input until `plugins::schema` has looked at it.
    pub params_schema: String,
    pub schemes: Vec<Scheme>,
}

/// What a check gives a checker when it is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    pub definition: Arc<CheckDef>,
    /// The services that it judges, by name.
    pub services: Vec<Name>,
    pub endpoints: Vec<Endpoint>,
    pub grants: Grants,
}

/// A loaded plugin.
pub trait Checker: Send + Sync {
    fn description(&self) -> &Description;

    /// A check that runs with this checker.
    fn bind(self: Arc<Self>, binding: Binding) -> Arc<dyn Check>;
}

/// Why a plugin could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("not a component: {0}")]
    NotAComponent(String),
    #[error("it does not compile: {0}")]
    Compile(String),
    #[error("it needs what this agent does not offer: {0}")]
    Link(String),
    #[error("it does not fit the sandbox: {0}")]
    TooLarge(String),
    #[error("the agent is too busy to look at it; it is tried again")]
    Overloaded,
    #[error("its describe failed: {0}")]
    Describe(String),
}

/// Makes checkers from the bytes of plugins. Implemented by the sandbox.
pub trait Compiler: Send + Sync {
    /// Compiles, links and asks the checker to describe itself. `digest` is the SHA-256 of `bytes`, in hex.
    fn load(&self, name: Name, digest: String, bytes: Arc<[u8]>) -> BoxFuture<'_, Result<Arc<dyn Checker>, LoadError>>;
}

/// Where a plugin stands, for `/api/v1/plugins`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PluginInfo {
    pub name: Name,
    /// `bundled`, or the file's path.
    pub source: String,
    /// `ready`, `broken` (no version of it works), `kept` (the file is broken or does not suit the checks; an earlier
    /// version runs on) or `unused` (bundled, and no check names it, so it is not loaded).
    pub state: &'static str,
    pub digest: Option<String>,
    pub version: Option<String>,
    pub summary: Option<String>,
    pub schemes: Vec<Scheme>,
    pub params_schema: Option<serde_json::Value>,
    /// Checks that name it.
    pub checks: Vec<Name>,
    /// Why it is broken or kept.
    pub error: Option<String>,
}

/// A name that a checker gives to a measurement or label: `[a-z_][a-z0-9_]{0,63}`.
pub fn is_metric_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    first && text.len() <= 64 && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
