//! What is tried: which plugin, and the check that it is to run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::one::{NoCheck, check_of, hint, plugin_dirs_of};
use crate::config::{DEFAULT_FILE, Mistakes};
use crate::files::FileError;
use crate::model::check::CheckDef;
use crate::model::checkset::PluginRules;
use crate::model::grant::Grant;
use crate::model::name::Name;
use crate::plugins::{self, Found, NotFound, bundled_names, is_bundled};
use crate::{host, sandbox};

use super::super::alone::CONCURRENCY;
use super::super::check::counted;
use super::flags::{FlagError, Flags};

#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error("{}", mistakes(.0))]
    Configuration(#[from] NoCheck),
    #[error("{}", unknown(.0))]
    Plugin(#[from] NotFound),
    #[error("there is no checker {name:?}: a file is named by its path, such as ./{name}.wasm{}", hint(name, known))]
    Name { name: String, known: Vec<String> },
    #[error("{path}: name a check of the file, as in `vitald try --config FILE NAME`", path = .0.display())]
    NoName(PathBuf),
    #[error("name a checker: a .wasm file, {}, or a plugin in a plugin directory", bundled_names().join(", "))]
    Nothing,
}

fn mistakes(error: &NoCheck) -> String {
    match error {
        NoCheck::Mistakes(Mistakes(all)) => {
            format!("{error}\n{} in the configuration", counted(all.len()))
        }
        NoCheck::Unknown { .. } => error.to_string(),
    }
}

fn unknown(error: &NotFound) -> String {
    match error {
        NotFound::Unknown { name, known, unreadable } => {
            let unreadable: String = unreadable.iter().map(|problem| format!("; cannot be read: {problem}")).collect();
            format!("{error}{}{unreadable}", hint(name, known))
        }
        _ => error.to_string(),
    }
}

/// All that a trial needs.
pub struct Subject {
    pub definition: Arc<CheckDef>,
    pub services: Vec<Name>,
    pub plugin: Found,
    pub sandbox: sandbox::Config,
    pub host: host::Config,
    /// What the user should know beside the result.
    pub notes: Vec<String>,
}

impl Subject {
    /// A check that the command line alone describes.
    pub fn given(checker: Option<&str>, flags: &Flags) -> Result<Self, SubjectError> {
        let checker = checker.ok_or(SubjectError::Nothing)?;
        let (name, plugin, mut notes) = plugin(checker)?;
        if plugin.path().is_some() && is_bundled(&name) {
            notes.push(format!(
                "a bundled checker has the name {name}; an agent takes this file only with override = [\"{name}\"] in \
                 [plugins]"
            ));
        }
        let one = flags.definition(&name)?;
        let (definition, services) = (one.definition, Vec::new());
        Ok(Self { definition, services, plugin, sandbox: small(one.config.sandbox), host: one.config.host, notes })
    }

    /// A configured check, changed by the command line.
    pub fn configured(file: &Path, name: Option<&str>, flags: &Flags) -> Result<Self, SubjectError> {
        let name = name.ok_or_else(|| SubjectError::NoName(file.to_owned()))?;
        let replaced: &[&str] = if flags.has_target() { &["target"] } else { &[] };
        let one = check_of(file, name, replaced)?;
        let definition = flags.over(&one.definition)?;
        let definitions = &one.config.definitions;
        let plugin = plugins::find(&definition.checker, &definitions.places.plugin_dirs, &definitions.rules)?;
        let judged = definitions.services.keys().filter(|service| definition.judges.judges(service));
        let services = judged.cloned().collect();
        let mut notes = Vec::new();
        if !one.elsewhere.is_empty() {
            let mistakes = counted(one.elsewhere.len());
            let file = file.display();
            notes.push(format!("the configuration has {mistakes} elsewhere: see `vitald config check {file}`"));
        }
        Ok(Self { definition, services, plugin, sandbox: small(one.config.sandbox), host: one.config.host, notes })
    }

    /// The plugin, in messages.
    pub fn called(&self) -> String {
        self.plugin.called(&self.definition.checker)
    }

    /// Was it granted the host's numbers?
    pub fn reads_host(&self) -> bool {
        self.definition.allow.contains(&Grant::Host)
    }
}

/// One run at a time needs no more, and keeps nothing.
fn small(config: sandbox::Config) -> sandbox::Config {
    sandbox::Config { concurrency: CONCURRENCY, workers: 1, cache_dir: None, ..config }
}

/// A path, a bundled checker, or a file of the plugin directories.
fn plugin(checker: &str) -> Result<(Name, Found, Vec<String>), SubjectError> {
    let path = Path::new(checker);
    if checker.contains('/') || path.extension().is_some_and(|extension| extension == "wasm") {
        let found = Found::file(path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        return match stem.parse() {
            Ok(name) => Ok((name, found, Vec::new())),
            Err(error) => {
                let name = "try".parse().map_err(|_| SubjectError::Nothing)?;
                Ok((name, found, vec![format!("no agent takes a file of this name: {error}")]))
            }
        };
    }
    if let (Some(found), Ok(name)) = (Found::bundled(checker), checker.parse()) {
        return Ok((name, found, Vec::new()));
    }
    let name: Name = checker.parse().map_err(|_| SubjectError::Name {
        name: checker.to_owned(),
        known: bundled_names().into_iter().map(str::to_owned).collect(),
    })?;
    let found = plugins::find(&name, &plugin_dirs_of(Path::new(DEFAULT_FILE)), &PluginRules::default());
    match found {
        Ok(found) => Ok((name, found, Vec::new())),
        // Perhaps a file of that name lies here.
        Err(NotFound::Unknown { known, .. }) if Path::new(&format!("{checker}.wasm")).exists() => {
            Err(SubjectError::Name { name: checker.to_owned(), known })
        }
        Err(error) => Err(error.into()),
    }
}
