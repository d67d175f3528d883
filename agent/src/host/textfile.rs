//! Numbers that other programs leave as `*.prom` files in a directory, in the text format (see `parse`).
//!
//! A bad file costs itself. None of its series are shown, `node_textfile_scrape_error` is 1, and the log says once which
//! line is wrong and why; the other files and everything else go on. Bad is what cannot be read as a whole, what is
//! larger than its cap, and what would contradict series that are there already: the same series, another type or HELP
//! for the same name, or a name that another collector has. Of two files that contradict each other the first by name
//! stays.
//!
//! A file that did not change is not read again, unless another one changed and it contradicted that: what is not shown
//! is not kept. What all files hold has a cap, in bytes and in series; those beyond it, by name, are not read.

mod merge;
mod parse;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::collector::{CollectError, Collector, Families, Settings, entries};
use crate::clock;
use crate::model::host::HostKind;
use merge::{Merge, Plan};
use parse::TextFamily;

/// A text file is a page of numbers; a larger one is a log or a mistake.
const MAX_BYTES: u64 = 1 << 20;
/// Of all files together: what they say is kept, and takes some times as much.
const MAX_TOTAL: u64 = 16 << 20;
/// Every file is looked at every few seconds.
const MAX_FILES: usize = 1000;
/// A file that changed this lately may change again without another time: file systems count time in steps.
const SETTLED: Duration = Duration::from_secs(2);

pub struct Textfile {
    dir: PathBuf,
    /// Somebody named it: that it is not there is a fault.
    wanted: bool,
    files: BTreeMap<String, TextFile>,
    /// What the files say together.
    plans: Vec<Plan>,
    /// The names that others had then.
    taken: Names,
    /// What the log said of each path, so that it says it once.
    said: Faults,
}

type Names = Vec<(Cow<'static, str>, HostKind)>;

struct TextFile {
    stamp: Stamp,
    content: Result<Vec<TextFamily>, Fault>,
}

/// What tells that a file is another one, or has another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a file, or the directory, is not shown.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("it cannot be read: {0}")]
    Read(#[source] std::io::Error),
    #[error("it is no regular file")]
    NotAFile,
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("line {0}: it is not UTF-8")]
    NotUtf8(usize),
    #[error(transparent)]
    Text(#[from] parse::Fault),
    #[error(transparent)]
    Clash(#[from] merge::Clash),
    #[error("with those before it by name it is more than {MAX_TOTAL} bytes")]
    TotalTooLarge,
    #[error("the text files together have {} series already", merge::MAX_SERIES)]
    Full,
    #[error("it has more than {MAX_FILES} files: those that are last by name are left out")]
    TooMany,
}

/// Where Debian's packages of other programs put their files.
const DIRECTORY: &str = "/var/lib/prometheus/node-exporter";

impl Textfile {
    pub fn new(settings: &Settings) -> Self {
        let dir = settings.textfile_dir.clone().unwrap_or_else(|| DIRECTORY.into());
        Self { wanted: settings.textfile_dir.is_some(), ..Self::of(dir) }
    }

    fn of(dir: PathBuf) -> Self {
        let (files, plans, taken, said) = (BTreeMap::new(), Vec::new(), Vec::new(), Faults::new());
        Self { dir, wanted: true, files, plans, taken, said }
    }

    /// The files that there are, and are not too large. Gives what is wrong with the others, or the directory.
    fn find(&self) -> (Vec<(String, Stamp)>, Faults) {
        let (mut found, mut faults) = (Vec::new(), Faults::new());
        if self.dir.as_os_str().is_empty() || (!self.wanted && !self.dir.exists()) {
            return (found, faults);
        }
        let mut names = entries(&self.dir).unwrap_or_else(|error| {
            faults.insert(self.dir.clone(), why(error).to_string());
            Vec::new()
        });
        names.retain(|name| name.ends_with(".prom"));
        if names.len() > MAX_FILES {
            faults.insert(self.dir.clone(), Fault::TooMany.to_string());
            names.truncate(MAX_FILES);
        }
        let mut total = 0_u64;
        for name in names {
            let path = self.dir.join(&name);
            match stamp(&path, MAX_TOTAL.saturating_sub(total)) {
                Ok(stamp) => {
                    total = total.saturating_add(stamp.size);
                    found.push((name, stamp));
                }
                Err(fault) => drop(faults.insert(path, fault.to_string())),
            }
        }
        (found, faults)
    }

    fn is_as_it_was(&self, found: &[(String, Stamp)], taken: &[(Cow<'static, str>, HostKind)]) -> bool {
        let is_still = |(name, stamp): &(String, Stamp)| self.files.get(name).is_some_and(|file| file.is_still(*stamp));
        self.taken == *taken && self.files.len() == found.len() && found.iter().all(is_still)
    }

    /// Reads what changed, and puts everything together anew.
    fn merge(&mut self, found: Vec<(String, Stamp)>, taken: Names) {
        let mut known = std::mem::take(&mut self.files);
        let mut merge = Merge::new(self.dir.clone(), &taken);
        for (name, stamp) in found {
            let known = known.remove(&name).and_then(|known| still(known, stamp)).filter(|known| !known.is_refused());
            let mut file = match known {
                Some(file) => file,
                None if merge.is_full() => TextFile { stamp, content: Err(Fault::Full) },
                None => TextFile::read(&self.dir.join(&name), stamp),
            };
            file.content = file.content.and_then(|families| {
                merge.add(&name, &families)?;
                Ok(families)
            });
            self.files.insert(name, file);
        }
        self.plans = merge.finish();
        self.taken = taken;
    }

    fn families(&self, file: &str) -> Option<&[TextFamily]> {
        Some(self.files.get(file)?.content.as_ref().ok()?)
    }

    /// Every fault is said once, and that it is gone. A name may have a newline in it: it is shown escaped.
    fn say(&mut self, faults: Faults) {
        for (path, fault) in news(&self.said, &faults) {
            match fault {
                Some(fault) => tracing::warn!("text files: {path:?}: {fault}"),
                None => tracing::info!("text files: {path:?} is good again, or gone"),
            }
        }
        self.said = faults;
    }
}

/// What differs: another fault, or none any more.
fn news<'a>(before: &'a Faults, now: &'a Faults) -> Vec<(&'a Path, Option<&'a str>)> {
    let new = now.iter().filter(|(path, fault)| before.get(*path) != Some(*fault));
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    new.map(|(path, fault)| (path.as_path(), Some(fault.as_str())))
        .chain(gone.map(|path| (path.as_path(), None)))
        .collect()
}

type Faults = BTreeMap<PathBuf, String>;

impl Collector for Textfile {
    /// What `out` has already counts as taken: a file with one of those names is bad. (Families without series do, too:
    /// they are how the names of other collectors are told.)
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let (found, mut faults) = self.find();
        let taken: Names = out.0.iter().map(|family| (family.name.clone(), family.kind)).collect();
        if !self.is_as_it_was(&found, &taken) {
            self.merge(found, taken);
        }
        let mut times = Vec::new();
        for (name, file) in &self.files {
            match &file.content {
                Ok(_) => times.push((self.dir.join(name), file.stamp.modified.0)),
                Err(fault) => drop(faults.insert(self.dir.join(name), fault.to_string())),
            }
        }
        out.0.extend(self.plans.iter().map(|plan| plan.carry_out(|file| self.families(file))));
        show_times(out, &times);
        let help = "1 where a text file or the directory could not be used, else 0.";
        out.gauge(SCRAPE_ERROR, help, if faults.is_empty() { 0.0 } else { 1.0 });
        self.say(faults);
        Ok(())
    }
}

const SCRAPE_ERROR: &str = "node_textfile_scrape_error";
const MTIME: &str = "node_textfile_mtime_seconds";

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 lose nothing below 2^53")]
fn show_times(out: &mut Families, times: &[(PathBuf, i64)]) {
    let help = "When each text file that is shown was last changed, in seconds since 1970.";
    for (path, seconds) in times {
        out.family(HostKind::Gauge, MTIME, help).add(&[("file", &path.to_string_lossy())], *seconds as f64);
    }
}

/// Nothing is opened that is no file: to open a device may do something.
fn stamp(path: &Path, room: u64) -> Result<Stamp, Fault> {
    let metadata = std::fs::metadata(path).map_err(Fault::Read)?;
    match metadata.size() {
        _ if !metadata.is_file() => Err(Fault::NotAFile),
        size if size > MAX_BYTES => Err(Fault::TooLarge),
        size if size > room => Err(Fault::TotalTooLarge),
        _ => Ok(Stamp::of(&metadata)),
    }
}

impl TextFile {
    fn read(path: &Path, stamp: Stamp) -> Self {
        read_file(path).unwrap_or_else(|fault| Self { stamp, content: Err(fault) })
    }

    /// What could not be read is tried again.
    fn is_still(&self, now: Stamp) -> bool {
        self.stamp == now && now.settled() && !matches!(self.content, Err(Fault::Read(_)))
    }

    /// By what other files say, which may change.
    fn is_refused(&self) -> bool {
        matches!(self.content, Err(Fault::Clash(_) | Fault::Full))
    }
}

/// What is known of a file, where that is what it still says.
fn still(known: TextFile, now: Stamp) -> Option<TextFile> {
    known.is_still(now).then_some(known)
}

fn read_file(path: &Path) -> Result<TextFile, Fault> {
    // A pipe that has taken the file's place would wait for its writer.
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(no_wait).open(path).map_err(Fault::Read)?;
    let metadata = file.metadata().map_err(Fault::Read)?;
    let stamp = Stamp::of(&metadata);
    if !metadata.is_file() {
        return Err(Fault::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Fault::Read)?;
    Ok(TextFile { stamp, content: read_content(&bytes) })
}

fn read_content(bytes: &[u8]) -> Result<Vec<TextFamily>, Fault> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(Fault::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Fault::NotUtf8(1 + good.iter().filter(|byte| **byte == b'\n').count())
    })?;
    Ok(parse::parse(text)?)
}

fn why(error: CollectError) -> Fault {
    Fault::Read(match error {
        CollectError::Read { source, .. } => source,
        other => std::io::Error::other(other),
    })
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn settled(&self) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        changed.saturating_add(SETTLED) < clock::now().wall
    }
}

#[cfg(test)]
#[path = "textfile_tests.rs"]
mod tests;
