//! The configuration, in two steps: [`raw`] is what was typed, [`validate`] and [`entries`] are what it means. Every
//! mistake is reported at once, with its file, line and key path; a configuration with a mistake in its text changes
//! nothing that runs.
//!
//! The main file and the drop-ins (`*.toml` in the conf dirs, services and checks only) are one configuration.
//! Whoever can write them is trusted, so files that others can write are refused.

pub mod demo;
mod entries;
mod host;
mod last_good;
mod powers;
mod raw;
mod registry;
mod report;
mod secrets;
mod source;
mod table;
mod units;
mod validate;
mod whereabouts;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{self, FileError};
use crate::model::checkset::Definitions;
use crate::model::name::Name;
use crate::{discovery, health, http, plugins, sandbox, schedule};

use self::entries::{Defaults, Entries};
use self::raw::{RawAgent, RawEntries, RawMain};
use self::secrets::Secrets;
use self::table::{Context, Kind, Place, Table};

pub use self::last_good::{LastGood, LastGoodError};
pub use self::source::ReloadingSource;
pub use self::table::Mistake;
pub use self::validate::default_state_dir;
pub use self::whereabouts::{Whereabouts, whereabouts_of};

/// The exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;
/// Where the main file is looked for unless `--config` says otherwise.
pub const DEFAULT_FILE: &str = "/etc/vitald/vitald.toml";

/// A configuration is written by people: larger files are something else.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// More drop-ins than a host has checks.
const MAX_FILES: usize = 20_000;

/// Where the running configuration comes from; `config` in `/health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    File,
    Demo,
    LastGood,
}

impl Origin {
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Demo => "demo",
            Self::LastGood => "last-good",
        }
    }
}

/// Everything, validated: what each part is built from.
#[derive(Debug)]
pub struct Config {
    pub agent_id: Name,
    pub state_dir: PathBuf,
    pub http: http::Config,
    pub plugins: plugins::Config,
    pub sandbox: sandbox::Config,
    pub schedule: schedule::Config,
    pub health: health::Config,
    pub host: crate::host::Config,
    /// None: the agent stands alone.
    pub registry: Option<crate::registry::Config>,
    /// None: nothing is consumed.
    pub discovery: Option<discovery::Config>,
    /// None: nothing is reported.
    pub report: Option<crate::report::Config>,
    pub definitions: Arc<Definitions>,
}

/// A configuration with mistakes, all of them.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// A file of the configuration, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    pub path: PathBuf,
    pub text: String,
}

/// All that was read for one configuration: enough to make it again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sources {
    pub main: SourceFile,
    pub drop_ins: Vec<SourceFile>,
}

/// A configuration and what it was made from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub sources: Sources,
}

/// Reads the main file and its drop-ins.
pub fn load(path: &Path) -> Result<Loaded, Mistakes> {
    let main = read_file(path).map_err(|error| Mistakes(vec![in_file(path, error.to_string())]))?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let main = SourceFile { path, text: main };
    let (drop_ins, mut mistakes) = read_drop_ins(&conf_dirs_of(&main));
    let sources = Sources { main, drop_ins };
    match build(&sources) {
        Ok(config) if mistakes.is_empty() => Ok(Loaded { config, sources }),
        Ok(_) => Err(Mistakes(mistakes)),
        Err(Mistakes(more)) => {
            mistakes.extend(more);
            Err(Mistakes(mistakes))
        }
    }
}

/// The state directory that a main file names, as far as it can be read: where its last good copy lies.
pub fn state_dir_of(path: &Path) -> PathBuf {
    let text = read_file(path).unwrap_or_default();
    with_agent(&SourceFile { path: path.to_owned(), text }, |raw, base| {
        raw.and_then(|raw| raw.state_dir.as_ref()).map(|field| base.join(&field.value))
    })
    .unwrap_or_else(default_state_dir)
}

fn conf_dirs_of(main: &SourceFile) -> Vec<PathBuf> {
    with_agent(main, |raw, base| {
        validate::directories(raw.map_or(&None, |raw| &raw.conf_dirs), &["/etc/vitald/conf.d"], base)
    })
}

/// A first look at `[agent]` alone, whose mistakes the second look reports.
fn with_agent<T>(main: &SourceFile, look: impl FnOnce(Option<&RawAgent>, &Path) -> T) -> T {
    let secrets = Secrets::default();
    let base = main.path.parent().unwrap_or(Path::new("/"));
    let context = Context { secrets: &secrets, base, mistakes: RefCell::default() };
    let mut table = Table::parse(&main.text, &main.path, &context);
    let agent = table.table("agent").map(RawAgent::read);
    look(agent.as_ref(), base)
}

fn read_file(path: &Path) -> Result<String, FileError> {
    files::check_owner(path)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        files::check_owner(dir)?;
    }
    let bytes = files::read_capped(path, MAX_FILE)?;
    String::from_utf8(bytes).map_err(|error| FileError::Io {
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, format!("not UTF-8 text: {error}")),
    })
}

fn in_file(path: &Path, problem: String) -> Mistake {
    let place = Place { file: path.to_owned(), ..Place::default() };
    Mistake { place, problem, kind: Kind::Meaning }
}

/// All `*.toml` of the conf dirs, in the order of their names. A directory that is not there holds none.
fn read_drop_ins(dirs: &[PathBuf]) -> (Vec<SourceFile>, Vec<Mistake>) {
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    for dir in dirs {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                mistakes.push(in_file(dir, error.to_string()));
                continue;
            }
        };
        let mut paths: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_drop_in(path)).take(MAX_FILES).collect();
        paths.sort();
        for path in paths {
            match read_file(&path) {
                Ok(text) => found.push(SourceFile { path, text }),
                // It went between the listing and the reading; the next look will not list it.
                Err(error) if error.is_missing() => {}
                Err(error) => mistakes.push(in_file(&path, error.to_string())),
            }
        }
    }
    (found, mistakes)
}

/// Editors' and tools' temporary files start with a dot.
fn is_drop_in(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "toml")
}

/// Makes a configuration from its sources.
pub fn build(sources: &Sources) -> Result<Config, Mistakes> {
    let base = sources.main.path.parent().unwrap_or(Path::new("/"));
    let secret_dirs =
        with_agent(&sources.main, |raw, _| validate::secret_dirs(raw.map_or(&None, |raw| &raw.secret_dirs), base));
    let secrets = Secrets { dirs: secret_dirs.clone() };
    let context = Context { secrets: &secrets, base, mistakes: RefCell::default() };
    let config = assemble(sources, secret_dirs, &context);
    let mut mistakes = context.mistakes.into_inner();
    mistakes.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    drop_consequences(&mut mistakes);
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(Mistakes(mistakes)),
    }
}

/// Of a line that is not TOML only that is said, once.
fn drop_consequences(mistakes: &mut Vec<Mistake>) {
    let mut broken: Vec<(PathBuf, usize, bool)> = Vec::new();
    for mistake in mistakes.iter().filter(|mistake| mistake.kind == Kind::Syntax) {
        broken.push((mistake.place.file.clone(), mistake.place.line, false));
    }
    mistakes.retain(|mistake| {
        let line = broken.iter_mut().find(|(file, line, _)| *file == mistake.place.file && *line == mistake.place.line);
        line.is_none_or(|(_, _, said)| mistake.kind == Kind::Syntax && !std::mem::replace(said, true))
    });
}

fn assemble(sources: &Sources, secret_dirs: Vec<PathBuf>, context: &Context<'_>) -> Option<Config> {
    let main = &sources.main;
    let raw = RawMain::read(Table::parse(&main.text, &main.path, context));
    let file = Place { file: main.path.clone(), ..Place::default() };
    let agent = validate::agent(raw.agent.as_ref(), &file, secret_dirs, context);
    let host = self::host::host(raw.host.as_ref(), context);
    let defaults = Defaults::new(raw.defaults.as_ref(), context);
    // Mistakes in the entries are to be found even if the agent has no id.
    let id = agent.as_ref().map(|agent| agent.id.clone()).or_else(|| "agent".parse().ok())?;
    let sandbox = validate::sandbox(raw.sandbox.as_ref(), raw.dns.as_ref(), &id, context);
    let mut entries = Entries::new(&id, &defaults, context);
    entries.add(&raw.entries);
    for file in &sources.drop_ins {
        entries.add(&RawEntries::read(Table::parse(&file.text, &file.path, context)));
    }
    let (definitions, places) = entries.finish();
    let targets = report::reports(&raw.reports, context);
    let agent = agent?;
    let registry = raw.registry.as_ref().and_then(|raw| {
        let config = registry::registry(raw, &agent, context)?;
        registry::clashes(raw, &config, &definitions, |service| places.get(service).cloned(), context);
        Some(config)
    });
    let discovery = raw.discovery.as_ref().and_then(|raw| registry::discovery(raw, registry.as_ref(), context));
    Some(Config {
        http: http::Config { listen: agent.listen.clone() },
        plugins: plugins::Config {
            plugin_dirs: agent.plugin_dirs,
            conf_dirs: agent.conf_dirs,
            secret_dirs: agent.secret_dirs,
        },
        schedule: schedule::Config { concurrency: sandbox.concurrency },
        sandbox,
        health: health::Config { state_dir: agent.state_dir.clone() },
        host,
        registry,
        discovery,
        report: (!targets.is_empty()).then(|| crate::report::Config {
            agent_id: agent.id.clone(),
            state_dir: agent.state_dir.clone(),
            targets,
        }),
        definitions: Arc::new(definitions),
        agent_id: agent.id,
        state_dir: agent.state_dir,
    })
}

#[cfg(test)]
mod tests;
