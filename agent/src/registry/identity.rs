//! Who we are to etcd, kept in the state directory: a random owner, bound to this machine, and the lease we hold. A
//! restarted agent continues its lease, so that its keys never go; a cloned machine must not continue another's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::files::Writer;
use crate::files::kept;
use crate::supervise::Supervisor;

const FILE: &str = "registry.json";
/// Changes when the file's form does.
const VERSION: u32 = 2;
const MAX_FILE: u64 = 64 * 1024;

#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Stored {
    machine_id: String,
    owner: String,
    lease: Option<Lease>,
    /// A lease of ours that had another TTL: keys may hang on it still.
    #[serde(default)]
    retiring: Option<i64>,
}

/// A lease that was granted.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Lease {
    pub id: i64,
    /// What was asked for, in seconds; another wish is another lease.
    pub asked_ttl: i64,
    /// When it was granted, since the Unix epoch.
    #[serde(default)]
    pub granted_at: Duration,
}

/// How long a write may take; it goes on beside us after that.
const PATIENCE: Duration = Duration::from_secs(2);
/// Until a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

pub struct Identity {
    path: PathBuf,
    stored: Stored,
    writer: Writer,
    /// What is on disk is not what we know.
    dirty: bool,
    /// A disk that does not take it is worth one warning.
    warned: bool,
    tried: Instant,
}

impl Identity {
    /// Reads the identity, or makes a new one.
    pub fn load(state_dir: &Path, supervisor: Supervisor) -> Self {
        let path = state_dir.join(FILE);
        let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
        let read: Option<Stored> = kept::read(&path, VERSION, MAX_FILE, "the agent is another owner, of no lease");
        let read = read.filter(|stored| stored.machine_id == machine_id && !stored.owner.is_empty());
        let dirty = read.is_none();
        let stored = read.unwrap_or_else(|| {
            let owner = format!("{:032x}", rand::random::<u128>());
            Stored { machine_id, owner, ..Stored::default() }
        });
        let writer = Writer::new(supervisor);
        Self { path, stored, writer, dirty, warned: false, tried: Instant::now() }
    }

    pub fn owner(&self) -> &str {
        &self.stored.owner
    }

    pub fn lease(&self) -> Option<Lease> {
        self.stored.lease
    }

    /// A lease that keys may hang on still.
    pub fn retiring(&self) -> Option<i64> {
        self.stored.retiring
    }

    /// Remembers a lease before anything is put under it; that of before retires. A disk that does not take it costs
    /// a restarted agent its continuity, and nothing else.
    pub async fn set_lease(&mut self, lease: Lease) {
        self.stored.retiring = self.stored.lease.map(|before| before.id).or(self.stored.retiring);
        self.stored.lease = Some(lease);
        self.save().await;
    }

    /// The lease is gone, and everything that hung on it.
    pub async fn lost_lease(&mut self) {
        self.stored.lease = None;
        self.save().await;
    }

    /// Nothing hangs on the lease of before any more.
    pub async fn retired(&mut self) {
        self.stored.retiring = None;
        self.save().await;
    }

    /// Writes what could not be written before, if it is time.
    pub async fn catch_up(&mut self) {
        if self.dirty && self.tried.elapsed() > AGAIN {
            self.save().await;
        }
    }

    /// Writes it down, beside the loop that renews the lease: a disk may take its time, but not ours.
    async fn save(&mut self) {
        self.dirty = true;
        self.tried = Instant::now();
        let (path, stored) = (self.path.clone(), self.stored.clone());
        match self.writer.write(PATIENCE, move || kept::write(&path, VERSION, &stored)).await {
            Ok(()) => {
                self.dirty = false;
                if std::mem::take(&mut self.warned) {
                    tracing::info!("the identity and the lease are written down again");
                }
            }
            Err(problem) => self.warn(&problem),
        }
    }

    fn warn(&mut self, why: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!("the identity and the lease are not written down, a restart would be another owner: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;

    fn lease(id: i64, asked_ttl: i64) -> Lease {
        Lease { id, asked_ttl, granted_at: Duration::from_secs(1) }
    }

    fn load(dir: &Path) -> Identity {
        let (supervisor, _) = Supervisor::new(Handle::current(), Handle::current());
        Identity::load(dir, supervisor)
    }

    #[tokio::test]
    async fn an_identity_is_kept_unless_it_is_damaged() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut first = load(dir.path());
        first.set_lease(lease(7, 15)).await;
        let again = load(dir.path());
        assert_eq!((again.owner(), again.lease()), (first.owner(), first.lease()));
        std::fs::write(dir.path().join(FILE), b"{").expect("write");
        let fresh = load(dir.path());
        assert_ne!(fresh.owner(), first.owner());
        assert_eq!(fresh.lease(), None);
    }

    #[tokio::test]
    async fn another_machine_is_another_owner() {
        let dir = tempfile::tempdir().expect("tempdir");
        let held = Some(lease(1, 5));
        let stored = Stored { machine_id: "another".into(), owner: "x".into(), lease: held, retiring: Some(3) };
        kept::write(&dir.path().join(FILE), VERSION, &stored).expect("write");
        let identity = load(dir.path());
        assert_ne!(identity.owner(), "x");
        assert_eq!((identity.lease(), identity.retiring()), (None, None));
    }

    #[tokio::test]
    async fn a_lease_with_another_ttl_retires() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut identity = load(dir.path());
        identity.set_lease(lease(7, 15)).await;
        identity.set_lease(lease(8, 30)).await;
        assert_eq!(load(dir.path()).retiring(), Some(7));
        identity.retired().await;
        assert_eq!(load(dir.path()).retiring(), None);
        identity.lost_lease().await;
        identity.set_lease(lease(9, 30)).await;
        assert_eq!(identity.retiring(), None, "what is lost holds nothing");
    }

    #[tokio::test]
    async fn what_a_disk_does_not_take_is_written_later() {
        let dir = tempfile::tempdir().expect("tempdir");
        let missing = dir.path().join("not-there-yet");
        let mut identity = load(&missing);
        identity.set_lease(lease(7, 15)).await;
        assert!(identity.dirty && identity.warned);
        std::fs::create_dir(&missing).expect("mkdir");
        identity.tried = Instant::now() - AGAIN * 2;
        identity.catch_up().await;
        assert!(!identity.dirty);
        assert_eq!(load(&missing).lease(), identity.lease());
    }
}
