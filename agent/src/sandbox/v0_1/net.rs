//! The interface `net` of `vitald:check@0.1`, hosted.

use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, IoError};

use crate::sandbox::captured::{one_line, truncated};
use crate::sandbox::egress::ConnectError;
use crate::sandbox::net::{Connection, Input, Output};
use crate::sandbox::store::Guest;
use crate::sandbox::wire::WireError;
use crate::tls::{TlsError, Wish};

use super::bindings::vitald::check::net;
use super::{LABEL_VALUE, MESSAGE, nanos};

/// Application protocols that one handshake may offer.
const PROTOCOLS: usize = 16;

impl net::Host for Guest {
    async fn connect(
        &mut self,
        host: String,
        port: u16,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<Resource<Connection>, net::Error>> {
        if self.is_full_of_sockets() {
            return Ok(Err(connect_error(self.egress.full())));
        }
        let opened = self.egress.connect(&host, port, timeout.map(Duration::from_nanos)).await;
        Ok(match opened {
            Ok(opened) => Ok(self.table.push(Connection::new(opened))?),
            Err(error) => Err(connect_error(error)),
        })
    }

    async fn error_of(&mut self, error: Resource<IoError>) -> wasmtime::Result<Option<net::Error>> {
        Ok(self.table.get(&error)?.downcast_ref::<WireError>().map(wire_error))
    }
}

fn connect_error(error: ConnectError) -> net::Error {
    match error {
        ConnectError::Denied => net::Error::Denied,
        ConnectError::NameNotFound => net::Error::NameNotFound,
        ConnectError::NameUnavailable => net::Error::NameUnavailable,
        ConnectError::Timeout => net::Error::Timeout,
        ConnectError::TooMany(_) | ConnectError::TooManyNames | ConnectError::Setup(TlsError::ServerName(_)) => {
            net::Error::Other(error.to_string())
        }
        // Which files is not the guest's to know; the check's fault says it.
        ConnectError::Setup(_) => net::Error::Other("the TLS files of this check cannot be used".into()),
        ConnectError::Wire(error) => wire_error(&error),
    }
}

fn wire_error(error: &WireError) -> net::Error {
    match error {
        WireError::Io(error) => io_error(error),
        WireError::Tls(reason) => net::Error::Tls(truncated(one_line(reason), MESSAGE)),
        WireError::Closed => net::Error::Closed,
    }
}

fn io_error(error: &std::io::Error) -> net::Error {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => net::Error::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => net::Error::Reset,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => net::Error::Unreachable,
        ErrorKind::TimedOut => net::Error::Timeout,
        ErrorKind::BrokenPipe | ErrorKind::NotConnected => net::Error::Closed,
        _ => net::Error::Other(error.to_string()),
    }
}

/// What a guest asks of a handshake, as far as it makes sense.
fn wish<'a>(said: &'a net::TlsOptions, host: &'a str) -> Result<Wish<'a>, net::Error> {
    let other = |text: String| Err(net::Error::Other(text));
    if let Some((key, _)) = said.attributes.first() {
        return other(format!("this host knows no TLS attribute {:?}", truncated(one_line(key), LABEL_VALUE)));
    }
    if said.alpn.len() > PROTOCOLS || said.alpn.iter().any(|name| !(1..=255).contains(&name.len())) {
        return other(format!("alpn: at most {PROTOCOLS} names of 1 to 255 bytes are wanted"));
    }
    Ok(Wish {
        server_name: said.server_name.as_deref().unwrap_or(host),
        alpn: said.alpn.iter().map(|name| name.clone().into_bytes()).collect(),
        inspect: said.inspect_only,
    })
}

impl net::HostConnection for Guest {
    async fn start_tls(
        &mut self,
        connection: Resource<Connection>,
        options: net::TlsOptions,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<(), net::Error>> {
        let held = self.table.get_mut(&connection)?;
        if held.tls.is_some() {
            return Ok(Err(net::Error::Other("this connection speaks TLS already".into())));
        }
        let wish = match wish(&options, &held.host) {
            Ok(wish) => wish,
            Err(error) => return Ok(Err(error)),
        };
        let started = self.egress.start_tls(&held.wire, wish, timeout.map(Duration::from_nanos)).await;
        Ok(match started {
            Ok((wire, peer, took)) => {
                held.upgraded(wire, peer, took, options.inspect_only);
                Ok(())
            }
            Err(ConnectError::Wire(WireError::Closed)) => {
                Err(net::Error::Tls("the peer closed the connection during the handshake".into()))
            }
            Err(error) => Err(connect_error(error)),
        })
    }

    async fn streams(
        &mut self,
        connection: Resource<Connection>,
    ) -> wasmtime::Result<Result<(Resource<DynInputStream>, Resource<DynOutputStream>), net::Error>> {
        let connection = self.table.get_mut(&connection)?;
        if connection.inspect_only {
            return Ok(Err(net::Error::Other("a connection made with inspect-only carries no data".into())));
        }
        if std::mem::replace(&mut connection.taken, true) {
            return Ok(Err(net::Error::Other("the streams were taken already".into())));
        }
        let wire = connection.wire.clone();
        let input: DynInputStream = Box::new(Input(wire.clone()));
        let output: DynOutputStream = Box::new(Output(wire));
        Ok(Ok((self.table.push(input)?, self.table.push(output)?)))
    }

    async fn shutdown(&mut self, connection: Resource<Connection>) -> wasmtime::Result<Result<(), net::Error>> {
        Ok(self.table.get(&connection)?.wire.shutdown().map_err(|error| wire_error(&error)))
    }

    async fn address(&mut self, connection: Resource<Connection>) -> wasmtime::Result<String> {
        Ok(self.table.get(&connection)?.wire.socket.peer.to_string())
    }

    async fn tls(&mut self, connection: Resource<Connection>) -> wasmtime::Result<Option<net::TlsPeer>> {
        Ok(self.table.get(&connection)?.tls.clone().map(|peer| net::TlsPeer {
            version: peer.version,
            cipher: peer.cipher,
            alpn: peer.alpn,
            certificates: peer.certificates,
            verify_error: peer.verify_error,
            attributes: peer.attributes,
        }))
    }

    async fn timings(&mut self, connection: Resource<Connection>) -> wasmtime::Result<Vec<(String, u64)>> {
        let timings = &self.table.get(&connection)?.timings;
        Ok(timings.iter().map(|(phase, length)| ((*phase).to_owned(), nanos(*length))).collect())
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}
