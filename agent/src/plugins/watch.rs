//! Notices that something changed where definitions and plugins are read from. Directories are watched, never files:
//! also those that hold a directory, so that one that is replaced or made later is seen, and those that links lead to.
//! What changed is not asked here.
//!
//! Where the kernel does not tell of changes, or gives no more watches, the caller looks every [`POLL`] instead, and
//! people are told why.

mod remote;
mod trail;
mod watches;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Error, ErrorKind};
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::model::checkset::Places;

use super::look::At;

use self::trail::{Filter, Wanted};
use self::watches::{Identity, Watches};

/// Notifications can be lost.
const SAFETY: Duration = Duration::from_secs(60);
/// Without notifications.
const POLL: Duration = Duration::from_secs(5);
/// Directories that links lead to, and what else is watched: `max_user_watches` is shared with everybody.
const MAX_WATCHED: usize = 256;

pub struct Watch {
    /// None before the first look, while they are arranged, and where there cannot be any.
    watches: Option<Watches>,
    /// One is enough: an event means that a look is to be made.
    sender: mpsc::Sender<()>,
    events: mpsc::Receiver<()>,
    /// What is said of the watches: once.
    troubles: BTreeSet<String>,
    /// Directories of which it was said that they are polled.
    remote: BTreeSet<PathBuf>,
    polls: bool,
}

impl Default for Watch {
    fn default() -> Self {
        let (sender, events) = mpsc::channel(1);
        let (troubles, remote) = (BTreeSet::new(), BTreeSet::new());
        Self { watches: None, sender, events, troubles, remote, polls: false }
    }
}

/// What is watched from now on.
#[derive(Debug, Default)]
pub struct Arranged {
    watches: Option<Watches>,
    remote: BTreeMap<PathBuf, &'static str>,
    troubles: BTreeSet<String>,
    /// Something is watched that was not before: what changed until then was no event.
    renewed: bool,
}

impl Watch {
    /// How long to wait before looking without having been told to.
    pub fn safety_interval(&self) -> Duration {
        if self.polls { POLL } else { SAFETY }
    }

    /// What arranges the watches, to be called on a blocking thread before each look.
    pub fn arranging(&mut self) -> impl FnOnce(&Places, &At) -> Arranged + Send + use<> {
        let (before, events) = (self.watches.take(), self.sender.clone());
        move |places, at| match go_on(before, events) {
            Ok(watches) => arrange(watches, wanted(places, at), at),
            Err(error) => Arranged { troubles: [trouble_of_all(&error)].into(), ..Arranged::default() },
        }
    }

    /// Takes over what was arranged, and says what is other than before.
    /// True if something is watched that was not before.
    pub fn arranged(&mut self, arranged: Arranged) -> bool {
        let seconds = POLL.as_secs();
        for (dir, file_system) in &arranged.remote {
            if self.remote.insert(dir.clone()) {
                let dir = dir.display();
                tracing::info!(
                    "{dir} is on {file_system}, where changes of others are not notified: looking every {seconds} s"
                );
            }
        }
        for trouble in arranged.troubles.difference(&self.troubles) {
            tracing::warn!("changes of files are not notified, looking every {seconds} s instead: {trouble}");
        }
        if arranged.troubles.is_empty() && !self.troubles.is_empty() {
            tracing::info!("changes of files are notified again");
        }
        self.polls = !arranged.remote.is_empty() || !arranged.troubles.is_empty();
        (self.watches, self.troubles) = (arranged.watches, arranged.troubles);
        arranged.renewed
    }

    /// Waits until something changed. Safe to cancel.
    pub async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            pending().await
        }
    }
}

fn go_on(before: Option<Watches>, events: mpsc::Sender<()>) -> notify::Result<Watches> {
    let Some(mut watches) = before else { return Watches::begin(events) };
    match watches.check() {
        Ok(()) => Ok(watches),
        Err(error) => {
            tracing::warn!("the notifications of changes broke off, beginning anew: {error}");
            Watches::begin(events)
        }
    }
}

fn wanted(places: &Places, at: &At) -> Wanted {
    let mut wanted = Wanted::default();
    let kinds = [(&places.plugin_dirs, Some(".wasm")), (&places.conf_dirs, Some(".toml")), (&places.secret_dirs, None)];
    for (dirs, ending) in kinds {
        for dir in dirs {
            at.is(dir);
            wanted.directory(dir, ending);
        }
    }
    if let Some(main) = &places.main {
        at.is(main);
        wanted.file(main);
    }
    wanted
}

fn arrange(mut watches: Watches, wanted: Wanted, at: &At) -> Arranged {
    let mut arranged = Arranged::default();
    if wanted.0.len() > MAX_WATCHED {
        let text = format!("{} directories would have to be watched, more than {MAX_WATCHED}", wanted.0.len());
        arranged.troubles.insert(text);
    }
    let mut dirs = BTreeMap::new();
    for (dir, filter) in wanted.0.into_iter().take(MAX_WATCHED) {
        at.is(&dir);
        if filter.content
            && let Some(file_system) = remote::file_system(&dir)
        {
            arranged.remote.insert(dir.clone(), file_system);
        }
        match Identity::of(&dir).map(|identity| identity.map(|identity| dirs.entry(identity))) {
            Ok(Some(Entry::Vacant(vacant))) => {
                vacant.insert((dir, filter));
            }
            Ok(Some(Entry::Occupied(mut occupied))) => merge(&mut occupied.get_mut().1, filter),
            // It went meanwhile, which is an event where it was.
            Ok(None) => {}
            Err(error) => {
                arranged.troubles.insert(trouble(&dir, &error.into()));
            }
        }
    }
    let failed = watches.watch_only(dirs, at);
    arranged.renewed = watches.renewed;
    arranged.troubles.extend(failed.iter().map(|(dir, error)| trouble(dir, error)));
    arranged.watches = Some(watches);
    arranged
}

/// One directory under two paths has one watch.
fn merge(filter: &mut Filter, other: Filter) {
    filter.all |= other.all;
    filter.volumes |= other.volumes;
    filter.content |= other.content;
    filter.names.extend(other.names);
    filter.endings.extend(other.endings);
}

fn trouble(dir: &Path, error: &Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "this user has as many watches as the kernel allows; raise it: \
                                     `sysctl fs.inotify.max_user_watches=524288`"
            .to_owned(),
        ErrorKind::Io(error) => format!("{}: {error}", dir.display()),
        _ => error.to_string(),
    }
}

fn trouble_of_all(error: &Error) -> String {
    match &error.kind {
        ErrorKind::Io(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            "this user has as many inotify instances as the kernel allows; raise it: \
             `sysctl fs.inotify.max_user_instances=1024`"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
#[path = "watch/watch_tests.rs"]
mod tests;
