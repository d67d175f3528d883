//! Reading the files: the main file, and the drop-ins of the conf dirs that it names. Each is read once. What is not
//! there for a moment, or empty, is a mistake and not a wish: by it everything would be taken away.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

use super::raw::RawAgent;
use super::secrets::Secrets;
use super::table::{Context, Kind, Mistake, Place, Table};
use super::{Mistakes, SourceFile, Sources, validate};

/// A configuration is written by people: larger files are something else.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// More drop-ins than a host has checks.
const MAX_FILES: usize = 20_000;

/// What was read of a configuration, and the files that could not be.
#[derive(Debug)]
pub struct Read {
    pub sources: Sources,
    pub mistakes: Vec<Mistake>,
}

/// Reads the main file and its drop-ins. Without the main file there is nothing to go by. `held` gives the drop-ins
/// that were there before, and is asked only if a conf dir is missing.
pub fn read(path: &Path, held: impl Fn() -> Vec<PathBuf>) -> Result<Read, Mistakes> {
    let text = read_file(path).map_err(|error| Mistakes(vec![in_file(path, problem(path, &error))]))?;
    if is_blank(&text) {
        return Err(Mistakes(vec![in_file(path, "it is empty; write at least [agent]".to_owned())]));
    }
    let main = SourceFile { path: absolute(path), text };
    let (drop_ins, mistakes) = read_drop_ins(&conf_dirs_of(&main), held);
    Ok(Read { sources: Sources { main, drop_ins }, mistakes })
}

/// Nothing but white space and comments: so a file looks that a tool has opened and not written yet.
fn is_blank(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}

pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The state directory that a main file names, as far as it can be read: where its last good copy lies. Who wrote the
/// file does not matter here: the copy is looked at for itself.
pub fn state_dir_of(path: &Path) -> PathBuf {
    let bytes = files::read_capped(path, MAX_FILE).unwrap_or_default();
    let path = absolute(path);
    let text = std::str::from_utf8(&bytes).unwrap_or_default().to_owned();
    let is_whole = !text.is_empty() && toml::from_str::<toml::Table>(&text).is_ok();
    let main = SourceFile { path, text };
    let read = with_agent(&main, |raw, _| Some(raw?.state_dir.as_ref()?.value.clone()));
    let found = if is_whole { read } else { read.or_else(|| scan_for_state_dir(&bytes)) };
    let base = main.path.parent().unwrap_or(Path::new("/"));
    found.map_or_else(validate::default_state_dir, |dir| base.join(dir))
}

/// The first line that sets it, whatever is wrong in the others.
fn scan_for_state_dir(bytes: &[u8]) -> Option<PathBuf> {
    bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok().filter(|line| line.contains("state_dir"))?;
        let table: toml::Table = toml::from_str(line.trim()).ok()?;
        let value = table.get("state_dir").or_else(|| table.get("agent")?.get("state_dir"))?;
        Some(Secrets::default().resolve(value.as_str()?).ok()?.text.into())
    })
}

fn conf_dirs_of(main: &SourceFile) -> Vec<PathBuf> {
    with_agent(main, |raw, base| {
        validate::directories(raw.map_or(&None, |raw| &raw.conf_dirs), &["/etc/vitald/conf.d"], base)
    })
}

/// A first look at `[agent]` alone, whose mistakes the second look reports.
pub fn with_agent<T>(main: &SourceFile, look: impl FnOnce(Option<&RawAgent>, &Path) -> T) -> T {
    let secrets = Secrets::default();
    let base = main.path.parent().unwrap_or(Path::new("/"));
    let context = Context::new(&secrets, base);
    let mut table = Table::parse(&main.text, &main.path, &context);
    let agent = table.table("agent").map(RawAgent::read);
    look(agent.as_ref(), base)
}

pub fn read_file(path: &Path) -> Result<String, FileError> {
    files::check_owner(path)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        files::check_owner(dir)?;
    }
    let bytes = files::read_capped(path, MAX_FILE)?;
    String::from_utf8(bytes).map_err(|error| FileError::Io {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 text: {error}")),
    })
}

fn in_file(path: &Path, problem: String) -> Mistake {
    let place = Place { file: path.to_owned(), ..Place::default() };
    Mistake { place, problem, kind: Kind::Meaning }
}

/// What is wrong with a file, whose path is said already.
fn problem(path: &Path, error: &FileError) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix(&path.display().to_string());
    rest.map(|rest| rest.trim_start_matches([':', ' ']).to_owned()).unwrap_or(text)
}

/// All `*.toml` of the conf dirs, in the order of their names. A directory that is not there holds none, unless it held
/// some.
fn read_drop_ins(dirs: &[PathBuf], held: impl Fn() -> Vec<PathBuf>) -> (Vec<SourceFile>, Vec<Mistake>) {
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    for dir in distinct(dirs) {
        match list(dir) {
            Ok(paths) => paths.iter().for_each(|path| match drop_in(path) {
                Ok(file) => found.extend(file),
                Err(problem) => mistakes.push(in_file(path, problem)),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => mistakes.extend(missing(dir, &held())),
            Err(error) => mistakes.push(in_file(dir, error.to_string())),
        }
    }
    (found, mistakes)
}

/// A directory that is named twice is read once.
fn distinct(dirs: &[PathBuf]) -> Vec<&PathBuf> {
    let mut seen = BTreeSet::new();
    dirs.iter().filter(|dir| seen.insert(dir.canonicalize().unwrap_or_else(|_| (*dir).clone()))).collect()
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if is_drop_in(&path) {
            paths.push(path);
        }
        if paths.len() > MAX_FILES {
            return Err(io::Error::other(format!("it holds more than {MAX_FILES} drop-ins")));
        }
    }
    paths.sort();
    Ok(paths)
}

/// A volume that is not mounted yet, or a directory that is being replaced, is no wish to have nothing.
fn missing(dir: &Path, held: &[PathBuf]) -> Option<Mistake> {
    let count = held.iter().filter(|path| path.parent() == Some(dir)).count();
    let files = if count == 1 { "drop-in" } else { "drop-ins" };
    let problem = format!("it is not there, and held {count} {files}: make it anew, empty if they are to go");
    (count > 0).then(|| in_file(dir, problem))
}

/// None where it went between the listing and the reading: the next look will not list it.
fn drop_in(path: &Path) -> Result<Option<SourceFile>, String> {
    match read_file(path) {
        Ok(text) if is_blank(&text) => Err("it is empty: remove the file, or write into it".to_owned()),
        Ok(text) => Ok(Some(SourceFile { path: path.to_owned(), text })),
        Err(error) if error.is_missing() && path.is_symlink() => {
            Err("it is a link to what is not there: mend the link, or remove it".to_owned())
        }
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(problem(path, &error)),
    }
}

/// Editors' and tools' temporary files start with a dot.
fn is_drop_in(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "toml")
}
