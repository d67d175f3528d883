//! A [`Stream`] as `tokio::io::{AsyncRead, AsyncWrite}`, for crates that want those: inside of [`block_on`](crate::block_on).
//!
//! Errors are the same as without: a [`NetError`](crate::NetError) inside the `io::Error`, so that `?` judges the same.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Cause, Phase};
use crate::stream::Stream;
use crate::sys::Interest;
use crate::task::reactor::Registration;

/// What one read asks for at most: that much of a buffer that nobody has filled yet is zeroed for it.
const MAX_READ: usize = 16 * 1024;

/// The waits of a stream. Behind `Any`, so that a checker whose streams never wait has no code for it: cargo gives all
/// checkers of one build the same features.
#[derive(Default)]
pub(crate) struct Waits(Option<Box<dyn Any + Send + Sync>>);

#[derive(Default)]
struct Halves {
    read: Option<Registration>,
    write: Option<Registration>,
}

impl Waits {
    fn halves(&mut self) -> Option<&mut Halves> {
        self.0.get_or_insert_with(|| Box::new(Halves::default())).downcast_mut()
    }
}

impl Stream {
    /// Wakes the task when there is something to read, or room to write.
    fn wait(&mut self, phase: Phase, context: &Context<'_>) -> io::Result<()> {
        let connection = &self.connection;
        let Some(halves) = self.waits.halves() else { return Ok(()) };
        let armed = match phase {
            Phase::Read => arm(&mut halves.read, || connection.readable(), context),
            _ => arm(&mut halves.write, || connection.writable(), context),
        };
        armed.map_err(|cause| self.error(phase, cause))
    }
}

fn arm(
    place: &mut Option<Registration>,
    interest: impl FnOnce() -> Result<Interest, Cause>,
    context: &Context<'_>,
) -> Result<(), Cause> {
    let registration = match place {
        Some(registration) => registration,
        None => place.insert(Registration::ready(interest()?)),
    };
    registration.arm(context.waker());
    Ok(())
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let wanted = buffer.remaining().min(MAX_READ);
        match stream.connection.try_read(buffer.initialize_unfilled_to(wanted)) {
            Ok(Some(count)) => {
                buffer.advance(stream.received(count)?);
                Poll::Ready(Ok(()))
            }
            Ok(None) => {
                stream.wait(Phase::Read, context)?;
                Poll::Pending
            }
            Err(cause) => Poll::Ready(Err(stream.error(Phase::Read, cause))),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        stream.may_send(bytes)?;
        match stream.connection.try_write(bytes) {
            Ok(Some(count)) => Poll::Ready(Ok(count)),
            Ok(None) => {
                stream.wait(Phase::Write, context)?;
                Poll::Pending
            }
            Err(cause) => Poll::Ready(Err(stream.error(Phase::Write, cause))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match stream.connection.try_flush() {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                stream.wait(Phase::Write, context)?;
                Poll::Pending
            }
            Err(cause) => Poll::Ready(Err(stream.error(Phase::Write, cause))),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(context))?;
        Poll::Ready(self.shutdown())
    }
}
