//! The reports that wait, on disk: `state_dir/reports/NAME/`, mode 0700, one file for each, written whole or not at
//! all.
//!
//! ```text
//! stream.json             whose sequence this is, and the machine and agent that it belongs to
//! 00000000000000000041.sent      the last one that was done with, emptied: so its number is not given again
//! 00000000000000000042.json.gz   waits
//! ```
//!
//! A number is taken by its file: it is there before the report is sent for the first time, and the highest number has
//! a file at any time, also after a kill. What cannot be written is the caller's to keep elsewhere.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::files::{self, FileError};
use crate::model::name::Name;

const STREAM: &str = "stream.json";
const MAX_STREAM: u64 = 4096;
/// Larger files are none of ours: a report is smaller before it is packed.
const MAX_FILE: u64 = 16 << 20;
const WAITS: &str = "json.gz";
const SENT: &str = "sent";
/// What a file is called until it is whole.
const TORN: &str = "tmp";

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Stream {
    stream: String,
    machine_id: String,
    #[serde(default)]
    agent: String,
}

/// What a start found.
#[derive(Debug)]
pub struct Found {
    pub store: Store,
    /// Of new reports.
    pub stream: Arc<str>,
    /// The number of the next one.
    pub next: u64,
    /// Numbers and bytes of those that wait, oldest first.
    pub waiting: Vec<(u64, u64)>,
    /// The number whose file says that it was taken.
    pub sent: Option<u64>,
    /// What could not be read, for the log.
    pub problem: Option<String>,
}

/// Cheap to clone: it knows the place and nothing else.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    stream: Arc<str>,
    agent: Name,
    /// `stream.json` says what it should.
    named: Arc<AtomicBool>,
}

/// A random name for a sequence.
pub fn new_stream() -> Arc<str> {
    format!("{:032x}", rand::random::<u128>()).into()
}

impl Store {
    /// Looks at what is there, and changes nothing but the rests of writes that a kill cut off.
    pub fn open(state_dir: &Path, report: &Name, agent: &Name) -> Found {
        let dir = state_dir.join("reports").join(&**report);
        let (stream, mut problem) = match read_stream(&dir.join(STREAM), agent) {
            Ok(stream) => (stream, None),
            Err(error) => (None, Some(error)),
        };
        let files = list(&dir).unwrap_or_else(|error| {
            problem = Some(error.to_string());
            Vec::new()
        });
        // Without any file nobody knows which numbers were given.
        let stream = stream.filter(|_| !files.is_empty());
        let named = Arc::new(AtomicBool::new(stream.is_some()));
        let stream = stream.unwrap_or_else(new_stream);
        let of = |wanted: Kind| files.iter().filter(move |(_, kind, _)| *kind == wanted);
        let mut waiting: Vec<_> = of(Kind::Waits).map(|(number, _, bytes)| (*number, *bytes)).collect();
        waiting.sort_unstable();
        let sent = of(Kind::Sent).map(|(number, ..)| *number).max();
        let next = waiting.last().map(|(number, _)| *number).max(sent).unwrap_or(0).saturating_add(1);
        let store = Self { dir, stream: stream.clone(), agent: agent.clone(), named };
        // A kill may have come between a new one and the removal of the one before.
        for (number, ..) in of(Kind::Sent).filter(|(number, ..)| Some(*number) != sent) {
            let _ = files::remove(&store.path(*number, SENT));
        }
        Found { store, stream, next, waiting, sent, problem }
    }

    /// Takes a number for a report. The directory is made where it is missing.
    pub fn put(&self, number: u64, packed: &[u8]) -> Result<(), FileError> {
        if !self.named.load(Ordering::Relaxed) || fs::metadata(self.dir.join(STREAM)).is_err() {
            self.write_stream()?;
            self.named.store(true, Ordering::Relaxed);
        }
        files::write_atomic(&self.path(number, WAITS), packed)
    }

    fn write_stream(&self) -> Result<(), FileError> {
        files::create_private_dir(&self.dir)?;
        let path = self.dir.join(STREAM);
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            let aside = self.dir.join(format!("{STREAM}.aside"));
            fs::rename(&path, aside).map_err(|source| FileError::Io { path: path.clone(), source })?;
        }
        let stream =
            Stream { stream: self.stream.to_string(), machine_id: machine_id(), agent: self.agent.to_string() };
        files::write_atomic(&path, &serde_json::to_vec(&stream).unwrap_or_default())
    }

    pub fn read(&self, number: u64) -> Result<Vec<u8>, FileError> {
        files::read_capped(&self.path(number, WAITS), MAX_FILE)
    }

    /// A report is done with. Its number stays taken, that of `before` is not needed for that any more.
    pub fn retire(&self, number: u64, before: Option<u64>) -> Result<(), FileError> {
        let (path, sent) = (self.path(number, WAITS), self.path(number, SENT));
        let io = |source| FileError::Io { path: path.clone(), source };
        fs::rename(&path, &sent).map_err(io)?;
        // After that: what is torn before it is renamed would count as damaged.
        OpenOptions::new().write(true).truncate(true).open(&sent).map_err(io)?;
        match before.filter(|before| *before != number) {
            Some(before) => files::remove(&self.path(before, SENT)),
            None => Ok(()),
        }
    }

    /// Gives up reports that are older than another one that waits.
    pub fn remove(&self, numbers: &[u64]) -> Result<(), FileError> {
        // As many as can be: one that is left over is read again at the next start, and its receiver knows its number.
        let results: Vec<_> = numbers.iter().map(|number| files::remove(&self.path(*number, WAITS))).collect();
        results.into_iter().collect()
    }

    fn path(&self, number: u64, kind: &str) -> PathBuf {
        self.dir.join(format!("{number:020}.{kind}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Waits,
    Sent,
}

/// The reports of a directory; none where it is missing.
fn list(dir: &Path) -> Result<Vec<(u64, Kind, u64)>, FileError> {
    let io = |source| FileError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if Path::new(&name).extension() == Some(OsStr::new(TORN)) {
            let _ = fs::remove_file(entry.path());
        }
        let Some((number, kind)) = name.to_str().and_then(parse) else { continue };
        let meta = entry.metadata().map_err(io)?;
        if meta.is_file() {
            found.push((number, kind, meta.len()));
        }
    }
    Ok(found)
}

fn parse(name: &str) -> Option<(u64, Kind)> {
    let (number, kind) = name.split_once('.')?;
    let kind = match kind {
        WAITS => Kind::Waits,
        SENT => Kind::Sent,
        _ => return None,
    };
    let digits = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits).map(|number| (number, kind))
}

/// None where there is none yet, or where it belongs to the machine or agent that this one was copied from. Whatever
/// else stands there is replaced with the first report.
fn read_stream(path: &Path, agent: &Name) -> Result<Option<Arc<str>>, String> {
    let bytes = match files::check_owner(path).and_then(|()| files::read_capped(path, MAX_STREAM)) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let read: Result<Stream, _> = serde_json::from_slice(&bytes);
    let stream = read.map_err(|error| format!("{} is damaged: {error}", path.display()));
    let Stream { stream, machine_id: machine, agent: whose } = stream?;
    let own = machine == machine_id() && whose == **agent && is_stream(&stream);
    Ok(own.then(|| stream.into()))
}

fn is_stream(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn machine_id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
