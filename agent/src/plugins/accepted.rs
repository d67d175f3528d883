//! Which version of each plugin file was let in last, over a restart: what is put into a directory while the agent is
//! stopped is a new version like any other, and the version before it is gone on with until the new one is in.
//!
//! A memory that was there and cannot be read is not the same as none: what is on disk then may be what waited for an
//! approval. So the loss is itself remembered, until an operator has approved all that waits.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::files::Writer;
use crate::files::kept::{self, Unusable};
use crate::model::checkset::Powers;
use crate::model::name::Name;
use crate::model::requests::{Approved, NotApproved};
use crate::supervise::Supervisor;

const VERSION: u32 = 1;
const WITHOUT: &str = "which versions of plugins were let in is not known any more";
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Names that are remembered: more than plugin files are read from one directory.
const MAX_NAMES: usize = 2_000;
/// A disk that takes longer to take a file is one that cannot be written.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was let in under a name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    pub digest: String,
    pub version: String,
    pub powers: Powers,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Content {
    pub plugins: BTreeMap<Name, Entry>,
    /// Files that were there at the very first start and are taken as approved, by digest, until they are let in: one
    /// may take long to compile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<Name, String>,
    /// There was more, which is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// What the file of a state directory holds.
#[derive(Debug, Clone)]
pub enum Remembered {
    /// There never was one.
    Nothing,
    Known(Content),
    /// There was one, of which nothing is known.
    Lost {
        /// It is still in its place, and may be read at the next start.
        in_place: bool,
    },
}

pub struct Accepted {
    path: PathBuf,
    content: Content,
    /// Nothing was remembered at the start.
    new: bool,
    unread: bool,
    is_written: bool,
    changed: bool,
    /// None while a write is under way.
    writer: Option<Writer>,
    running: Option<BoxFuture<'static, (Writer, Result<(), String>)>>,
    complained: bool,
    /// Approvals that the next write has.
    unwritten: Vec<Reply>,
    /// Those that the one under way has.
    in_write: Vec<Reply>,
}

/// Who approved a version is answered once that is written down.
pub struct Reply {
    pub approved: Approved,
    pub answer: oneshot::Sender<Result<Approved, NotApproved>>,
}

impl Reply {
    /// Whoever asked may have gone: it is let in all the same.
    fn send(self, unwritten: Option<String>) {
        let _ = self.answer.send(Ok(Approved { unwritten, ..self.approved }));
    }
}

impl Remembered {
    pub fn get(&self, name: &Name) -> Option<&Entry> {
        match self {
            Self::Known(content) => content.plugins.get(name),
            Self::Nothing | Self::Lost { .. } => None,
        }
    }
}

/// Reads the file of a state directory. Blocking.
pub fn read(state_dir: &Path) -> Remembered {
    let path = path(state_dir);
    match kept::load(&path, VERSION, MAX_FILE) {
        Ok(content) => Remembered::Known(content),
        // An agent may have ended between setting it aside and writing the next one.
        Err(error) if error.is_missing() && was_set_aside(&path) => Remembered::Lost { in_place: false },
        Err(error) if error.is_missing() => Remembered::Nothing,
        // This says nothing of what is in it.
        Err(Unusable::File(error)) if error.is_passing() => {
            tracing::warn!("{WITHOUT}: {error}; the next start reads it again");
            Remembered::Lost { in_place: true }
        }
        Err(_) => {
            let content = kept::read(&path, VERSION, MAX_FILE, WITHOUT);
            content.map_or(Remembered::Lost { in_place: false }, Remembered::Known)
        }
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("plugins.json")
}

fn was_set_aside(path: &Path) -> bool {
    path.with_extension("json.unusable").symlink_metadata().is_ok()
}

impl Accepted {
    pub fn new(state_dir: &Path, supervisor: Supervisor) -> Self {
        Self {
            path: path(state_dir),
            content: Content::default(),
            new: false,
            unread: false,
            is_written: false,
            changed: false,
            writer: Some(Writer::new(supervisor)),
            running: None,
            complained: false,
            unwritten: Vec::new(),
            in_write: Vec::new(),
        }
    }

    /// Begins with what the file held.
    pub fn restore(&mut self, remembered: Remembered) {
        self.new = matches!(remembered, Remembered::Nothing);
        // What may be read at the next start is not written over before there is something to write.
        self.unread = matches!(remembered, Remembered::Lost { in_place: true });
        self.is_written = self.unread || matches!(remembered, Remembered::Known(_));
        self.content = match remembered {
            Remembered::Known(content) => content,
            Remembered::Nothing => Content::default(),
            Remembered::Lost { .. } => Content { lost: true, ..Content::default() },
        };
    }

    /// Somebody is to approve what comes: also that there is nothing to remember is written down, so that the next
    /// start is not the first.
    pub fn begin(&mut self) {
        self.changed |= !std::mem::replace(&mut self.is_written, true);
    }

    /// Is this the first start of an agent that remembers nothing?
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Was there more, of which nothing is known?
    pub fn is_lost(&self) -> bool {
        self.content.lost
    }

    /// Is what was remembered on disk as it was, for a next start to read?
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// What is remembered from now on is all that there is. Written with the next version that is let in.
    pub fn forget_loss(&mut self) {
        self.content.lost = false;
    }

    pub fn all(&self) -> impl Iterator<Item = (&Name, &Entry)> {
        self.content.plugins.iter()
    }

    pub fn get(&self, name: &Name) -> Option<&Entry> {
        self.content.plugins.get(name)
    }

    /// The digest of a file that is taken as approved.
    pub fn taken(&self, name: &Name) -> Option<&String> {
        self.content.taken.get(name)
    }

    pub fn take(&mut self, files: BTreeMap<Name, String>) {
        self.changed |= !files.is_empty();
        self.content.taken = files;
    }

    /// Also for what is removed later: a plugin that comes back is held against what it was.
    pub fn note(&mut self, name: &Name, entry: Entry) {
        // That it was there at the first start is a reason once: not to come back to it later.
        self.changed |= self.content.taken.remove(name).is_some();
        let plugins = &mut self.content.plugins;
        if plugins.get(name) == Some(&entry) || (plugins.len() >= MAX_NAMES && !plugins.contains_key(name)) {
            return;
        }
        plugins.insert(name.clone(), entry);
        self.changed = true;
    }

    /// Begins to write what changed, unless a write is under way: the next one has it.
    pub fn save(&mut self) {
        if !self.changed {
            return;
        }
        let Some(mut writer) = self.writer.take() else { return };
        (self.changed, self.unread) = (false, false);
        self.in_write.append(&mut self.unwritten);
        let (path, content) = (self.path.clone(), self.content.clone());
        let write = async move {
            let written = writer.write(PATIENCE, move || kept::write(&path, VERSION, &content)).await;
            (writer, written)
        };
        self.running = Some(write.boxed());
    }

    /// Begins to write what changed, and answers once that is done.
    pub fn save_and_reply(&mut self, name: &Name, reply: Reply) {
        if self.get(name).is_none_or(|entry| entry.digest != reply.approved.digest) {
            return reply.send(Some(format!("more than {MAX_NAMES} plugins are remembered")));
        }
        self.unwritten.push(reply);
        self.changed = true;
        self.save();
    }

    /// Waits until the write that is under way has ended; for ever where there is none. Safe to cancel. What changed
    /// meanwhile is written next; what could not be written is tried again when `save` is called.
    pub async fn saved(&mut self) {
        let Some(running) = &mut self.running else { return pending().await };
        let (writer, written) = running.await;
        (self.writer, self.running) = (Some(writer), None);
        self.in_write.drain(..).for_each(|reply| reply.send(written.as_ref().err().cloned()));
        match written {
            Ok(()) => {
                self.complained = false;
                self.save();
            }
            Err(error) => {
                self.changed = true;
                if !std::mem::replace(&mut self.complained, true) {
                    let text = "which versions of plugins were let in is not written down, a restart will not know";
                    tracing::warn!("{text}: {error}");
                }
                if !self.unwritten.is_empty() {
                    self.save();
                }
            }
        }
    }

    /// Writes what is left to write, before the agent ends.
    pub async fn close(&mut self) {
        self.save();
        while self.running.is_some() {
            self.saved().await;
        }
    }
}

#[cfg(test)]
#[path = "accepted_tests.rs"]
mod tests;
