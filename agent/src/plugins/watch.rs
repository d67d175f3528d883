//! Notices that something in the watched directories changed. Directories are watched, never files, and their parents
//! with them, so that a directory that is replaced or made later is seen. What changed is not asked here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Notifications can be lost, and some file systems send none.
const SAFETY: Duration = Duration::from_secs(60);
/// Without notifications.
const POLL: Duration = Duration::from_secs(5);

pub struct Watch {
    dirs: Vec<PathBuf>,
    events: mpsc::Sender<()>,
    watcher: Option<RecommendedWatcher>,
    /// What is watched, with its device and inode: another directory under the same path is watched anew.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    complained: bool,
}

impl Watch {
    pub fn new(dirs: Vec<PathBuf>, events: mpsc::Sender<()>) -> Self {
        Self { dirs, events, watcher: None, watched: BTreeMap::new(), complained: false }
    }

    /// How long to wait before looking without having been told to.
    pub fn safety_interval(&self) -> Duration {
        if self.complained { POLL } else { SAFETY }
    }

    /// Watches what is to be watched and is not yet; to be called before each look.
    pub fn start(&mut self) {
        if let Err(error) = self.try_start() {
            if !self.complained {
                let seconds = POLL.as_secs();
                tracing::warn!("changes of files are not notified, looking every {seconds} s instead: {error}");
            }
            self.complained = true;
        } else {
            self.complained = false;
        }
    }

    fn try_start(&mut self) -> notify::Result<()> {
        if self.dirs.is_empty() {
            return Ok(());
        }
        if self.watcher.is_none() {
            let (dirs, events) = (self.dirs.clone(), self.events.clone());
            self.watcher = Some(notify::recommended_watcher(move |event| {
                if matters(&event, &dirs) {
                    // Full means that a look is coming anyway.
                    let _ = events.try_send(());
                }
            })?);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let wanted = self.dirs.iter().flat_map(|dir| [existing(dir), dir.parent().and_then(existing)]).flatten();
        let wanted: BTreeMap<PathBuf, (u64, u64)> =
            wanted.filter_map(|dir| Some((dir.clone(), identity(&dir)?))).collect();
        for (gone, _) in self.watched.iter().filter(|(dir, id)| wanted.get(*dir) != Some(id)) {
            let _ = watcher.unwatch(gone);
        }
        self.watched.retain(|dir, id| wanted.get(dir) == Some(id));
        for (dir, id) in wanted {
            if let Entry::Vacant(vacant) = self.watched.entry(dir) {
                watcher.watch(vacant.key(), RecursiveMode::NonRecursive)?;
                vacant.insert(id);
            }
        }
        Ok(())
    }
}

/// The directory itself, or the nearest one above it that is there.
fn existing(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned)
}

fn identity(dir: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Reading makes events too, which must not lead to more reading; and of a parent's events only those about the
/// watched directories count.
fn matters(event: &notify::Result<Event>, dirs: &[PathBuf]) -> bool {
    let Ok(event) = event else { return true };
    if event.need_rescan() {
        return true;
    }
    let writes = match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let about = |path: &PathBuf| dirs.iter().any(|dir| path.starts_with(dir) || dir.starts_with(path));
    writes && (event.paths.is_empty() || event.paths.iter().any(about))
}
