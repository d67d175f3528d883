//! `wasi:http` under the check's grants: every request, so every hop of a redirect too, opens a connection of its own
//! through [`Egress`]. Nothing is pooled: a pooled connection would hide that names, ports or certificates fail.
//!
//! HTTP/1.1 alone, and a response of at most [`MAX_BODY`]; a guest's timeouts are held to what its run has left.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::FusedFuture as _;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::http::{Request, Response, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Sleep, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::tls::Wish;

use super::egress::{ConnectError, Egress};
use super::wire::{CHUNK, Wire, WireError};

/// The most of one response that a guest gets, in bytes.
const MAX_BODY: usize = 16 << 20;

type Driving = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = (Response<WasiBody>, Driving);

/// The most that the host holds of a request's body that is not sent yet: a guest may have many.
const OUTGOING: usize = 16 << 10;

/// What `wasi:http` asks of us.
pub struct Hooks(pub Arc<Egress>);

impl WasiHttpHooks for Hooks {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        OUTGOING
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        1
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Driving,
    ) -> Box<dyn Future<Output = wasmtime_wasi_http::Result<Sent>> + Send> {
        let egress = self.0.clone();
        Box::new(async move { send(&egress, request, options.unwrap_or_default()).await })
    }
}

async fn send(
    egress: &Arc<Egress>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> wasmtime_wasi_http::Result<Sent> {
    let io = connect(egress, request.uri(), options.connect_timeout).await?;
    // The request line names no host: there is no proxy that would want it.
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let (mut sender, connection) = http1::handshake(io).await.map_err(Error::from)?;
    let mut connection = Box::pin(connection.fuse());
    let until = options.first_byte_timeout.and_then(|limit| Instant::now().checked_add(limit));
    let until = until.map_or(egress.deadline(), |own| own.min(egress.deadline()));
    let answer = async {
        let mut answer = pin!(sender.send_request(request));
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // What it left is still to be had.
            _ = &mut connection => {}
        }
        answer.await
    };
    let response = timeout_at(until.into(), answer).await.map_err(|_| Error::ConnectionReadTimeout)??;
    let body = |incoming| Capped::new(incoming, options.between_bytes_timeout, egress.deadline()).boxed_unsync();
    // It goes on beside the guest until the response or the run ends.
    let driving =
        async move { if connection.is_terminated() { Ok(()) } else { connection.await.map_err(Error::from) } };
    Ok((response.map(body), Box::new(driving)))
}

async fn connect(egress: &Arc<Egress>, uri: &Uri, limit: Option<Duration>) -> wasmtime_wasi_http::Result<HttpWire> {
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let opened = egress.connect(host, port, limit).await.map_err(http_error)?;
    if !secure {
        return Ok(HttpWire(opened.wire));
    }
    let wish = Wish { server_name: &opened.host, alpn: vec![b"http/1.1".to_vec()], inspect: false };
    let (wire, ..) = egress.start_tls(&opened.wire, wish, limit).await.map_err(http_error)?;
    Ok(HttpWire(wire))
}

fn http_error(error: ConnectError) -> Error {
    match error {
        ConnectError::Denied => Error::HttpRequestDenied,
        ConnectError::NameNotFound => Error::DnsError { rcode: Some("NXDOMAIN".into()), info_code: None },
        ConnectError::NameUnavailable => Error::DnsTimeout,
        ConnectError::Timeout => Error::ConnectionTimeout,
        ConnectError::TooMany(_) | ConnectError::TooManyNames => Error::ConnectionLimitReached,
        ConnectError::Setup(_) => Error::ConfigurationError,
        ConnectError::Wire(WireError::Io(error)) => Error::Connect(error),
        ConnectError::Wire(WireError::Tls(_)) => Error::TlsCertificateError,
        ConnectError::Wire(WireError::Closed) => Error::ConnectionTerminated,
    }
}

/// A wire as hyper wants it.
struct HttpWire(Wire);

fn io(error: WireError) -> std::io::Error {
    match error {
        WireError::Io(error) => error,
        other => std::io::Error::other(other),
    }
}

impl Read for HttpWire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        match ready!(self.0.poll_read(context, buffer.remaining())) {
            Ok(bytes) => buffer.put_slice(&bytes),
            Err(WireError::Closed) => {}
            Err(error) => return Poll::Ready(Err(io(error))),
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for HttpWire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        ready!(self.0.poll_flush(context)).map_err(io)?;
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        self.0.write(Bytes::copy_from_slice(chunk)).map_err(io)?;
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.poll_flush(context).map_err(io)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.0.shutdown().map_err(io))
    }
}

/// A response's body that ends with an error where it is too large or too slow.
struct Capped {
    inner: Incoming,
    left: usize,
    pause: Option<Duration>,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Capped {
    fn new(inner: Incoming, pause: Option<Duration>, deadline: Instant) -> Self {
        let alarm = Box::pin(tokio::time::sleep_until(alarm_at(pause, deadline)));
        Self { inner, left: MAX_BODY, pause, deadline, alarm }
    }
}

fn alarm_at(pause: Option<Duration>, deadline: Instant) -> tokio::time::Instant {
    let own = pause.and_then(|pause| Instant::now().checked_add(pause));
    own.map_or(deadline, |own| own.min(deadline)).into()
}

impl Body for Capped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            ready!(self.alarm.as_mut().poll(context));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let at = alarm_at(self.pause, self.deadline);
        self.alarm.as_mut().reset(at);
        let frame = frame.map_err(Error::from)?;
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(Error::HttpResponseBodySize(u64::try_from(MAX_BODY).ok()))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.inner.size_hint()
    }
}
