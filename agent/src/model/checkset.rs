//! What is to run: the definitions, and each check bound to its checker. Published by `plugins`, read by `schedule`
//! and `health`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
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
    pub rules: PluginRules,
    pub places: Places,
}

/// Which versions of plugins may run: `[plugins]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginRules {
    pub reload: ReloadGate,
    /// Of these only that version: SHA-256, in hex.
    pub pins: BTreeMap<Name, String>,
    /// Bundled checkers whose place a file may take.
    pub overrides: BTreeSet<Name>,
}

/// Which new versions of a plugin are let in by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReloadGate {
    /// Every one that works.
    #[default]
    Auto,
    /// Those that want no more powers than the version before.
    SamePowers,
    /// None: an operator approves.
    Manual,
}

/// Where the definitions and what they need are read from, to be watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// None: there is no main file on disk.
    pub main: Option<PathBuf>,
    /// `*.wasm` in these are plugins; the first directory wins.
    pub plugin_dirs: Vec<PathBuf>,
    pub conf_dirs: Vec<PathBuf>,
    pub secret_dirs: Vec<PathBuf>,
}

/// Reads the definitions again. Implemented above the parts, by the configuration.
pub trait DefinitionSource: Send + Sync {
    /// The definitions as they are on disk now. Blocking. `settled` says that nobody is writing: else what differs from
    /// what runs must be seen twice.
    fn load(&self, settled: bool) -> Reading;
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Good. Equal definitions are the same `Arc`.
    Good {
        definitions: Arc<Definitions>,
        /// What is written otherwise than it runs and only a start takes over: a line each.
        at_next_start: Vec<String>,
    },
    /// Another than at the last look: somebody may be writing. To be looked at again soon.
    Unsettled,
    /// Wrong, which the source has logged and counted; what runs stays as it is.
    Wrong {
        /// A line each.
        mistakes: Vec<String>,
        /// What runs, with its secrets as they are now. Equal definitions are the same `Arc`.
        definitions: Arc<Definitions>,
    },
}

/// All checks, bound.
#[derive(Debug, Clone, Default)]
pub struct CheckSet {
    pub definitions: Arc<Definitions>,
    pub checks: BTreeMap<Name, Arc<dyn Check>>,
    /// What is to be said of a check beside its verdict: that a new version of its plugin is not used, and why.
    pub notices: BTreeMap<Name, Arc<str>>,
    /// False at the start, until what is on disk has been looked at: nothing is decided before. What is still being
    /// compiled then is in the set, and not ready.
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

/// Something a plugin asks for beyond computing. Made of what it imports, but not the imports themselves: those change
/// with any `HashMap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Connections, as its checks are granted.
    Network,
    /// The host's numbers, where its checks are granted them.
    HostNumbers,
    /// Files, of which it is given none.
    Files,
}

impl Power {
    pub fn words(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::HostNumbers => "host numbers",
            Self::Files => "files",
        }
    }
}

pub type Powers = BTreeSet<Power>;

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

    fn powers(&self) -> &Powers;

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
    /// Says nothing of the plugin; it is tried again.
    #[error("it cannot be compiled for now: {0}")]
    NoCompiler(String),
}

/// Makes checkers from the bytes of plugins. Implemented by the sandbox.
pub trait Compiler: Send + Sync {
    /// Takes the compiled code from the cache, or compiles in a process of its own, links, and asks the checker to
    /// describe itself. `digest` is the SHA-256 of `bytes`, in hex. Few are compiled at once; the others wait.
    fn load(
        &self,
        name: Name,
        digest: String,
        bytes: Arc<[u8]>,
    ) -> BoxFuture<'static, Result<Arc<dyn Checker>, LoadError>>;

    /// A version that was compiled before, from the cache alone; none where the cache has it not. Quick.
    fn recall(&self, name: Name, digest: String) -> BoxFuture<'static, Option<Arc<dyn Checker>>>;

    /// Sweeps the cache: of all versions but these the compiled code goes. Blocking.
    fn keep_only(&self, digests: &BTreeSet<String>);
}

/// Where a plugin stands, for `/api/v1/plugins`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PluginInfo {
    pub name: Name,
    /// `bundled`, or the file's path.
    pub source: String,
    /// `ready`, `compiling` (for the first time), `waiting` (it could not be compiled for now), `broken` (no version of
    /// it works), `kept` (the file is broken or does not suit the checks; an earlier version runs on), `pending` (a
    /// version waits to be approved; the one before it, if any, runs on) or `unused` (bundled, and no check names it, so
    /// it is not loaded).
    pub state: &'static str,
    pub digest: Option<String>,
    pub version: Option<String>,
    pub summary: Option<String>,
    pub schemes: Vec<Scheme>,
    pub params_schema: Option<serde_json::Value>,
    /// What the version that runs asks for.
    pub powers: Powers,
    /// The version that waits to be approved.
    pub pending: Option<PendingInfo>,
    /// The digest of a version that is being compiled, beside the one that runs if any.
    pub loading: Option<String>,
    /// Checks that name it.
    pub checks: Vec<Name>,
    /// Why it is broken or kept, or what it waits for.
    pub error: Option<String>,
}

impl PluginInfo {
    /// Of a plugin that nothing more is known of.
    pub fn not_loaded(name: Name, source: String, state: &'static str) -> Self {
        Self {
            name,
            source,
            state,
            digest: None,
            version: None,
            summary: None,
            schemes: Vec::new(),
            params_schema: None,
            powers: Powers::new(),
            pending: None,
            loading: None,
            checks: Vec::new(),
            error: None,
        }
    }
}

/// A version that is not let in before an operator says so.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PendingInfo {
    pub digest: String,
    pub version: String,
    pub powers: Powers,
    /// `it wants more than the version before: network`
    pub why: String,
}

/// A name that a checker gives to a measurement or label: `[a-z_][a-z0-9_]{0,63}`.
pub fn is_metric_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    first && text.len() <= 64 && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
