//! Connections of agents, over TLS where there is a certificate. Strangers may connect: they are bounded, and must be
//! quick.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::serving;
use crate::supervise::{Stop, Supervisor};
use crate::tls::server::Server;

use super::answer::Receiver;

const MAX_CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For request line and headers, and between two requests. Agents hang up after ten seconds: a place is for those that
/// have something to say.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests that are being answered get so long at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Accepts until it is to stop, and then waits for what is being answered.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Server>>,
    receiver: Arc<Receiver>,
    supervisor: Supervisor,
    mut stop: Stop,
) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (tls, receiver, stop) = (tls.clone(), receiver.clone(), stop.clone());
                supervisor.helper(async move {
                    connection(stream, tls, receiver, stop).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, mostly: they come back.
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(FAREWELL, connections.acquire_many(all)).await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn connection(stream: TcpStream, tls: Option<Arc<Server>>, receiver: Arc<Receiver>, stop: Stop) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return requests(stream, receiver, stop).await };
    match timeout(HANDSHAKE, TlsAcceptor::from(tls.config()).accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, receiver, stop).await,
        Ok(Err(error)) => tracing::debug!("a handshake failed: {error}"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

async fn requests<S>(stream: S, receiver: Arc<Receiver>, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let receiver = receiver.clone();
        async move { Ok::<_, Infallible>(receiver.answer(request).await) }
    });
    serving::serve(stream, HEADER_TIMEOUT, service, stop).await;
}
