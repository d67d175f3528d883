//! Files: who may have written what we read, and writes that are there whole or not at all.
//!
//! Nothing in here follows an untrusted path: the callers give paths from the configuration.

pub mod kept;
mod writer;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, StatVfsMountFlags};

pub use self::writer::Writer;

/// What is read at once.
const PIECE: usize = 128 * 1024;

/// Why a file may not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} belongs to uid {uid}, not to root or uid {own}: run `chown {own} '{}'`", path.display(), path.display())]
    Owner { path: PathBuf, uid: u32, own: u32 },
    #[error(
        "{} can be written by others (mode {mode:04o}): run `chmod go-w '{}'`", path.display(), path.display()
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is in use by another agent: give each agent a state_dir of its own", path.display())]
    Locked { path: PathBuf },
}

impl FileError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Does it say nothing of the file: the process lacks descriptors or memory, or the disk did not answer?
    pub fn is_passing(&self) -> bool {
        use rustix::io::Errno;
        const PASSING: [Errno; 8] = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::INTR,
            Errno::IO,
            Errno::TIMEDOUT,
            Errno::STALE,
        ];
        let Self::Io { source, .. } = self else { return false };
        Errno::from_io_error(source).is_some_and(|errno| PASSING.contains(&errno))
    }

    /// Is the file simply not there?
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Tells whether a file changed: also one that was renamed into place with an old time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// None where there is no such file.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self { inode: meta.ino(), size: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

/// A file (or directory) whose content is trusted must belong to root or to us, and nobody else may write it. What
/// lies on a read-only mount passes: there it is whoever mounted it that is trusted.
pub fn check_owner(path: &Path) -> Result<(), FileError> {
    let meta = fs::metadata(path).map_err(|source| FileError::io(path, source))?;
    let read_only = rustix::fs::statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != 0 && meta.uid() != own {
        return Err(FileError::Owner { path: path.to_owned(), uid: meta.uid(), own });
    }
    let mode = meta.mode() & 0o7777;
    // Others may add files to a sticky directory, but not replace ours; what they add fails its own check.
    let sticky = meta.is_dir() && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky {
        return Err(FileError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Reads a regular file of at most `limit` bytes.
pub fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    read_pieces(path, limit, |piece| bytes.extend_from_slice(piece))?;
    Ok(bytes)
}

/// As [`read_capped`], for whom does not need all of it at once.
pub fn read_pieces(path: &Path, limit: u64, mut take: impl FnMut(&[u8])) -> Result<(), FileError> {
    let io = |source| FileError::io(path, source);
    // O_NONBLOCK: a FIFO in a watched directory must not block us.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let mut reader = BufReader::with_capacity(PIECE, file.take(limit.saturating_add(1)));
    let mut read = 0;
    loop {
        let piece = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            piece => piece.map_err(io)?,
        };
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len();
        read += u64::try_from(length).unwrap_or(u64::MAX);
        if read > limit {
            return Err(FileError::TooLarge { path: path.to_owned(), limit });
        }
        take(piece);
        reader.consume(length);
    }
}

/// Replaces a file: after a crash it holds the old bytes or the new ones. Mode 0600.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    // A bare name has an empty parent, which is no directory to open.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = dir.join(name);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        FileError::io(path, source)
    })
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::io(path, error)),
        _ => Ok(()),
    }
}

/// Creates a directory for our own use, mode 0700, with its parents.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| FileError::io(path, source))
}

/// Held for as long as it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

/// Takes the exclusive lock of a directory: two agents on one state would undo each other's work. The kernel gives
/// it back however we end. On a file system that is read-only the lock is one too, or that of the directory itself.
pub fn lock_dir(dir: &Path) -> Result<Lock, FileError> {
    let path = dir.join("lock");
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = made.or_else(|error| File::open(&path).or_else(|_| File::open(dir)).map_err(|_| error));
    let file = file.map_err(|source| FileError::io(&path, source))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(FileError::Locked { path: dir.to_owned() }),
        Err(error) => Err(FileError::io(&path, error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_that_others_can_write_are_refused_with_the_command() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a.toml");
        write_atomic(&path, b"x").expect("writes");
        check_owner(&path).expect("ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
        let error = check_owner(&path).expect_err("writable").to_string();
        assert!(error.contains("chmod go-w") && error.contains("0666"), "{error}");
    }

    #[test]
    fn reads_are_capped_and_only_of_files() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        write_atomic(&path, b"12345").expect("writes");
        assert_eq!(read_capped(&path, 5).expect("fits"), b"12345");
        assert!(matches!(read_capped(&path, 4), Err(FileError::TooLarge { .. })));
        assert!(matches!(read_capped(dir.path(), 4), Err(FileError::NotAFile { .. })));
        assert!(read_capped(&dir.path().join("none"), 4).expect_err("missing").is_missing());
    }

    #[test]
    fn a_directory_is_locked_once() {
        let dir = tempfile::tempdir().expect("tempdir");
        let first = lock_dir(dir.path()).expect("free");
        assert!(matches!(lock_dir(dir.path()), Err(FileError::Locked { .. })));
        drop(first);
        lock_dir(dir.path()).expect("free again");
    }
}
