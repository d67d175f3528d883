//! The configuration, in two steps: [`raw`] is what was typed, [`validate`] and [`entries`] are what it means. Every
//! mistake is reported at once, with its file, line and key path; a configuration with a mistake in its text changes
//! nothing that runs.
//!
//! The main file and the drop-ins (`*.toml` in the conf dirs, services and checks only) are one configuration.
//! Whoever can write them is trusted, so files that others can write are refused.

pub mod demo;
pub mod effective;
mod entries;
mod host;
mod last_good;
mod notes;
pub mod one;
mod plugins;
mod powers;
mod quoted;
mod raw;
mod reading;
mod registry;
mod report;
mod secrets;
mod source;
mod table;
mod units;
mod validate;
mod whereabouts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::checkset::{Definitions, Places};
use crate::model::name::Name;
use crate::{discovery, health, http, sandbox, schedule};

use self::entries::{Defaults, Entries};
use self::notes::Notes;
use self::raw::{RawEntries, RawMain};
use self::reading::Read;
use self::secrets::Secrets;
use self::table::{Absent, Context, Kind, Place, Table};

pub use self::effective::{Section, Setting};
pub use self::last_good::{LastGood, LastGoodError};
pub use self::reading::state_dir_of;
pub use self::source::ReloadingSource;
pub use self::table::Mistake;
pub use self::validate::default_state_dir;
pub use self::whereabouts::{Whereabouts, whereabouts_of};

/// The exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;
/// Where the main file is looked for unless `--config` says otherwise.
pub const DEFAULT_FILE: &str = "/etc/vitald/vitald.toml";

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
    pub plugins: crate::plugins::Config,
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
    /// What of all this only a start takes over, to be compared with what is written later.
    pub at_start: Vec<Section>,
    /// Secrets of the registry and of reports that are not there, where that is no mistake.
    pub absent: Vec<Mistake>,
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
    let Read { sources, mistakes } = reading::read(path, || last_good::held(path))?;
    let (config, _) = with_mistakes(mistakes, make(&sources, Purpose::Start))?;
    Ok(Loaded { config, sources })
}

/// The effective configuration of a main file and its drop-ins, with the place of every value.
pub fn explain(path: &Path) -> Result<Vec<Section>, Mistakes> {
    let Read { sources, mistakes } = reading::read(path, || last_good::held(path))?;
    let (config, notes) = with_mistakes(mistakes, make(&sources, Purpose::Start))?;
    Ok(effective::all(&config, &notes))
}

/// What could not be read is as wrong as what could not be understood.
fn with_mistakes<T>(mut mistakes: Vec<Mistake>, made: Result<T, Mistakes>) -> Result<T, Mistakes> {
    match made {
        Ok(made) if mistakes.is_empty() => Ok(made),
        Ok(_) => Err(Mistakes(mistakes)),
        Err(Mistakes(more)) => {
            mistakes.extend(more);
            Err(Mistakes(mistakes))
        }
    }
}

/// Makes a configuration from its sources.
pub fn build(sources: &Sources) -> Result<Config, Mistakes> {
    make(sources, Purpose::Start).map(|(config, _)| config)
}

/// What of an agent that runs holds until it is started again, whatever the file says meanwhile.
#[derive(Debug, Clone)]
struct Running {
    /// Services are named after it.
    agent_id: Name,
    /// What is defined must be fit to be written there.
    registry: Option<crate::registry::Config>,
}

/// What a configuration is made for.
#[derive(Debug, Clone, Copy)]
enum Purpose<'a> {
    Start,
    /// A start whose files are wrong, and one check of such files.
    LastGood,
    Running(&'a Running),
}

impl<'a> Purpose<'a> {
    fn running(self) -> Option<&'a Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::Start | Self::LastGood => None,
        }
    }

    fn absent(self) -> Absent {
        match self {
            Self::Start => Absent::Refuse,
            Self::LastGood => Absent::LeaveOut,
            Self::Running(_) => Absent::Ignore,
        }
    }
}

/// Makes a configuration, and notes where each value stands.
fn make(sources: &Sources, purpose: Purpose<'_>) -> Result<(Config, Notes), Mistakes> {
    let Made { config, notes, absent, mistakes } = make_all(sources, purpose);
    match config {
        Some(mut config) if mistakes.is_empty() => {
            config.at_start = effective::at_start(&config, &notes);
            config.absent = absent;
            Ok((config, notes))
        }
        _ => Err(Mistakes(mistakes)),
    }
}

/// What could be made of the sources, and what is wrong with them.
struct Made {
    config: Option<Config>,
    notes: Notes,
    /// Secrets that are not there, where that is no mistake.
    absent: Vec<Mistake>,
    mistakes: Vec<Mistake>,
}

fn make_all(sources: &Sources, purpose: Purpose<'_>) -> Made {
    let base = sources.main.path.parent().unwrap_or(Path::new("/"));
    let secret_dirs = reading::with_agent(&sources.main, |raw, _| {
        validate::secret_dirs(raw.map_or(&None, |raw| &raw.secret_dirs), base)
    });
    let secrets = Secrets::below(secret_dirs.clone());
    let context = Context { absent: purpose.absent(), ..Context::new(&secrets, base) };
    let config = assemble(sources, purpose.running(), secret_dirs, &context);
    let (absent, mut mistakes) = context.absent.part(context.mistakes.into_inner());
    let notes = context.notes.into_inner();
    quoted::hide(&mut mistakes, &context.put_in.into_inner());
    mistakes.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    drop_consequences(&mut mistakes);
    Made { config, notes, absent, mistakes }
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

fn assemble(
    sources: &Sources,
    running: Option<&Running>,
    secret_dirs: Vec<PathBuf>,
    context: &Context<'_>,
) -> Option<Config> {
    let main = &sources.main;
    let raw = RawMain::read(Table::parse(&main.text, &main.path, context));
    let file = Place { file: main.path.clone(), ..Place::default() };
    let agent = validate::agent(raw.agent.as_ref(), &file, secret_dirs, context);
    let host = self::host::host(raw.host.as_ref(), context);
    // Mistakes in the entries are to be found even if the agent has no id.
    let id = agent.as_ref().map(|agent| agent.id.clone()).or_else(|| "agent".parse().ok())?;
    let mut sandbox = validate::sandbox(raw.sandbox.as_ref(), raw.dns.as_ref(), &id, context);
    sandbox.cache_dir = agent.as_ref().map(|agent| agent.state_dir.join("compiled"));
    let (definitions, places) =
        definitions(sources, &raw, agent.as_ref(), running.map_or(&id, |running| &running.agent_id), context);
    let targets = report::reports(&raw.reports, context);
    let agent = agent?;
    let registry = raw.registry.as_ref().and_then(|raw| {
        let config = registry::registry(raw, &agent, context)?;
        registry::clashes(&raw.place, &config, &definitions, |service| places.get(service).cloned(), context);
        Some(config)
    });
    if let Some(active) = running.and_then(|running| running.registry.as_ref()) {
        let place = raw.registry.as_ref().map_or(&file, |raw| &raw.place);
        registry::clashes_now(
            place,
            active,
            registry.as_ref(),
            &definitions,
            |name| places.get(name).cloned(),
            context,
        );
    }
    let discovery = raw.discovery.as_ref().and_then(|raw| registry::discovery(raw, registry.as_ref(), context));
    Some(Config {
        http: http::Config { listen: agent.listen.clone() },
        plugins: crate::plugins::Config { state_dir: agent.state_dir.clone() },
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
        at_start: Vec::new(),
        absent: Vec::new(),
        agent_id: agent.id,
        state_dir: agent.state_dir,
    })
}

/// What is taken over while the agent runs; and where each service stands.
fn definitions(
    sources: &Sources,
    raw: &RawMain,
    agent: Option<&validate::Agent>,
    id: &Name,
    context: &Context<'_>,
) -> (Definitions, BTreeMap<Name, Place>) {
    let defaults = Defaults::new(raw.defaults.as_ref(), context);
    let mut entries = Entries::new(id, &defaults, context);
    entries.add(&raw.entries);
    for file in &sources.drop_ins {
        entries.add(&RawEntries::read(Table::parse(&file.text, &file.path, context)));
    }
    let (mut definitions, places) = entries.finish();
    definitions.rules = self::plugins::rules(raw.plugins.as_ref(), context);
    if let Some(agent) = agent {
        definitions.places = Places {
            main: Some(sources.main.path.clone()),
            plugin_dirs: agent.plugin_dirs.clone(),
            conf_dirs: agent.conf_dirs.clone(),
            secret_dirs: agent.secret_dirs.clone(),
        };
    }
    (definitions, places)
}

#[cfg(test)]
mod tests;
