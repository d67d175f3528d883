//! The resources of the interface `net`: a connection and its two streams, which poll the socket themselves. No task
//! and no extra buffer per direction.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::tls::Peer;

use super::egress::Opened;
use super::wire::{CHUNK, Wire, WireError};

/// A connection as the guest holds it: the socket closes when this and both streams are gone.
#[derive(Debug)]
pub struct Connection {
    pub wire: Arc<Wire>,
    /// The host of `connect`, for the name that TLS verifies.
    pub host: String,
    /// The two halves are given out once per layer.
    pub taken: bool,
    pub tls: Option<Peer>,
    /// The handshake was for looking at the certificates alone.
    pub inspect_only: bool,
    pub timings: Vec<(&'static str, Duration)>,
}

impl Connection {
    pub fn new(opened: Opened) -> Self {
        let Opened { wire, host, timings } = opened;
        Self { wire: Arc::new(wire), host, taken: false, tls: None, inspect_only: false, timings }
    }

    /// From here on TLS is spoken; streams that were taken before are closed.
    pub fn upgraded(&mut self, wire: Wire, peer: Peer, took: Duration, inspect_only: bool) {
        self.wire = Arc::new(wire);
        self.tls = Some(peer);
        self.taken = false;
        self.inspect_only = inspect_only;
        self.timings.push(("tls", took));
    }
}

pub struct Input(pub Arc<Wire>);

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        // Without TLS this waits once: the socket is asked before it is read.
        self.0.readable().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.read(size).map_err(stream_error)
    }
}

pub struct Output(pub Arc<Wire>);

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        // Whoever waits for a flush waits until everything is sent; an error shows at the next check.
        self.0.writable().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > CHUNK || !self.0.flush().map_err(stream_error)? {
            return Err(StreamError::trap("a write without a permit of check-write"));
        }
        self.0.write(bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.0.flush().map(drop).map_err(stream_error)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.0.flush().map_err(stream_error)? { CHUNK } else { 0 })
    }
}

fn stream_error(error: WireError) -> StreamError {
    match error {
        WireError::Closed => StreamError::Closed,
        error => StreamError::LastOperationFailed(error.into()),
    }
}
