//! One check by itself, for `vitald try`: of a configuration, whatever is wrong in other places of it, or of a command
//! line, which is read as a configuration is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::check::CheckDef;
use crate::model::name::Name;

use super::reading::{self, Read};
use super::table::Kind;
pub use super::table::nearest;
use super::{Config, Made, Mistake, Mistakes, Purpose, SourceFile, Sources, last_good, make_all, validate};

/// Sections that say how a check runs; mistakes elsewhere are no obstacle.
const DECIDING: [&str; 5] = ["agent", "sandbox", "dns", "defaults", "plugins"];

/// A check, and the configuration that it is of.
#[derive(Debug)]
pub struct One {
    pub config: Config,
    pub definition: Arc<CheckDef>,
    /// What is wrong in other places.
    pub elsewhere: Vec<Mistake>,
}

#[derive(Debug, thiserror::Error)]
pub enum NoCheck {
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error("{} has no check {name:?}{}", file.display(), hint(name, known))]
    Unknown { file: PathBuf, name: String, known: Vec<String> },
}

/// The check of that name in a configuration. What is wrong with the keys `replaced` is no obstacle: something else stands
/// in for them.
pub fn check_of(path: &Path, name: &str, replaced: &[&str]) -> Result<One, NoCheck> {
    let Read { sources, mut mistakes } = reading::read(path, || last_good::held(path))?;
    let made = make_all(&sources, Purpose::LastGood);
    mistakes.extend(made.mistakes);
    let Some(config) = made.config else { return Err(Mistakes(mistakes).into()) };
    let Some(definition) = config.definitions.checks.get(name).cloned() else {
        let known: Vec<String> = config.definitions.checks.keys().map(Name::to_string).collect();
        if mistakes.is_empty() {
            return Err(NoCheck::Unknown { file: path.to_owned(), name: name.to_owned(), known });
        }
        // It may be hidden behind one of them.
        return Err(Mistakes(mistakes).into());
    };
    let known: Vec<&Name> = config.definitions.checks.keys().collect();
    let replaced: Vec<String> = replaced.iter().map(|key| format!("check.{name}.{key}")).collect();
    let stands = |mistake: &&Mistake| !replaced.contains(&mistake.place.key);
    if mistakes.iter().filter(stands).any(|mistake| concerns(mistake, &definition, &known)) {
        return Err(Mistakes(mistakes).into());
    }
    Ok(One { config, definition, elsewhere: mistakes })
}

/// Could the check be another without this mistake?
fn concerns(mistake: &Mistake, definition: &CheckDef, known: &[&Name]) -> bool {
    let below = |section: &str| {
        let rest = mistake.place.key.strip_prefix(section);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // `check.web.x.target` is of the check `web.x`, where there is one, and not of `web`.
    let of_check = || {
        let named = known.iter().filter(|name| below(&format!("check.{name}")));
        named.max_by_key(|name| name.to_string().len()).is_some_and(|name| **name == definition.name)
    };
    let file = definition.origin.rsplit_once(':').map_or(&*definition.origin, |(file, _)| file);
    let broken = mistake.kind == Kind::Syntax && mistake.place.file == Path::new(file);
    broken || DECIDING.iter().any(|section| below(section)) || of_check()
}

/// A check that a command line describes: a table as in `[[check]]`. The file of its mistakes is the command line.
pub fn check_from(name: &Name, mut entry: toml::Table) -> Result<One, Mistakes> {
    entry.insert("name".into(), name.to_string().into());
    let mut agent = toml::Table::new();
    agent.insert("id".into(), "try".into());
    let mut all = toml::Table::new();
    all.insert("agent".into(), agent.into());
    all.insert("check".into(), vec![toml::Value::from(entry)].into());
    // Relative paths are those of whoever types them.
    let path = reading::absolute(Path::new("(command line)"));
    let sources = Sources { main: SourceFile { path, text: all.to_string() }, drop_ins: Vec::new() };
    let Made { config, mistakes, .. } = make_all(&sources, Purpose::Start);
    let found = config.and_then(|config| Some((config.definitions.checks.get(name).cloned()?, config)));
    match found {
        Some((definition, config)) if mistakes.is_empty() => Ok(One { config, definition, elsewhere: Vec::new() }),
        _ => Err(Mistakes(mistakes)),
    }
}

/// The plugin directories that a main file names, as far as it can be read; else the usual ones.
pub fn plugin_dirs_of(path: &Path) -> Vec<PathBuf> {
    let text = reading::read_file(path).unwrap_or_default();
    let main = SourceFile { path: reading::absolute(path), text };
    reading::with_agent(&main, |raw, base| {
        validate::directories(raw.map_or(&None, |raw| &raw.plugin_dirs), &["/etc/vitald/plugins"], base)
    })
}

/// What was meant, or what there is.
pub fn hint(name: &str, known: &[String]) -> String {
    let words: Vec<&str> = known.iter().map(String::as_str).collect();
    let all = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    match nearest(name, &words) {
        Some(near) => format!("; did you mean {near:?}? There are {all}"),
        None => format!("; there are {all}"),
    }
}
