//! The watches on directories. `notify` has them by path and ends some by itself: those of a directory that goes, or that
//! is renamed, with all below it. So each is asked for again before each look, which is cheap, and a path that leads to
//! another directory than before is given up first.
//!
//! It panics when its thread is lost or could not be started, so that is asked beforehand.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{io, mem, thread};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Config, Error, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch as channel};

use super::super::look::At;
use super::trail::Filter;

/// What matters in the watched directories.
pub type Filters = BTreeMap<PathBuf, Filter>;

/// Device and inode: of two paths to one directory the kernel knows only one watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity(u64, u64);

impl Identity {
    /// Of a directory; none where there is none any more.
    pub fn of(dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(dir) {
            Ok(meta) => Ok(Some(&meta).filter(|meta| meta.is_dir()).map(Self::from_meta)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn from_meta(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }
}

#[derive(Debug)]
pub struct Watches {
    /// Always there, but while it is dropped.
    notify: Option<RecommendedWatcher>,
    filters: channel::Sender<Filters>,
    watched: BTreeMap<PathBuf, Identity>,
    /// The last time, something came to be watched, or went.
    pub renewed: bool,
}

impl Watches {
    /// Begins without any. Whoever listens to `events` is told that something changed, not what.
    pub fn begin(events: mpsc::Sender<()>) -> notify::Result<Self> {
        // That there is no room for another thread, notify would not say.
        let _ = thread::Builder::new().spawn(|| {})?.join();
        let (filters, seen) = channel::channel(Filters::new());
        let notify = notify::recommended_watcher(move |event| {
            if matters(&event, &seen.borrow()) {
                // Full means that a look is coming anyway.
                let _ = events.try_send(());
            }
        })?;
        let mut watches = Self { notify: Some(notify), filters, watched: BTreeMap::new(), renewed: false };
        watches.check()?;
        Ok(watches)
    }

    /// Is there still somebody who notifies?
    pub fn check(&mut self) -> notify::Result<()> {
        match &mut self.notify {
            // Changes nothing; of all that notify can be asked, it alone does not panic.
            Some(notify) => notify.configure(Config::default()).map(drop),
            None => Err(Error::generic("it has ended")),
        }
    }

    /// Watches these directories and nothing else any more; what could not be watched.
    pub fn watch_only(&mut self, wanted: BTreeMap<Identity, (PathBuf, Filter)>, at: &At) -> Vec<(PathBuf, Error)> {
        let Some(notify) = &mut self.notify else { return Vec::new() };
        let before = mem::take(&mut self.watched);
        self.watched = wanted.iter().map(|(identity, (dir, _))| (dir.clone(), *identity)).collect();
        self.filters.send_replace(wanted.into_values().collect());
        for (gone, _) in before.iter().filter(|(dir, identity)| self.watched.get(*dir) != Some(identity)) {
            // Where the directory is gone this fails: its watch ended with it.
            let _ = notify.unwatch(gone);
        }
        let mut failed = Vec::new();
        for dir in self.watched.keys() {
            at.is(dir);
            if let Err(error) = notify.watch(dir, RecursiveMode::NonRecursive) {
                let _ = notify.unwatch(dir);
                failed.push((dir.clone(), error));
            }
        }
        self.watched.retain(|dir, _| failed.iter().all(|(failed, _)| failed != dir));
        self.renewed = self.watched != before;
        // What went meanwhile is an event where it was.
        failed.retain(|(_, error)| match &error.kind {
            ErrorKind::PathNotFound => false,
            ErrorKind::Io(error) => !is_gone(error),
            _ => true,
        });
        failed
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        if self.check().is_err() {
            mem::forget(self.notify.take());
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// On notify's thread. Reading makes events too, which must not lead to more reading.
fn matters(event: &notify::Result<Event>, filters: &Filters) -> bool {
    let Ok(event) = event else { return true };
    if event.need_rescan() {
        return true;
    }
    let is_content = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => return false,
        // Rights too: a file that was refused is looked at again once they are mended.
        EventKind::Modify(change) => !matches!(change, ModifyKind::Name(_)),
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => false,
    };
    let counts = |filter: &Filter| filter.content || !is_content;
    event.paths.iter().any(|path| {
        // Of a watched directory that is renamed notify may have ended the watch, whatever its name means to others.
        filters.get(path).is_some_and(counts)
            || path
                .parent()
                .and_then(|dir| filters.get(dir))
                .is_some_and(|filter| counts(filter) && filter.matters(path.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const RIGHTS: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    const RENAMED: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const MADE: EventKind = EventKind::Create(CreateKind::File);
    const REMOVED: EventKind = EventKind::Remove(RemoveKind::Folder);

    fn filters() -> Filters {
        let plugins = Filter { all: true, content: true, ..Filter::default() };
        let above = Filter { names: ["plugins".into()].into(), ..Filter::default() };
        [("/etc/vitald/plugins".into(), plugins), ("/etc/vitald".into(), above)].into()
    }

    fn counts(kind: EventKind, path: &str) -> bool {
        matters(&Ok(Event::new(kind).add_path(path.into())), &filters())
    }

    #[test]
    fn what_is_written_counts_where_content_does() {
        for kind in [WRITTEN, RIGHTS, CLOSED, MADE, RENAMED, REMOVED] {
            assert!(counts(kind, "/etc/vitald/plugins/a.wasm"), "{kind:?}");
            assert!(counts(kind, "/etc/vitald/plugins"), "{kind:?}: of itself");
            assert!(!counts(kind, "/etc/vitald/other"), "{kind:?}");
            assert!(!counts(kind, "/elsewhere/plugins"), "{kind:?}: not watched any more");
        }
        for (kind, is_name) in [(WRITTEN, false), (RIGHTS, false), (CLOSED, false), (RENAMED, true), (REMOVED, true)] {
            assert_eq!(counts(kind, "/etc/vitald"), is_name, "{kind:?}");
        }
    }

    #[test]
    fn reading_is_no_event_and_what_was_lost_is_one() {
        for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read] {
            assert!(!counts(EventKind::Access(kind), "/etc/vitald/plugins/a.wasm"), "{kind:?}");
        }
        assert!(matters(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), &filters()));
        assert!(matters(&Err(Error::generic("lost")), &filters()));
    }

    #[test]
    fn a_thread_that_is_lost_is_noticed_and_takes_nobody_with_it() {
        let dir = tempfile::tempdir().expect("tempdir");
        let notify = notify::recommended_watcher(|_| panic!("the thread of this test is lost")).expect("notify");
        let filters = channel::channel(Filters::new()).0;
        let mut watches = Watches { notify: Some(notify), filters, watched: BTreeMap::new(), renewed: false };
        watches.check().expect("alive");
        let identity = Identity::of(dir.path()).expect("identity").expect("a directory");
        let failed =
            watches.watch_only([(identity, (dir.path().to_owned(), Filter::default()))].into(), &At::default());
        assert!(failed.is_empty(), "{failed:?}");
        std::fs::write(dir.path().join("a"), "").expect("write");
        let began = Instant::now();
        while watches.check().is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "nobody notices");
            thread::yield_now();
        }
    }
}
