//! The other end of the control socket: what commands use. Blocking, for a command does one thing.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::protocol::{Answer, MAX_ANSWER, PROGRESS, Process, Request, line, own_namespace};

/// An agent that answers nothing for so long will not: see `answer::HEALTH_PATIENCE`.
const PATIENCE: Duration = Duration::from_secs(60);
const _: () = assert!(PATIENCE.as_secs() > PROGRESS.as_secs());

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the agent ended before it answered")]
    Ended,
    #[error("the agent says nothing")]
    Silent,
    #[error("the connection to the agent broke: {0}")]
    Broken(#[source] io::Error),
    #[error("this vitald is older than the agent and does not understand it: {0}")]
    NotUnderstood(#[from] serde_json::Error),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Ended,
            _ => Self::Broken(error),
        }
    }
}

/// A connection, for one request.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The uid of who listens.
    pub fn peer(&self) -> io::Result<u32> {
        Ok(socket_peercred(self.stream.get_ref())?.uid.as_raw())
    }

    /// Asks, and waits for how it ended.
    pub fn ask(&mut self, request: &Request, mut progress: impl FnMut(&str)) -> Result<Answer, ClientError> {
        // An agent that is busy or does not know us says so without having read: its word is worth more than the error.
        let written = self.stream.get_mut().write_all(&line(request));
        loop {
            match self.answer() {
                Ok(Answer::Progress(text)) => progress(&text),
                Ok(last) => return Ok(last),
                Err(error) => return written.map_err(ClientError::from).and(Err(error)),
            }
        }
    }

    fn answer(&mut self) -> Result<Answer, ClientError> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(MAX_ANSWER).read_until(b'\n', &mut line)?;
        if read == 0 { Err(ClientError::Ended) } else { Ok(serde_json::from_slice(&line)?) }
    }

    /// Waits until the agent has ended; false if that takes longer.
    pub fn wait_ended(mut self, agent: &Process, patience: Duration) -> io::Result<bool> {
        if *agent.namespace == *own_namespace()
            && let Some(pid) = i32::try_from(agent.pid).ok().and_then(Pid::from_raw)
        {
            return match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(process) => process_ended(&process, patience),
                Err(rustix::io::Errno::SRCH) => Ok(true),
                Err(_) => self.connection_ended(patience),
            };
        }
        self.connection_ended(patience)
    }

    /// The next best sign, where its process cannot be seen.
    fn connection_ended(&mut self, patience: Duration) -> io::Result<bool> {
        self.stream.get_mut().set_read_timeout(Some(patience))?;
        match self.stream.read(&mut [0]) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(false),
            _ => Ok(true),
        }
    }
}

/// A process that has ended makes its descriptor readable (pidfd_open(2)).
fn process_ended(process: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience))?;
    Ok(ended > 0)
}
