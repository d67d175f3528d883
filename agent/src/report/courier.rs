//! Brings one report to its receiver: HTTP/1.1, over TLS where the URL says so. One request at a time; a connection is
//! used again for what follows soon, so that a backlog is one connection.
//!
//! Whoever does not answer in time has not answered: the report is sent again later, and its number tells the receiver
//! that it has it already. Files (token, certificates) are read anew, so that they may be renewed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::files;
use crate::model::time::brief;
use crate::supervise::Supervisor;
use crate::tls::{self, Tls, Wish};

use super::answer::{Attempt, judge};
use super::metrics::Failure;
use super::secrets::Secrets;
use super::{Target, Url};

/// Peers close idle connections after a while and have room for so many only, and a renewed certificate is to be used.
const REUSE_WITHIN: Duration = Duration::from_secs(10);
const MAX_TOKEN: u64 = 64 * 1024;
/// What is read of an answer at most, to keep the connection.
const MAX_ANSWER: usize = 64 * 1024;
/// For the rest of an answer whose code is known.
const DRAIN: Duration = Duration::from_secs(1);
/// What the log shows of an answer, in characters.
const SHOWN: usize = 200;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub struct Courier {
    target: Arc<Target>,
    supervisor: Supervisor,
    tls: Arc<Tls>,
    line: Option<Line>,
    /// What it waits for, in words.
    doing: &'static str,
}

/// An open connection.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    used: Instant,
}

/// The head of an answer, and where the rest comes from.
struct Answer {
    line: Line,
    response: Response<Incoming>,
    secrets: Secrets,
}

/// Why there is no answer.
type Unanswered = (Failure, String);

impl Courier {
    pub fn new(target: Arc<Target>, supervisor: Supervisor, tls: Arc<Tls>) -> Self {
        Self { target, supervisor, tls, line: None, doing: "" }
    }

    /// One try. `body`: packed, if the target wants it so.
    pub async fn deliver(&mut self, body: Bytes) -> Attempt {
        let limit = self.target.timeout;
        match timeout(limit, self.exchange(body)).await {
            // Whatever becomes of the rest: the code is known, and counts.
            Ok(Ok(answer)) => self.answered(answer).await,
            Ok(Err((failure, why))) => Attempt::failed(failure, why),
            Err(_) => Attempt::failed(Failure::Timeout, format!("not within {}: {}", brief(limit), self.doing)),
        }
    }

    /// Closes a connection that is not used again: receivers have room for so many.
    pub fn hang_up_when_idle(&mut self) {
        self.line.take_if(|line| line.used.elapsed() >= REUSE_WITHIN);
    }

    /// Up to the head of the answer.
    async fn exchange(&mut self, body: Bytes) -> Result<Answer, Unanswered> {
        // Taken: what ends early leaves none behind.
        let line = self.line.take().filter(|line| line.used.elapsed() < REUSE_WITHIN && !line.sender.is_closed());
        self.doing = "reading the token";
        let authorization = self.authorization().await?;
        let values = self.target.headers.iter().map(|(_, value)| value).chain(&authorization);
        let secrets = Secrets::new(values.map(HeaderValue::as_bytes));
        let request = || request(&self.target, authorization.clone(), body.clone());
        if let Some(mut line) = line
            && line.sender.ready().await.is_ok()
        {
            self.doing = "answering";
            // The peer may have closed it just now, which says nothing of the report.
            if let Ok(response) = line.sender.send_request(request()?).await {
                return Ok(Answer { line, response, secrets });
            }
        }
        let request = request()?;
        let mut line = self.dial().await?;
        self.doing = "answering";
        let response = line.sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(Answer { line, response, secrets })
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, Unanswered> {
        let Some(path) = self.target.token_file.clone() else { return Ok(None) };
        let read = self.supervisor.blocking(move || files::read_capped(&path, MAX_TOKEN)).await;
        let problem = |why: String| (Failure::Token, format!("token_file: {why}"));
        let token = read.map_err(|error| problem(error.to_string()))?.map_err(|error| problem(error.to_string()))?;
        // One trailing newline is the editor's.
        let token = token.strip_suffix(b"\n").unwrap_or(&token);
        let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat());
        let mut value = value.map_err(|_| problem("it holds what cannot stand in a header".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn dial(&mut self) -> Result<Line, Unanswered> {
        let url = &self.target.url;
        self.doing = "connecting";
        let io = |error: std::io::Error| (Failure::Io, format!("connect {}:{}: {}", url.host, url.port, words(&error)));
        let stream = connect(url, self.target.timeout / 2).await.map_err(io)?;
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = if url.secure {
            self.doing = "shaking hands (TLS)";
            Box::new(shake_hands(&self.supervisor, &self.tls, &self.target, stream).await?)
        } else {
            Box::new(stream)
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| (Failure::Io, error.to_string()))?;
        // It ends with the sender; what goes wrong in it, the request hears.
        self.supervisor.helper(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection for reports ended: {error}");
            }
        });
        Ok(Line { sender, used: Instant::now() })
    }

    /// Keeps the connection if the answer has ended.
    async fn answered(&mut self, answer: Answer) -> Attempt {
        let Answer { mut line, response, secrets } = answer;
        let (head, body) = response.into_parts();
        let mut text = Vec::new();
        let whole = timeout(DRAIN, beginning(body, &mut text)).await.unwrap_or_default();
        if whole {
            line.used = Instant::now();
            self.line = Some(line);
        }
        let whole = whole && text.len() < SHOWN * 4;
        judge(head.status, &head.headers, &printable(&secrets.masked(&text, whole)), clock::now().wall)
    }
}

/// Each address gets its share of the time: one that is dead does not use up what the next one needs.
async fn connect(url: &Url, limit: Duration) -> std::io::Result<TcpStream> {
    let mut addresses: Vec<_> = lookup_host((url.host.as_str(), url.port)).await?.collect();
    let end = Instant::now() + limit;
    // The last one has what is left of the whole try.
    let last = addresses.pop().ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_add(1);
    for address in addresses {
        let share = end.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        if let Ok(Ok(stream)) = timeout(share, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last).await
}

async fn shake_hands(
    supervisor: &Supervisor,
    tls: &Arc<Tls>,
    target: &Arc<Target>,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Unanswered> {
    let (tls, own) = (tls.clone(), target.clone());
    // Certificates may lie on a slow disk.
    let prepared = supervisor.blocking(move || {
        let wish = Wish { server_name: &own.url.host, alpn: vec![b"http/1.1".to_vec()], inspect: false };
        tls.client(&own.tls, wish)
    });
    let prepared = prepared.await.map_err(|error| (Failure::Tls, error.to_string()))?;
    let (config, name) = prepared.map_err(|error| (Failure::Tls, error.to_string()))?;
    let shaken = TlsConnector::from(config).connect(name, stream).await;
    shaken.map_err(|error| (Failure::Tls, format!("TLS with {}: {}", target.url.host, words(&error))))
}

fn request(
    target: &Target,
    authorization: Option<HeaderValue>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Unanswered> {
    let Url { path, authority, .. } = &target.url;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path.clone())
        .header(HOST, authority)
        .header(USER_AGENT, concat!("vitald/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| (Failure::Io, error.to_string()))?;
    let headers = request.headers_mut();
    if target.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in &target.headers {
        headers.insert(name, value.clone());
    }
    if let Some(value) = authorization {
        headers.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// Adds the beginning of a body to `text`; has the body ended?
async fn beginning(mut body: Incoming, text: &mut Vec<u8>) -> bool {
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Some(data) = frame.data_ref() else { continue };
        seen = seen.saturating_add(data.len());
        if text.len() < SHOWN * 4 {
            text.extend_from_slice(data);
        }
        if seen > MAX_ANSWER {
            return false;
        }
    }
    true
}

/// One line of what a stranger said.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

/// A connection that broke before there was an answer: under TLS 1.3 a peer says only now that it wants another
/// certificate.
fn broken(error: &hyper::Error) -> Unanswered {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    for cause in causes {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let tls = io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            return (if tls { Failure::Tls } else { Failure::Io }, words(io));
        }
    }
    let why = if error.is_incomplete_message() { "it closed the connection without an answer" } else { "" };
    (Failure::Io, if why.is_empty() { error.to_string() } else { why.to_owned() })
}

fn words(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => tls::reason(error),
        None if error.kind() == std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
