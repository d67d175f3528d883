//! A connected socket, and what is spoken on it: bytes as they are, or TLS. Nothing here waits but `ready`-like calls,
//! and nothing runs beside them: whoever wants bytes polls the socket itself.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use rustls::ClientConnection;
use tokio::net::TcpStream;

use crate::tls;

use super::activity::Step;
use super::egress::Slot;
use super::observer::Way;

/// The most that one read returns or one write takes: what a guest can make the host allocate.
pub const CHUNK: usize = 64 * 1024;

/// Why an operation on a wire failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(String),
    /// The peer ended it, or TLS was put upon it.
    #[error("closed")]
    Closed,
}

impl From<rustls::Error> for WireError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(tls::reason(&error))
    }
}

impl WireError {
    fn is_not_ready(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A connected socket. It closes when everything that speaks on it is gone.
#[derive(Debug)]
pub struct Socket {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub slot: Slot,
}

/// What is spoken on a socket.
#[derive(Debug)]
pub struct Wire {
    pub socket: Arc<Socket>,
    state: Mutex<State>,
    /// TLS was put upon it since.
    covered: AtomicBool,
}

#[derive(Debug)]
struct State {
    tls: Option<Box<ClientConnection>>,
    /// What the socket did not take yet, without TLS: rustls has a buffer of its own.
    pending: Bytes,
    /// What we send ends once everything is sent.
    ending: bool,
    /// The peer closed the socket.
    ended: bool,
    failed: Option<rustls::Error>,
}

/// A socket as `std::io` for rustls: it never waits.
struct Direct<'a>(&'a TcpStream);

impl io::Read for Direct<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    pub fn plain(socket: Arc<Socket>) -> Self {
        Self::new(socket, State::new(None))
    }

    fn new(socket: Arc<Socket>, state: State) -> Self {
        Self { socket, state: Mutex::new(state), covered: AtomicBool::new(false) }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, WireError> {
        if self.covered.load(Ordering::Relaxed) {
            return Err(WireError::Closed);
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is there of the next `size` bytes; none yet is an empty answer, the end is [`WireError::Closed`].
    pub fn read(&self, size: usize) -> Result<Bytes, WireError> {
        let mut state = self.state()?;
        match state.read(&self.socket.stream, size.min(CHUNK)) {
            Err(error) if error.is_not_ready() => Ok(Bytes::new()),
            read => {
                let egress = &self.socket.slot.egress;
                read.inspect(|bytes| egress.moved(Way::In, bytes)).inspect_err(|error| egress.broke(error))
            }
        }
    }

    /// Takes bytes to send. To be called when everything before was sent: see [`Wire::flush`].
    pub fn write(&self, bytes: Bytes) -> Result<(), WireError> {
        let mut state = self.state()?;
        self.socket.slot.egress.moved(Way::Out, &bytes);
        match &mut state.tls {
            Some(tls) => tls.writer().write_all(&bytes)?,
            None => state.pending = bytes,
        }
        state.flush(&self.socket.stream).map(drop)
    }

    /// Sends what the socket takes; is everything sent?
    pub fn flush(&self) -> Result<bool, WireError> {
        self.state()?.flush(&self.socket.stream)
    }

    /// Ends what we send, once it is sent: FIN, after `close_notify` in TLS.
    pub fn shutdown(&self) -> Result<(), WireError> {
        let mut state = self.state()?;
        if let Some(tls) = &mut state.tls {
            tls.send_close_notify();
        }
        state.ending = true;
        state.flush(&self.socket.stream).map(drop)
    }

    /// Waits until a read gives bytes, the end or an error.
    pub async fn readable(&self) {
        loop {
            if self.state().map_or(true, |mut state| state.is_readable()) {
                return;
            }
            self.socket.slot.egress.activity.step(Step::Read);
            if self.socket.stream.readable().await.is_err() {
                return;
            }
            match self.state() {
                // TLS may have sent what is no data: a ticket, a new key.
                Ok(mut state) if state.tls.is_some() => state.receive(&self.socket.stream),
                _ => return,
            }
        }
    }

    /// Waits until everything is sent, or cannot be.
    pub async fn writable(&self) {
        while matches!(self.flush(), Ok(false)) {
            self.socket.slot.egress.activity.step(Step::Write);
            if self.socket.stream.writable().await.is_err() {
                return;
            }
        }
    }

    /// [`Wire::read`] for those who bring a waker.
    pub fn poll_read(&self, context: &mut Context<'_>, size: usize) -> Poll<Result<Bytes, WireError>> {
        if size == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        loop {
            match self.read(size) {
                Ok(bytes) if bytes.is_empty() => {}
                read => return Poll::Ready(read),
            }
            self.socket.slot.egress.activity.step(Step::Read);
            std::task::ready!(self.socket.stream.poll_read_ready(context))?;
        }
    }

    /// Waits until everything is sent, for those who bring a waker.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        while !self.flush()? {
            self.socket.slot.egress.activity.step(Step::Write);
            std::task::ready!(self.socket.stream.poll_write_ready(context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Shakes hands on the socket; whatever held this wire before can no longer use it. What was written before is sent
    /// first.
    pub async fn handshake(&self, mut tls: ClientConnection) -> Result<Self, WireError> {
        self.writable().await;
        self.flush()?;
        self.covered.store(true, Ordering::Relaxed);
        // Nothing is written before all of the last chunk is sent, so that one is all it holds.
        tls.set_buffer_limit(None);
        let mut state = State::new(Some(Box::new(tls)));
        let stream = &self.socket.stream;
        loop {
            while !state.flush(stream)? {
                stream.writable().await?;
            }
            let Some(tls) = &state.tls else { return Err(WireError::Closed) };
            if !tls.is_handshaking() {
                return Ok(Self::new(self.socket.clone(), state));
            }
            stream.readable().await?;
            state.receive(stream);
            if let Some(error) = state.failed.take() {
                // The peer is told why.
                let _ = state.flush(stream);
                return Err(error.into());
            }
            if state.ended {
                return Err(WireError::Closed);
            }
        }
    }

    /// Looks at the TLS connection, where there is one.
    pub fn with_tls<T>(&self, look: impl FnOnce(&ClientConnection) -> T) -> Option<T> {
        self.state().ok()?.tls.as_deref().map(look)
    }
}

impl State {
    fn new(tls: Option<Box<ClientConnection>>) -> Self {
        Self { tls, pending: Bytes::new(), ending: false, ended: false, failed: None }
    }

    fn read(&mut self, stream: &TcpStream, size: usize) -> Result<Bytes, WireError> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        if self.tls.is_some() {
            return self.read_tls(stream, size);
        }
        let mut buffer = BytesMut::with_capacity(size);
        if stream.try_read_buf(&mut buffer)? == 0 {
            return Err(WireError::Closed);
        }
        buffer.truncate(size);
        Ok(buffer.freeze())
    }

    fn read_tls(&mut self, stream: &TcpStream, size: usize) -> Result<Bytes, WireError> {
        if self.plaintext() == 0 && self.failed.is_none() && !self.ended {
            self.receive(stream);
        }
        let there = self.plaintext().min(size);
        if there > 0 {
            let Some(tls) = &mut self.tls else { return Err(WireError::Closed) };
            let mut buffer = BytesMut::zeroed(there);
            let read = tls.reader().read(&mut buffer)?;
            buffer.truncate(read);
            return Ok(buffer.freeze());
        }
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        // An end without close_notify is what many servers do; protocols know when they are cut short.
        if self.ended || self.was_closed() {
            return Err(WireError::Closed);
        }
        Err(io::Error::from(io::ErrorKind::WouldBlock).into())
    }

    /// Takes what the socket has for TLS, and answers what TLS itself wants answered.
    fn receive(&mut self, stream: &TcpStream) {
        let Some(tls) = &mut self.tls else { return };
        match tls.read_tls(&mut Direct(stream)) {
            Ok(0) => self.ended = true,
            Ok(_) => {
                self.failed = tls.process_new_packets().err();
                let _ = tls.write_tls(&mut Direct(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Reset: the same as an end that nobody announced.
            Err(_) => self.ended = true,
        }
    }

    fn plaintext(&mut self) -> usize {
        let state = self.tls.as_mut().and_then(|tls| tls.process_new_packets().ok());
        state.map_or(0, |state| state.plaintext_bytes_to_read())
    }

    fn was_closed(&mut self) -> bool {
        let state = self.tls.as_mut().and_then(|tls| tls.process_new_packets().ok());
        state.is_none_or(|state| state.peer_has_closed())
    }

    /// Without TLS the socket itself knows.
    fn is_readable(&mut self) -> bool {
        self.tls.is_some() && (self.failed.is_some() || self.ended || self.plaintext() > 0 || self.was_closed())
    }

    fn flush(&mut self, stream: &TcpStream) -> Result<bool, WireError> {
        match self.send(stream) {
            Err(error) if error.is_not_ready() => return Ok(false),
            Err(error) => {
                self.pending.clear();
                return Err(error);
            }
            Ok(()) => {}
        }
        if std::mem::take(&mut self.ending) {
            rustix::net::shutdown(stream, rustix::net::Shutdown::Write).map_err(io::Error::from)?;
        }
        Ok(true)
    }

    fn send(&mut self, stream: &TcpStream) -> Result<(), WireError> {
        while !self.pending.is_empty() {
            let sent = stream.try_write(&self.pending)?;
            drop(self.pending.split_to(sent));
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut Direct(stream))?;
            }
        }
        Ok(())
    }
}
