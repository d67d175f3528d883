//! The socket file: where it lies, who may use it, and that no two agents have the same.
//!
//! A lock beside it, which the kernel gives back however an agent ends, tells a socket that was left behind from one
//! that is in use.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Where operators look first.
pub const RUN_DIR: &str = "/run/vitald";

/// Where the agent's socket is to lie: `$RUNTIME_DIRECTORY` (systemd), else `/run/vitald`.
pub fn run_dir() -> PathBuf {
    let given = std::env::var("RUNTIME_DIRECTORY").unwrap_or_default();
    // systemd separates several with colons; ours is the first.
    let first = given.split(':').next().unwrap_or_default();
    if first.is_empty() { RUN_DIR.into() } else { first.into() }
}

/// Why there is no socket in a directory.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not a directory that belongs to us alone", path.display())]
    NotOurs { path: PathBuf },
    #[error("another agent has {}: give each agent an id of its own", path.display())]
    InUse { path: PathBuf },
    #[error("{} is not a socket", path.display())]
    NotASocket { path: PathBuf },
}

/// Bound; removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    pub listener: UnixListener,
    path: PathBuf,
    _lock: File,
}

impl Socket {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// `{run_dir}/<agent id>.sock`, or `{state_dir}/control.sock` where that cannot be had.
pub fn bind(run_dir: Option<&Path>, agent_id: &str, state_dir: &Path) -> Result<Socket, SocketError> {
    if let Some(run_dir) = run_dir {
        match public_dir(run_dir).and_then(|()| bind_in(run_dir, agent_id)) {
            Ok(socket) => return Ok(socket),
            Err(error @ SocketError::InUse { .. }) => {
                tracing::warn!("the control socket lies in {} instead: {error}", state_dir.display());
            }
            // As who we are, that is as it should be.
            Err(error) => tracing::debug!("the control socket lies in {}: {error}", state_dir.display()),
        }
    }
    bind_in(state_dir, "control")
}

/// Makes the directory if it is not there: everybody may look into it, and nobody but us add to it.
fn public_dir(dir: &Path) -> Result<(), SocketError> {
    let io = |source| SocketError::Io { path: dir.to_owned(), source };
    match DirBuilder::new().mode(0o755).create(dir) {
        // Whatever the umask says.
        Ok(()) => std::fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io(error)),
    }
    let meta = std::fs::symlink_metadata(dir).map_err(io)?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if ours { Ok(()) } else { Err(SocketError::NotOurs { path: dir.to_owned() }) }
}

fn bind_in(dir: &Path, stem: &str) -> Result<Socket, SocketError> {
    let path = dir.join(format!("{stem}.sock"));
    let io = |source| SocketError::Io { path: path.clone(), source };
    let lock_path = dir.join(format!("{stem}.lock"));
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock_path).map_err(io)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(SocketError::InUse { path }),
        Err(error) => return Err(io(error.into())),
    }
    // We hold the lock: whoever made the socket that lies there is gone.
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(&path).map_err(io)?,
        Ok(_) => return Err(SocketError::NotASocket { path }),
        Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(io)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(io)?;
    listener.set_nonblocking(true).map_err(io)?;
    Ok(Socket { listener, path, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").mode() & 0o777
    }

    #[test]
    fn it_lies_in_the_run_dir_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().expect("tempdir");
        let run = dir.path().join("run");
        let socket = bind(Some(&run), "web-1", dir.path()).expect("binds");
        let path = run.join("web-1.sock");
        assert_eq!((socket.path(), mode(&run), mode(&path)), (&*path, 0o755, 0o600));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_behind_is_replaced_and_what_is_in_use_is_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("control.sock");
        drop(UnixListener::bind(&path).expect("binds"));
        let live = bind(None, "web-1", dir.path()).expect("replaces");
        let error = bind(None, "web-1", dir.path()).expect_err("in use");
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        std::os::unix::net::UnixStream::connect(live.path()).expect("the first still answers");
    }

    #[test]
    fn a_run_dir_that_cannot_be_had_costs_nothing_but_the_place() {
        let dir = tempfile::tempdir().expect("tempdir");
        let open = dir.path().join("open");
        std::fs::create_dir(&open).expect("mkdir");
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("chmod");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("write");
        for run in [open, file, PathBuf::from("/proc/none")] {
            let socket = bind(Some(&run), "web-1", dir.path()).expect("binds");
            assert_eq!(socket.path(), dir.path().join("control.sock"), "{}", run.display());
        }
    }

    #[test]
    fn another_agent_of_that_id_keeps_its_socket() {
        let dir = tempfile::tempdir().expect("tempdir");
        let run = dir.path().join("run");
        let first = bind(Some(&run), "web-1", dir.path()).expect("binds");
        let second = bind(Some(&run), "web-1", dir.path()).expect("binds");
        assert_ne!(first.path(), second.path());
        std::os::unix::net::UnixStream::connect(first.path()).expect("the first still answers");
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_removed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("control.sock");
        std::fs::write(&path, "somebody's").expect("write");
        assert!(matches!(bind(None, "web-1", dir.path()), Err(SocketError::NotASocket { .. })));
        assert!(path.exists());
    }
}
