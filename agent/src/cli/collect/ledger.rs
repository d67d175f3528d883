//! The file of reports, and what it has. One line for each report; a report that is there is not written again. A line
//! is there whole and on disk, or not at all. A file that was moved away or removed is made anew with the next report.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::clock;
use crate::model::time::rfc3339;
use crate::report::seal::LARGEST;

use super::text::{Head, line};

/// A line with a report of the largest size and what stands around it.
const MAX_LINE: u64 = (LARGEST as u64) * 2;
/// A stream takes some hundred bytes of memory. When there are more, the one that was heard of longest ago is
/// forgotten: of it a report might be written twice.
const MAX_STREAMS: usize = 100_000;
/// Of every line that we wrote.
const BEGINNING: &[u8] = b"{\"received\":\"";

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is in use by another `vitald collect`: give each a file of its own", path.display())]
    Locked { path: PathBuf },
    #[error("line {line} of {} is no report: name a file that `vitald collect` wrote, or a new one", path.display())]
    Foreign { path: PathBuf, line: usize },
    #[error("{} is not a regular file: reports are confirmed when they are on disk", path.display())]
    NotAFile { path: PathBuf },
}

/// The last report of a stream, and when it was heard of.
#[derive(Debug)]
struct Last {
    sequence: u64,
    time: String,
    heard: u64,
    /// It was said that its numbers went back.
    went_back: bool,
}

#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    streams: BTreeMap<String, Last>,
    /// Counts what was heard.
    heard: u64,
}

/// What became of a report.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered {
    Written,
    /// It was there.
    Known,
}

/// What is read of a line that was written before.
#[derive(serde::Deserialize)]
struct Line {
    report: Head,
}

impl Ledger {
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let file = open_locked(path)?;
        let mut ledger = Self { path: path.to_owned(), file, streams: BTreeMap::new(), heard: 0 };
        let file = ledger.file.try_clone().map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
        ledger.read(file)?;
        Ok(ledger)
    }

    /// How many streams it knows.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    fn read(&mut self, file: File) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let io = |source| LedgerError::Io { path: path.clone(), source };
        let mut reader = BufReader::new(file);
        let (mut whole, mut line) = (0_u64, Vec::new());
        for number in 1.. {
            let foreign = || LedgerError::Foreign { path: path.clone(), line: number };
            line.clear();
            let length = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(io)?;
            if length == 0 {
                break;
            }
            let mut length = u64::try_from(length).unwrap_or(u64::MAX);
            if line.last() == Some(&b'\n') {
                let Line { report } = serde_json::from_slice(&line).map_err(|_| foreign())?;
                self.hear(&report);
            } else if length < MAX_LINE {
                // A crash cut it off before it was confirmed: it comes again.
                tracing::warn!("the last line of {} was cut off, and is cut away", self.path.display());
                reader.get_ref().set_len(whole).map_err(io)?;
                break;
            } else if line.starts_with(BEGINNING) {
                tracing::error!("line {number} of {} is too long to be read, and is left out", self.path.display());
                length = length.saturating_add(skip_line(&mut reader).map_err(io)?.ok_or_else(foreign)?);
            } else {
                return Err(foreign());
            }
            whole = whole.saturating_add(length);
        }
        Ok(())
    }

    /// What was written last counts.
    fn hear(&mut self, head: &Head) {
        self.heard += 1;
        let heard = self.heard;
        if let Some(last) = self.streams.get_mut(&head.stream) {
            last.heard = heard;
            if last.is_before(head) {
                last.sequence = head.sequence;
                head.time.clone_into(&mut last.time);
            }
            return;
        }
        if self.streams.len() >= MAX_STREAMS {
            let oldest = self.streams.iter().min_by_key(|(_, last)| last.heard).map(|(stream, _)| stream.clone());
            oldest.map(|oldest| self.streams.remove(&oldest));
        }
        let last = Last { sequence: head.sequence, time: head.time.clone(), heard, went_back: false };
        self.streams.insert(head.stream.clone(), last);
    }

    /// Writes a report down as it came, unless it is there. Blocks until it is on disk; an error leaves the file as it
    /// was.
    pub fn enter(&mut self, head: &Head, agent: &str, json: &[u8]) -> Result<Entered, LedgerError> {
        if self.streams.get(&head.stream).is_some_and(|last| !last.is_before(head)) {
            self.hear(head);
            return Ok(Entered::Known);
        }
        self.append(&line(&rfc3339(clock::now().wall), json))?;
        self.note_numbers(head, agent);
        self.hear(head);
        Ok(Entered::Written)
    }

    /// One line for each stream: two agents with one state would have one for every report.
    fn note_numbers(&mut self, head: &Head, agent: &str) {
        let Some(last) = self.streams.get_mut(&head.stream) else { return };
        if head.sequence <= last.sequence && !std::mem::replace(&mut last.went_back, true) {
            tracing::warn!(
                "agent {agent:?}: stream {} goes back from number {} to {}: its state_dir was restored from a copy, or \
                 is used twice; its reports are written all the same",
                head.stream,
                last.sequence,
                head.sequence
            );
        }
    }

    fn append(&mut self, line: &[u8]) -> Result<(), LedgerError> {
        self.follow()?;
        let io = |source| LedgerError::Io { path: self.path.clone(), source };
        append_to(&mut self.file, line).map_err(io)?;
        if self.file.metadata().map_err(io)?.nlink() > 0 {
            return Ok(());
        }
        // It was removed just now, and the line with it.
        self.follow()?;
        append_to(&mut self.file, line).map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    /// Whoever rotates the file moves it away: what is confirmed is to be in the file of that name.
    fn follow(&mut self) -> Result<(), LedgerError> {
        let io = |source| LedgerError::Io { path: self.path.clone(), source };
        let own = self.file.metadata().map_err(io)?;
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let file = open_locked(&self.path)?;
        self.read(file.try_clone().map_err(|source| LedgerError::Io { path: self.path.clone(), source })?)?;
        tracing::info!("{} is another file now, reports go there", self.path.display());
        self.file = file;
        Ok(())
    }
}

impl Last {
    /// A number of before with a later time is another report: the numbers were given twice.
    fn is_before(&self, head: &Head) -> bool {
        head.sequence > self.sequence || head.time > self.time
    }
}

/// Opens or makes the file; its name is on disk, too.
fn open_locked(path: &Path) -> Result<File, LedgerError> {
    let io = |source| LedgerError::Io { path: path.to_owned(), source };
    // What is no file is not opened: a FIFO or a device may do anything then.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(LedgerError::NotAFile { path: path.to_owned() });
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path).map_err(io)?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        return Err(match error {
            rustix::io::Errno::WOULDBLOCK => LedgerError::Locked { path: path.to_owned() },
            error => io(error.into()),
        });
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    Ok(file)
}

fn append_to(file: &mut File, line: &[u8]) -> io::Result<()> {
    // Looked at each time: whoever rotates the file may have cut it.
    let before = file.metadata()?.len();
    let written = file.write_all(line).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line would spoil the next one.
        file.set_len(before)?;
    }
    written
}

/// The bytes up to the end of the line; None if it has none.
fn skip_line(reader: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut skipped = 0_u64;
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(None);
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(part.len(), |end| end.saturating_add(1));
        reader.consume(length);
        skipped = skipped.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if end.is_some() {
            return Ok(Some(skipped));
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
