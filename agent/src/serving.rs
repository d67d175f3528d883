//! One HTTP/1.1 connection, served until it ends or the agent stops: for the agent's own paths, and for
//! `vitald collect`.
//!
//! Strangers may connect: headers are capped and must come in time. A request that is being answered when the agent
//! stops is answered; a connection that breaks is the peer's affair.

use std::error::Error;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::supervise::Stop;

/// Of request line and headers.
const MAX_HEADERS: usize = 16 * 1024;

/// `header_timeout` is for request line and headers, and so for the time between two requests.
pub async fn serve<S, V>(stream: S, header_timeout: Duration, service: V, mut stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: HttpService<Incoming>,
    V::Error: Into<Box<dyn Error + Send + Sync>>,
    V::ResBody: Body + 'static,
    <V::ResBody as Body>::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}
