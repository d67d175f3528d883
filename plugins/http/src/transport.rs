//! ureq on connections of the SDK's: the host resolves and connects, and ends a run that takes too long, so ureq does
//! none of that here.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use vitald_sdk::Stream;

/// Hands out one connection, whatever is asked for.
#[derive(Debug)]
pub(crate) struct Connected(Mutex<Option<Stream>>);

impl Connected {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(Mutex::new(Some(stream)))
    }
}

impl Connector for Connected {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, Error> {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(stream.map(|stream| Wire { stream, buffers }))
    }
}

/// Looks nothing up. ureq wants an address; nobody connects to this one.
#[derive(Debug)]
pub(crate) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        Ok(addresses)
    }
}

/// A connection as ureq drives it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    buffers: LazyBuffers,
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// One run, one request: nothing is kept for another.
    fn is_open(&mut self) -> bool {
        false
    }

    /// ureq asks so that `https` goes over nothing else.
    fn is_tls(&self) -> bool {
        true
    }
}
