//! Streams that poll the socket themselves: no task and no extra buffer per direction.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::activity::Step;
use super::egress::Socket;

/// The most that one read returns or one write takes: what a guest can make the host allocate.
const CHUNK: usize = 64 * 1024;

/// A connection as the guest holds it: the socket closes when this and both streams are gone.
#[derive(Debug)]
pub struct Connection {
    pub socket: Arc<Socket>,
    /// The two halves are given out once.
    pub taken: bool,
}

impl Connection {
    pub fn new(socket: Arc<Socket>) -> Self {
        Self { socket, taken: false }
    }

    /// Ends what we send.
    pub fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.socket.stream, rustix::net::Shutdown::Write)?)
    }
}

pub struct Input(pub Arc<Socket>);

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.0.activity.step(Step::Read);
        // An error shows again at the read.
        let _ = self.0.stream.readable().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(CHUNK);
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::with_capacity(size);
        match self.0.stream.try_read_buf(&mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(_) => {
                buffer.truncate(size);
                Ok(buffer.freeze())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

pub struct Output {
    socket: Arc<Socket>,
    /// What the socket did not take yet.
    pending: Bytes,
}

impl Output {
    pub fn new(socket: Arc<Socket>) -> Self {
        Self { socket, pending: Bytes::new() }
    }

    fn send_pending(&mut self) -> StreamResult<()> {
        while !self.pending.is_empty() {
            match self.socket.stream.try_write(&self.pending) {
                Ok(sent) => drop(self.pending.split_to(sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    self.pending.clear();
                    return Err(StreamError::LastOperationFailed(error.into()));
                }
            }
        }
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.socket.activity.step(Step::Write);
        // Whoever waits for a flush waits until everything is sent; an error shows at the next check.
        while !self.pending.is_empty() {
            let writable = self.socket.stream.writable().await;
            if writable.is_err() || self.send_pending().is_err() {
                return;
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.pending.is_empty() || bytes.len() > CHUNK {
            return Err(StreamError::trap("a write without a permit of check-write"));
        }
        self.pending = bytes;
        self.send_pending()
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.send_pending()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.send_pending()?;
        Ok(if self.pending.is_empty() { CHUNK } else { 0 })
    }
}
