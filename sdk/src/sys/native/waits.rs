//! The same connections without waiting, and the one place that waits for many.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::net::Cause;

use super::{Connection, patiently, stage};

/// A half of a connection that may have something to say.
pub(crate) struct Interest {
    stream: Arc<TcpStream>,
    flags: PollFlags,
}

impl Connection {
    /// `read` that does not wait: nothing yet is none.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Cause> {
        self.without_waiting(|mut stream| stream.read(buffer))
    }

    /// Sends what can be sent now; none where nothing can.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> Result<Option<usize>, Cause> {
        self.without_waiting(|mut stream| stream.write(bytes))
    }

    /// What was taken is sent by the kernel.
    pub(crate) fn try_flush(&self) -> Result<bool, Cause> {
        Ok(true)
    }

    pub(crate) fn readable(&self) -> Result<Interest, Cause> {
        Ok(Interest { stream: self.stream.clone(), flags: PollFlags::IN })
    }

    pub(crate) fn writable(&self) -> Result<Interest, Cause> {
        Ok(Interest { stream: self.stream.clone(), flags: PollFlags::OUT })
    }

    fn without_waiting(
        &self,
        mut operation: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Result<Option<usize>, Cause> {
        patiently(|| {
            // When the run is over, nobody goes on.
            stage::left()?;
            self.stream.set_nonblocking(true)?;
            let done = operation(&self.stream);
            self.stream.set_nonblocking(false)?;
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                done => done.map(Some),
            }
        })
    }
}

/// Waits until one of them is ready, the time is over or the run is; which are ready. At the run's end all are, so that
/// their operations fail. Where there is none, nothing would fail, and the run is ended.
pub(crate) fn wait(interests: &[&Interest], limit: Option<Duration>) -> Vec<usize> {
    let all = || (0..interests.len()).collect();
    let left = match stage::left() {
        Ok(left) => left,
        Err(_) if interests.is_empty() => stage::end(),
        Err(_) => return all(),
    };
    let limit = limit.map_or(left, |limit| limit.min(left));
    let mut polled: Vec<PollFd<'_>> =
        interests.iter().map(|interest| PollFd::new(&*interest.stream, interest.flags)).collect();
    // Rounded up: who wakes too early waits again.
    let timeout = Timespec::try_from(limit + Duration::from_micros(1)).unwrap_or_default();
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) if stage::until_end().is_zero() => all(),
        Ok(_) => polled.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(index, _)| index).collect(),
        Err(_) => Vec::new(),
    }
}
