//! Compiled code: what the agent is about to run as if it were its own. It is loaded here alone, and only from files
//! that the agent made: see `cache` and `compile`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, StatVfsMountFlags};
use rustix::io::Errno;
use wasmtime::component::Component;

/// Bytes of a file that are looked at in one go.
const CHUNK: usize = 256 << 10;

/// An open file with compiled code, which nobody writes any more.
#[derive(Debug)]
pub struct Code(File);

impl Code {
    /// A file in memory for code that is being made.
    pub fn in_memory() -> io::Result<File> {
        Ok(File::from(rustix::fs::memfd_create("vitald-code", MemfdFlags::CLOEXEC)?))
    }

    /// Of a file that the agent made.
    pub fn new(file: File) -> Self {
        Self(file)
    }

    pub fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Copies everything; the CRC-32 of what was copied.
    pub fn copy_to(&self, to: &mut impl Write) -> io::Result<u32> {
        let (mut hasher, mut buffer, mut at) = (crc32fast::Hasher::new(), vec![0; CHUNK], 0);
        loop {
            let read = match self.0.read_at(&mut buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(hasher.finalize());
            }
            hasher.update(bytes);
            to.write_all(bytes)?;
            at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }

    pub fn checksum(&self) -> io::Result<u32> {
        self.copy_to(&mut io::sink())
    }

    /// Maps the file. On a file system mounted `noexec`, where code cannot be mapped from, its bytes are copied, which
    /// costs the memory that they take.
    pub fn load(&self, engine: &wasmtime::Engine) -> wasmtime::Result<Component> {
        let mount = rustix::fs::fstatvfs(&self.0)?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            let mut bytes = Vec::new();
            self.copy_to(&mut bytes)?;
            return copied(engine, &bytes);
        }
        // By its descriptor: its name may lead elsewhere by now.
        mapped(engine, &format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// Did the operating system refuse something (descriptors, memory, /proc)? That says nothing of the code.
pub fn is_of_the_host(error: &wasmtime::Error) -> bool {
    let is_errno = |cause: &(dyn std::error::Error + 'static)| cause.is::<io::Error>() || cause.is::<Errno>();
    error.is::<wasmtime::error::OutOfMemory>() || error.chain().any(is_errno)
}

#[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise")]
#[expect(clippy::disallowed_methods, reason = "the one place that loads compiled code")]
fn mapped(engine: &wasmtime::Engine, path: &str) -> wasmtime::Result<Component> {
    // SAFETY: wasmtime made these bytes, here or in a child of ours, and checks that they suit this version of it and
    // this engine. They came to us in memory, or from a file in a directory that only we write, with the checksum that
    // was noted then. Files of the cache are replaced and never written in place, so nothing changes while it is mapped.
    unsafe { Component::deserialize_file(engine, path) }
}

#[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise")]
#[expect(clippy::disallowed_methods, reason = "the one place that loads compiled code")]
fn copied(engine: &wasmtime::Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: as above.
    unsafe { Component::deserialize(engine, bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_refuses_is_told_from_what_the_code_is() {
        let wrapped = |error: wasmtime::Error| error.context("outer");
        for error in [
            io::Error::from(io::ErrorKind::NotFound).into(),
            wrapped(io::Error::from(io::ErrorKind::NotFound).into()),
            wrapped(Errno::NOMEM.into()),
            Errno::MFILE.into(),
        ] {
            assert!(is_of_the_host(&error), "{error:?}");
        }
        assert!(!is_of_the_host(&wrapped(wasmtime::Error::msg("module was compiled for another engine"))));
    }
}
