//! One connection to one endpoint. TLS is ours, so that its errors name the file or the certificate that is wrong, and
//! renewed certificates are used by the next connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions};
use futures::stream::{FuturesUnordered, StreamExt as _};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;

use crate::tls::{self, Tls, Wish};

use super::{Config, EtcdError, Kind};

/// etcd closes connections that ping more often than its `--grpc-keepalive-min-time` (5 s).
const PING: Duration = Duration::from_secs(10);

const REDIAL: Duration = Duration::from_secs(1);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What TLS said when a connection broke. Under TLS 1.3 a peer says only after the handshake that it wants another
/// certificate; the libraries above do not pass its words on.
#[derive(Debug, Clone, Default)]
pub struct LastWords {
    tls: Arc<Mutex<Option<String>>>,
    /// Why there is no token.
    auth: Arc<Mutex<Option<EtcdError>>>,
}

impl LastWords {
    /// Why etcd gave no token, once.
    pub fn refusal(&self) -> Option<EtcdError> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn refused(&self, error: EtcdError) {
        *self.auth.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub fn take(&self) -> Option<String> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn hear(&self, error: &std::io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(tls::reason(error));
        }
    }
}

/// Connects now, shakes hands, and gets a token where there are credentials.
pub async fn connect(config: &Config, tls: &Tls, endpoint: &str, words: &LastWords) -> Result<Client, EtcdError> {
    let mut stream = Some(open(config, tls, endpoint, words).await?);
    // Gives what is open already, once: a broken connection ends the client, and whoever owns it makes the next one
    // with open eyes.
    let once = tower::service_fn(move |_: Uri| {
        let stream = stream.take().map(TokioIo::new);
        std::future::ready(stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionAborted)))
    });
    let uri: Uri = endpoint.parse().map_err(|_| EtcdError::Connect(format!("{endpoint} is no URL")))?;
    let channel = Endpoint::from(uri)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(config.request_timeout)
        .keep_alive_while_idle(true)
        .connect_with_connector(once)
        .await
        .map_err(|error| EtcdError::Connect(chain(&error)))?;
    let client = async |options| Client::from_channel(Channel::Tonic(channel.clone()), Some(options)).await;
    let plain = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
    let Some(user) = &config.credentials else {
        return client(plain).await.map_err(|error| EtcdError::from_client("connect", error));
    };
    match client(plain.clone().with_user(&user.username, user.password.get())).await {
        // Credentials may be configured before the cluster asks for them.
        Err(etcd_client::Error::GRpcStatus(status)) if status.message().contains("authentication is not enabled") => {
            client(plain).await.map_err(|error| EtcdError::from_client("connect", error))
        }
        Ok(client) => Ok(client),
        Err(error) => {
            let error = EtcdError::from_client("authenticate", error);
            if error.kind() != Kind::Credentials {
                return Err(error);
            }
            // A lease is renewed for anybody: a password that was changed must not cost it.
            match client(plain).await {
                Ok(client) => {
                    words.refused(error);
                    Ok(client)
                }
                Err(_) => Err(error),
            }
        }
    }
}

async fn open(config: &Config, tls: &Tls, endpoint: &str, words: &LastWords) -> Result<Box<dyn Stream>, EtcdError> {
    let (scheme, authority) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    let authority = authority.trim_end_matches('/');
    let stream = dial(authority).await.map_err(|error| EtcdError::Connect(io_words(&error)))?;
    let _ = stream.set_nodelay(true);
    if scheme != "https" {
        return Ok(Box::new(stream));
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let wish = Wish { server_name: host, alpn: vec![b"h2".to_vec()], inspect: false };
    let (client, name) = tls.client(&config.tls, wish)?;
    let shaken = TlsConnector::from(client).connect(name, stream).await;
    let stream = shaken.map_err(|error| EtcdError::Handshake(handshake_words(&error)))?;
    Ok(Box::new(Heard { stream, words: words.clone() }))
}

/// A connection, asked for again each second beside what was asked before: the kernel repeats what was lost after one,
/// three and seven seconds, and a network that is back must not be waited for so long.
async fn dial(authority: &str) -> io::Result<TcpStream> {
    let mut dialling = FuturesUnordered::new();
    loop {
        dialling.push(TcpStream::connect(authority));
        tokio::select! {
            Some(connected) = dialling.next() => return connected,
            () = sleep(REDIAL) => {}
        }
    }
}

fn io_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        _ => error.to_string(),
    }
}

fn handshake_words(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => tls::reason(error),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the peer closed the connection: does it speak TLS on this port?".to_owned()
        }
        None => error.to_string(),
    }
}

/// A TLS stream whose last words are kept.
struct Heard {
    stream: TlsStream<TcpStream>,
    words: LastWords,
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        Poll::Ready(read.inspect_err(|error| self.words.hear(error)))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        if written.is_err() {
            // Whoever closes the connection may have said why, and nobody will read any more.
            let mut rest = [0; 64];
            let _ = self.as_mut().poll_read(cx, &mut ReadBuf::new(&mut rest));
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The causes of an error: tonic's own words say nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
