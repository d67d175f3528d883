//! Compiled code on disk, so that a start takes milliseconds: for each version of a plugin its code and, beside it, what
//! it said of itself.
//!
//! Who can write here runs code in the agent. So the directory is the agent's own (mode 0700), and what belongs to
//! somebody else or can be written by others is refused: it is removed and made anew, but for a directory of somebody
//! else, which is not used at all. Files are replaced by renaming and never written in place, because code that runs is
//! mapped from them. A checksum finds what a disk or a crash spoiled. Other engines' code is in other directories, which
//! a sweep removes.
//!
//! What cost the compiler much and gave no code is noted too, so that a start does not pay for it again.
//!
//! What cannot be read is left alone: that says nothing of it, and it may be the only copy of a version that works.
//!
//! A disk that is full or read-only costs the next start its head start, and is said once until it works again. All of it
//! blocks.

mod note;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

use crate::files::{self, FileError};

pub use self::note::{Note, Sum};
use super::code::Code;

/// A note has a schema of 64 KiB at most, which JSON may write longer.
const MAX_NOTE: u64 = 1 << 20;

/// Of the files that a version has here: code, what it is, why there is none.
const ENDINGS: [&str; 3] = ["cwasm", "json", "failed"];

/// What a look found.
#[derive(Debug)]
pub enum Found {
    Hit(Code, Box<Note>),
    Miss,
    /// There was something, which is not to be trusted.
    Refused,
}

/// Why something in the cache is not used.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} belongs to uid {uid}, not to uid {own}", path.display())]
    Owner { path: PathBuf, uid: u32, own: u32 },
    #[error("{} can be written by others (mode {mode:04o})", path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("{} is not a {kind}", path.display())]
    Kind { path: PathBuf, kind: &'static str },
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Refusal {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Could it just not be looked at? That says something of the host.
    fn is_of_the_host(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::File(_))
    }
}

pub struct Cache {
    root: PathBuf,
    /// Of this engine.
    dir: PathBuf,
    /// Held by whoever writes: two would meet in the same temporary file. Is something known to be wrong?
    writing: Mutex<bool>,
}

impl Cache {
    /// `fingerprint` tells which engine the code is for.
    pub fn new(root: PathBuf, fingerprint: &str) -> Self {
        Self { dir: root.join(fingerprint), root, writing: Mutex::new(false) }
    }

    /// Looks for a version, by the SHA-256 of its bytes.
    pub fn find(&self, digest: &str) -> Found {
        match self.is_there() {
            Ok(true) if is_digest(digest) => {}
            Ok(_) => return Found::Miss,
            Err(_) => return self.mend(),
        }
        match self.read(digest) {
            Ok(Some((code, note))) => Found::Hit(code, Box::new(note)),
            Ok(None) => Found::Miss,
            Err(refusal) if refusal.is_of_the_host() => {
                tracing::warn!("compiled code cannot be read, and is left as it is: {refusal}");
                Found::Miss
            }
            Err(refusal) => {
                self.refuse(digest, &refusal);
                Found::Refused
            }
        }
    }

    /// What is ours and was open to others goes, with all that is in it. What belongs to others is theirs.
    fn mend(&self) -> Found {
        let mut troubled = self.lock();
        match self.is_there() {
            Err(refusal @ Refusal::Writable { .. }) if fs::remove_dir_all(&self.root).is_ok() => {
                tracing::warn!("all compiled code is refused, and plugins compiled anew: {refusal}");
            }
            Err(refusal) => {
                self.trouble(&mut troubled, &refusal);
                if refusal.is_of_the_host() {
                    return Found::Miss;
                }
            }
            Ok(_) => {}
        }
        Found::Refused
    }

    fn read(&self, digest: &str) -> Result<Option<(Code, Note)>, Refusal> {
        let (path, note_path) = (self.code_path(digest), self.note_path(digest));
        let (Some(file), Some(note)) = (open_own(&path)?, open_own(&note_path)?) else { return Ok(None) };
        let mut text = Vec::new();
        note.take(MAX_NOTE).read_to_end(&mut text).map_err(|source| Refusal::io(&note_path, source))?;
        let damaged = |path: &Path, what| Refusal::Damaged { path: path.to_owned(), what };
        let note = Note::parse(&text).ok_or_else(|| damaged(&note_path, "it is no note of this version"))?;
        let code = Code::new(file);
        let io = |source| Refusal::io(&path, source);
        if code.size().map_err(io)? != note.code.bytes {
            return Err(damaged(&path, "its length is not what was noted"));
        }
        if code.checksum().map_err(io)? != note.code.crc32 {
            return Err(damaged(&path, "its checksum is not what was noted"));
        }
        Ok(Some((code, note)))
    }

    /// An entry that cannot be loaded although it looks whole.
    pub fn refuse_unloadable(&self, digest: &str) {
        let what = "the engine does not load it";
        self.refuse(digest, &Refusal::Damaged { path: self.code_path(digest), what });
    }

    fn refuse(&self, digest: &str, refusal: &Refusal) {
        tracing::warn!("compiled code is refused, and the plugin compiled anew: {refusal}");
        self.remove(digest);
    }

    pub fn remove(&self, digest: &str) {
        if is_digest(digest) {
            let _writing = self.lock();
            // What cannot be removed is refused again.
            let _ = remove_any(&self.note_path(digest));
            let _ = remove_any(&self.code_path(digest));
        }
    }

    /// Writes code down. It is found once [`Cache::complete`] has noted what it is. None: it cannot be kept.
    pub fn keep(&self, digest: &str, code: &Code) -> Option<(Code, Sum)> {
        if !is_digest(digest) {
            return None;
        }
        let mut troubled = self.lock();
        match self.write(&self.code_path(digest), code) {
            Ok(kept) => {
                if std::mem::take(&mut *troubled) {
                    tracing::info!("compiled code is kept again in {}", self.root.display());
                }
                Some(kept)
            }
            Err(refusal) => {
                self.trouble(&mut troubled, &refusal);
                None
            }
        }
    }

    fn write(&self, path: &Path, code: &Code) -> Result<(Code, Sum), Refusal> {
        files::create_private_dir(&self.dir)?;
        self.is_there()?;
        let temporary = path.with_extension("tmp");
        let copy = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            let crc32 = code.copy_to(&mut file)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(&self.dir)?.sync_all()?;
            Ok(Sum { bytes: code.size()?, crc32 })
        };
        let sum = copy().map_err(|source| {
            let _ = fs::remove_file(&temporary);
            Refusal::io(path, source)
        })?;
        let gone = || Refusal::io(path, io::ErrorKind::NotFound.into());
        Ok((Code::new(open_own(path)?.ok_or_else(gone)?), sum))
    }

    /// Notes what the code is.
    pub fn complete(&self, digest: &str, note: Note) {
        let mut troubled = self.lock();
        if let Err(error) = files::write_atomic(&self.note_path(digest), &note.write()) {
            self.trouble(&mut troubled, &error.into());
        }
    }

    /// Notes that a version does not compile, and why.
    pub fn note_failure(&self, digest: &str, why: &str) {
        let _writing = self.lock();
        let created = is_digest(digest) && files::create_private_dir(&self.dir).is_ok();
        if created && self.is_there().unwrap_or(false) {
            // It costs the next start its time, nothing else.
            let _ = files::write_atomic(&self.failure_path(digest), &note::failure(why));
        }
    }

    /// What was noted so.
    pub fn failure(&self, digest: &str) -> Option<String> {
        if !is_digest(digest) || !self.is_there().unwrap_or(false) {
            return None;
        }
        let mut text = Vec::new();
        open_own(&self.failure_path(digest)).ok()??.take(MAX_NOTE).read_to_end(&mut text).ok()?;
        note::read_failure(&text)
    }

    /// Removes everything but these versions of this engine.
    pub fn keep_only(&self, digests: &BTreeSet<String>) {
        let _writing = self.lock();
        if !self.is_there().unwrap_or(false) {
            return;
        }
        let is_kept = |path: &Path| {
            let known = |ending| path.extension().is_some_and(|extension| extension == ending);
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            let named = ENDINGS.into_iter().any(known) && digest.is_some_and(|digest| digests.contains(digest));
            named && !is_dir(path)
        };
        let others = entries(&self.root).filter(|path| *path != self.dir);
        for path in others.chain(entries(&self.dir).filter(|path| !is_kept(path))) {
            match remove_any(&path) {
                Ok(()) => tracing::debug!("compiled code that no plugin uses is removed: {}", path.display()),
                Err(error) => tracing::debug!("{} cannot be removed: {error}", path.display()),
            }
        }
    }

    /// Can it be used? An error says that it must not be.
    fn is_there(&self) -> Result<bool, Refusal> {
        Ok(is_own_dir(&self.root)? && is_own_dir(&self.dir)?)
    }

    fn trouble(&self, known: &mut bool, refusal: &Refusal) {
        if !std::mem::replace(known, true) {
            tracing::warn!(
                "compiled code cannot be kept in {}, so plugins are compiled at every start: {refusal}{}",
                self.root.display(),
                advice(refusal, &self.root)
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn code_path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.cwasm"))
    }

    fn failure_path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.failed"))
    }

    fn note_path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.json"))
    }
}

fn advice(refusal: &Refusal, root: &Path) -> String {
    match refusal {
        Refusal::Io { .. } | Refusal::File(_) => String::new(),
        _ => format!("; run `rm -r '{}'`, and the agent makes it anew", root.display()),
    }
}

/// It becomes part of a path.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Also a directory that stands where a file should.
fn remove_any(path: &Path) -> io::Result<()> {
    if is_dir(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn is_own_dir(path: &Path) -> Result<bool, Refusal> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        meta => meta.map_err(|source| Refusal::io(path, source))?,
    };
    if !meta.is_dir() {
        return Err(Refusal::Kind { path: path.to_owned(), kind: "directory" });
    }
    is_own(path, &meta).map(|()| true)
}

fn is_own(path: &Path, meta: &fs::Metadata) -> Result<(), Refusal> {
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != own {
        return Err(Refusal::Owner { path: path.to_owned(), uid: meta.uid(), own });
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Refusal::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Opens a file that nobody else can have written; none where there is none.
fn open_own(path: &Path) -> Result<Option<File>, Refusal> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unopened(path, error)),
        Ok(file) => file,
    };
    let meta = file.metadata().map_err(|source| Refusal::io(path, source))?;
    is_own_file(path, &meta).map(|()| Some(file))
}

fn is_own_file(path: &Path, meta: &fs::Metadata) -> Result<(), Refusal> {
    if !meta.is_file() {
        return Err(Refusal::Kind { path: path.to_owned(), kind: "regular file" });
    }
    is_own(path, meta)
}

/// A link, a socket or a file of somebody else does not open, and is known for what it is all the same.
fn unopened(path: &Path, error: io::Error) -> Refusal {
    let judged = fs::symlink_metadata(path).map(|meta| is_own_file(path, &meta));
    match judged {
        Ok(Err(refusal)) => refusal,
        Ok(Ok(())) | Err(_) => Refusal::io(path, error),
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
