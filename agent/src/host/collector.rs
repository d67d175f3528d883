//! What a collector is, and what it works with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;

use crate::model::host::{HostFamily, HostKind};

/// Reads one part of the kernel's files. It is called again and again by one thread at a time, and keeps between calls
/// what saves work.
pub trait Collector: Send {
    /// Adds what there is. Where it fails, what was added until then is kept.
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError>;
}

/// Why a collector saw nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The host has nothing of the kind: no fault, and not worth a log line.
    #[error("{0}")]
    Absent(String),
    #[error("{path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {problem}", path = path.display())]
    Odd { path: PathBuf, problem: String },
    /// Part of it does not answer. What there was is shown: node_exporter calls that a success.
    #[error("{0}")]
    Stuck(String),
}

/// What a log line shows of a problem: it may quote a file, and a line of that may be megabytes.
const SHOWN: usize = 200;

impl CollectError {
    pub fn odd(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        let mut problem = problem.into();
        if let Some((end, _)) = problem.char_indices().nth(SHOWN) {
            problem.truncate(end);
            problem.push_str("...");
        }
        Self::Odd { path: path.into(), problem }
    }

    /// A file that is not there means that the host has nothing of the kind.
    pub fn or_absent(self) -> Self {
        match self {
            Self::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::Absent(format!("there is no {}", path.display()))
            }
            other => other,
        }
    }
}

/// What a collector saw, family by family.
#[derive(Debug, Default, PartialEq)]
pub struct Families(pub Vec<HostFamily>);

impl Families {
    /// The family of that name, begun if there is none yet. A family without series is left out of the sample.
    pub fn family(
        &mut self,
        kind: HostKind,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> &mut HostFamily {
        let name = name.into();
        let index = self.0.iter().rposition(|family| family.name == name).unwrap_or_else(|| {
            self.0.push(HostFamily { name, help: help.into(), kind, series: Vec::new() });
            self.0.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the index was found, or is that of what was pushed")]
        &mut self.0[index]
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, value: f64) {
        self.family(HostKind::Gauge, name, help).add(&[], value);
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, value: f64) {
        self.family(HostKind::Counter, name, help).add(&[], value);
    }
}

/// Where the kernel's files are: elsewhere in a container that looks at its host, and in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub procfs: PathBuf,
    pub sysfs: PathBuf,
    pub rootfs: PathBuf,
    pub udev_data: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { procfs: "/proc".into(), sysfs: "/sys".into(), rootfs: "/".into(), udev_data: "/run/udev/data".into() }
    }
}

impl Roots {
    pub fn proc(&self, path: &str) -> PathBuf {
        self.procfs.join(path)
    }

    pub fn sys(&self, path: &str) -> PathBuf {
        self.sysfs.join(path)
    }

    /// A path of the host, as this process sees it.
    pub fn host(&self, path: &str) -> PathBuf {
        self.rootfs.join(path.trim_start_matches('/'))
    }
}

/// Which devices, fields or units a collector shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// None: all.
    pub include: Option<Regex>,
    pub exclude: Option<Regex>,
}

impl Filter {
    pub fn allows(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
    }
}

/// What collectors are built from.
#[derive(Debug, Clone)]
pub struct Settings {
    pub roots: Roots,
    /// By collector.
    pub filters: BTreeMap<&'static str, Filter>,
    /// Of `filesystem`: types that are not shown.
    pub fs_types_exclude: Option<Regex>,
    /// Of `filesystem`: how long a mount may take to answer.
    pub mount_timeout: Duration,
    /// Of `textfile`; none stands for the usual one, which need not be there. An empty path switches it off.
    pub textfile_dir: Option<PathBuf>,
}

impl Settings {
    /// The filter of a collector; everything passes where there is none.
    pub fn filter(&self, collector: &str) -> Filter {
        self.filters.get(collector).cloned().unwrap_or_default()
    }
}

/// Prometheus has doubles.
#[expect(clippy::cast_precision_loss, reason = "counters lose nothing below 2^53")]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// A file as text; what is not UTF-8 is replaced.
pub fn read(path: &Path) -> Result<String, CollectError> {
    let bytes = read_bytes(path)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// A file of sysfs: one value, trimmed.
pub fn read_value(path: &Path) -> Result<String, CollectError> {
    let mut text = read(path)?;
    text.truncate(text.trim_end().len());
    Ok(if text.starts_with(char::is_whitespace) { text.trim_start().to_owned() } else { text })
}

/// A file of sysfs that a driver need not have: None where it does not tell.
pub fn read_if_told(path: &Path) -> Result<Option<String>, CollectError> {
    match read_value(path) {
        Ok(text) => Ok(Some(text)),
        Err(CollectError::Read { source, .. }) if is_silence(&source) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel answers where there is no such file, or its driver has nothing to say.
fn is_silence(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    const SILENCE: [Errno; 6] =
        [Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP, Errno::NODEV];
    Errno::from_io_error(error).is_some_and(|errno| SILENCE.contains(&errno))
}

/// An open directory of sysfs: where there are many files to read, it saves half of the time.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    fd: std::os::fd::OwnedFd,
}

impl Directory {
    pub fn open(path: PathBuf) -> Result<Self, CollectError> {
        use rustix::fs::{Mode, OFlags};
        match rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Self { path, fd }),
            Err(errno) => Err(CollectError::Read { path, source: errno.into() }),
        }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// As `read_if_told`, of up to a page: the kernel's values are no longer.
    pub fn read_if_told(&self, file: &str) -> Result<Option<String>, CollectError> {
        let mut page = [0; 4096];
        match self.read(file, &mut page) {
            Ok(length) => {
                let bytes = page.get(..length).unwrap_or_default().trim_ascii();
                Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
            }
            Err(source) if is_silence(&source) => Ok(None),
            Err(source) => Err(CollectError::Read { path: self.path(file), source }),
        }
    }

    fn read(&self, file: &str, page: &mut [u8]) -> std::io::Result<usize> {
        use rustix::fs::{Mode, OFlags, openat};
        use rustix::io::{read, retry_on_intr};
        let fd = retry_on_intr(|| openat(&self.fd, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))?;
        Ok(retry_on_intr(|| read(&fd, &mut *page))?)
    }
}

/// The kernel's files are small; what is larger is something else.
const MAX_FILE: u64 = 16 << 20;

fn read_bytes(path: &Path) -> Result<Vec<u8>, CollectError> {
    use std::io::Read as _;
    let error = |source| CollectError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(error)?;
    // Files of procfs say that they are empty, so their size is of no use.
    let mut bytes = Vec::with_capacity(4096);
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

/// The names in a directory, in order. What is not UTF-8 is left out: no label could show it.
pub fn entries(dir: &Path) -> Result<Vec<String>, CollectError> {
    let error = |source| CollectError::Read { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        names.extend(entry.map_err(error)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// A number as the kernel writes it: decimal, or hexadecimal after `0x`.
pub fn parse_u64(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// What was odd in a file. An odd line costs itself, and the collector tells of the first when it is done.
#[derive(Debug, Default)]
pub struct Oddities(Option<String>);

impl Oddities {
    pub fn line(&mut self, line: &str) {
        /// A line from outside may be long, and a log line should not.
        const SHOWN: usize = 120;
        self.0.get_or_insert_with(|| format!("odd line {:?}", line.trim().chars().take(SHOWN).collect::<String>()));
    }

    pub fn finish(self, path: &Path) -> Result<(), CollectError> {
        self.0.map_or(Ok(()), |problem| Err(CollectError::odd(path, problem)))
    }
}

/// What went wrong first, in a collector that goes on with the rest.
#[derive(Debug, Default)]
pub struct FirstFault(Option<CollectError>);

impl FirstFault {
    /// What was read; a fault is kept for the end.
    pub fn keep<T>(&mut self, result: Result<T, CollectError>) -> Option<T> {
        result.map_err(|error| self.0.get_or_insert(error)).ok()
    }

    pub fn into_result(self) -> Result<(), CollectError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Whether a family may have this name: for names that the kernel makes up.
pub fn is_metric_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
impl Settings {
    /// Of a host whose files are below `dir`: `proc`, `sys`, `udev`, and the rest as its root.
    pub fn below(dir: &Path) -> Self {
        Self {
            roots: Roots {
                procfs: dir.join("proc"),
                sysfs: dir.join("sys"),
                rootfs: dir.to_owned(),
                udev_data: dir.join("udev"),
            },
            filters: BTreeMap::new(),
            fs_types_exclude: None,
            mount_timeout: Duration::from_secs(2),
            textfile_dir: Some(dir.join("textfile")),
        }
    }
}

#[cfg(test)]
impl Families {
    /// The value of a series, by its labels as they are shown.
    pub fn value(&self, name: &str, labels: &str) -> Option<f64> {
        let family = self.0.iter().find(|family| family.name == name)?;
        family.series.iter().find(|series| series.labels.rendered() == labels).map(|series| series.value)
    }

    /// How many series a family has.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().find(|family| family.name == name).map_or(0, |family| family.series.len())
    }
}

/// Writes a file of a made-up host, and its directories.
#[cfg(test)]
pub fn put(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What a collector shows, and how it ended.
#[cfg(test)]
pub fn seen_by(collector: &mut dyn Collector) -> (Families, Result<(), CollectError>) {
    let mut out = Families::default();
    let ended = collector.collect(&mut out);
    (out, ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_problem_is_cut_between_letters() {
        let error = CollectError::odd("/f", "é".repeat(5_000_000)).to_string();
        assert_eq!(error, format!("/f: {}...", "é".repeat(SHOWN)));
        let whole = "é".repeat(SHOWN);
        assert_eq!(CollectError::odd("/f", whole.clone()).to_string(), format!("/f: {whole}"));
    }
}
