//! Who we are to etcd, kept in the state directory: a random owner, bound to this machine, and the lease we hold. A
//! restarted agent continues its lease, so that its keys never go; a cloned machine must not continue another's.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

const FILE: &str = "registry.json";
const MAX_FILE: u64 = 64 * 1024;

#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Stored {
    machine_id: String,
    owner: String,
    lease: Option<Lease>,
}

/// A lease that was granted.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Lease {
    pub id: i64,
    /// What was asked for, in seconds; another wish is another lease.
    pub asked_ttl: i64,
}

#[derive(Debug)]
pub struct Identity {
    path: PathBuf,
    stored: Stored,
}

impl Identity {
    /// Reads the identity, or makes a new one.
    pub fn load(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
        let stored = read(&path).filter(|stored| stored.machine_id == machine_id && !stored.owner.is_empty());
        let identity = match stored {
            Some(stored) => Self { path, stored },
            None => {
                let owner = format!("{:032x}", rand::random::<u128>());
                Self { path, stored: Stored { machine_id, owner, lease: None } }
            }
        };
        if let Err(error) = identity.save() {
            tracing::warn!("the identity is not written down, a restart would be another owner: {error}");
        }
        identity
    }

    pub fn owner(&self) -> &str {
        &self.stored.owner
    }

    pub fn lease(&self) -> Option<Lease> {
        self.stored.lease
    }

    /// Remembers a lease before anything is put under it. A disk that does not take it costs a restarted agent its
    /// continuity, and nothing else.
    pub fn set_lease(&mut self, lease: Option<Lease>) {
        self.stored.lease = lease;
        if let Err(error) = self.save() {
            tracing::warn!("the lease is not written down, a restart would get another: {error}");
        }
    }

    fn save(&self) -> Result<(), FileError> {
        let bytes = serde_json::to_vec(&self.stored).unwrap_or_default();
        files::write_atomic(&self.path, &bytes)
    }
}

fn read(path: &Path) -> Option<Stored> {
    let bytes = match files::check_owner(path).and_then(|()| files::read_capped(path, MAX_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return None,
        Err(error) => {
            tracing::warn!("the identity is made anew: {error}");
            return None;
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| tracing::warn!("{} is damaged: {error}", path.display())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_kept_unless_it_is_damaged() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut first = Identity::load(dir.path());
        first.set_lease(Some(Lease { id: 7, asked_ttl: 15 }));
        let again = Identity::load(dir.path());
        assert_eq!((again.owner(), again.lease()), (first.owner(), first.lease()));
        std::fs::write(dir.path().join(FILE), b"{").expect("write");
        let fresh = Identity::load(dir.path());
        assert_ne!(fresh.owner(), first.owner());
        assert_eq!(fresh.lease(), None);
    }

    #[test]
    fn another_machine_is_another_owner() {
        let dir = tempfile::tempdir().expect("tempdir");
        let stored =
            Stored { machine_id: "another".into(), owner: "x".into(), lease: Some(Lease { id: 1, asked_ttl: 5 }) };
        std::fs::write(dir.path().join(FILE), serde_json::to_vec(&stored).expect("json")).expect("write");
        let identity = Identity::load(dir.path());
        assert_ne!(identity.owner(), "x");
        assert_eq!(identity.lease(), None);
    }
}
