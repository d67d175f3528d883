//! The same connections without waiting, and the one place that waits for many.

use std::io::Read as _;
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::{Pollable, poll};

use crate::bindings::wasi::io::streams::StreamError;
use crate::length::nanos;
use crate::net::Cause;

use super::{Connection, MAX_READ};

/// A half of a connection that may have something to say.
pub(crate) struct Interest(Pollable);

impl Connection {
    /// `read` that does not wait: nothing yet is none.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Cause> {
        let (input, _) = self.halves()?;
        match input.read(buffer.len().min(MAX_READ) as u64) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => Ok(Some(bytes.as_slice().read(buffer).unwrap_or_default())),
            Err(StreamError::Closed) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what can be sent now; none where nothing can. What was taken may still be on its way: see
    /// [`try_flush`](Self::try_flush).
    pub(crate) fn try_write(&self, bytes: &[u8]) -> Result<Option<usize>, Cause> {
        let (_, output) = self.halves()?;
        let room = usize::try_from(output.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            return Ok(None);
        }
        let now = bytes.get(..room).unwrap_or(bytes);
        output.write(now)?;
        output.flush()?;
        Ok(Some(now.len()))
    }

    /// Is everything sent that was taken?
    pub(crate) fn try_flush(&self) -> Result<bool, Cause> {
        let (_, output) = self.halves()?;
        Ok(output.check_write()? > 0)
    }

    pub(crate) fn readable(&self) -> Result<Interest, Cause> {
        Ok(Interest(self.halves()?.0.subscribe()))
    }

    pub(crate) fn writable(&self) -> Result<Interest, Cause> {
        Ok(Interest(self.halves()?.1.subscribe()))
    }
}

/// Waits until one of them is ready or the time is over; which are ready. One of both must be given.
pub(crate) fn wait(interests: &[&Interest], limit: Option<Duration>) -> Vec<usize> {
    let timer = limit.map(|limit| monotonic_clock::subscribe_duration(nanos(limit)));
    let all: Vec<&Pollable> = interests.iter().map(|interest| &interest.0).chain(&timer).collect();
    // The timer stands last, so that no interest has its index.
    poll(&all).into_iter().filter_map(|index| usize::try_from(index).ok()).collect()
}
