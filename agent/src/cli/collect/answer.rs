//! What one request is answered: a report that is written down (204), or why it is not. Codes tell the agent what to
//! do: 400, 413 and 422 let it give the report up, all others let it come again. Strangers learn nothing of this host.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use jsonschema::Validator;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::files::{self, FileError};
use crate::report::SCHEMA;
use crate::report::seal::{LARGEST, SealError, unpack};
use crate::supervise::Supervisor;

use super::ledger::{Entered, Ledger, LedgerError};
use super::text::{self, TextError};

/// A report comes whole within this, or not at all.
const BODY: Duration = Duration::from_secs(10);
const MAX_TOKEN: u64 = 64 * 1024;
/// Bodies that are read beside each other: each is held whole.
const READ_AT_ONCE: usize = 64;
/// Reports that are looked at beside each other: each takes many times its size of memory.
const JUDGED_AT_ONCE: usize = 1;
/// What is read of a request that is refused, so that its sender hears why.
const MAX_UNREAD: usize = 64 * 1024;
const UNREAD: Duration = Duration::from_secs(1);

pub struct Receiver {
    ledger: Arc<Mutex<Ledger>>,
    validator: Arc<Validator>,
    token_file: Option<PathBuf>,
    supervisor: Supervisor,
    reading: Semaphore,
    judging: Semaphore,
    /// A disk that takes nothing is worth one line.
    failing: AtomicBool,
    /// So is a token that cannot be read.
    tokenless: AtomicBool,
}

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("only POST")]
    Method,
    #[error("not the token that is wanted")]
    Token,
    #[error("the token cannot be read here: {0}")]
    NoToken(#[from] TokenError),
    #[error("only gzip, or no encoding")]
    Encoding,
    #[error("the body did not come whole")]
    Broken,
    #[error("more than {LARGEST} bytes")]
    TooLarge,
    #[error("not gzip, or torn: {0}")]
    Torn(SealError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("it cannot be written down: {0}")]
    Disk(#[from] LedgerError),
    #[error("it was not looked at")]
    Internal,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::NoToken(_) | Self::Internal => StatusCode::SERVICE_UNAVAILABLE,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Torn(_) | Self::Text(TextError::NotJson(_)) => StatusCode::BAD_REQUEST,
            Self::Text(TextError::NotAReport(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// What the sender may know: paths are for our own log.
    fn said(&self) -> String {
        match self {
            Self::NoToken(_) => "the token cannot be read here\n".to_owned(),
            Self::Disk(_) => "it cannot be written down\n".to_owned(),
            other => format!("{other}\n"),
        }
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.said().into()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if matches!(self, Self::Method) {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// Why there is no token to hold others against.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is empty: write a token to it", .0.display())]
    Empty(PathBuf),
}

/// The token of a file, without one trailing newline.
pub fn read_token(path: &Path) -> Result<Vec<u8>, TokenError> {
    let mut token = files::read_capped(path, MAX_TOKEN)?;
    if token.last() == Some(&b'\n') {
        token.pop();
    }
    if token.is_empty() { Err(TokenError::Empty(path.to_owned())) } else { Ok(token) }
}

impl Receiver {
    /// The error is the schema's: it is tested, so there is none.
    pub fn new(ledger: Ledger, token_file: Option<PathBuf>, supervisor: Supervisor) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| error.to_string())?;
        let validator = jsonschema::options().build(&schema).map_err(|error| error.to_string())?;
        Ok(Self {
            ledger: Arc::new(Mutex::new(ledger)),
            validator: Arc::new(validator),
            token_file,
            supervisor,
            reading: Semaphore::new(READ_AT_ONCE),
            judging: Semaphore::new(JUDGED_AT_ONCE),
            failing: AtomicBool::new(false),
            tokenless: AtomicBool::new(false),
        })
    }

    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let result = self.take(request).await;
        self.note(&result);
        match result {
            Ok(_) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Err(refusal) => refusal.response(),
        }
    }

    fn note(&self, result: &Result<Entered, Refusal>) {
        match result {
            Ok(entered) => {
                tracing::debug!("a report: {entered:?}");
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("reports are written down again");
                }
            }
            Err(refusal @ Refusal::Disk(_)) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!("reports are refused, the agents keep them: {refusal}");
                }
            }
            Err(refusal @ Refusal::NoToken(_)) => {
                if !self.tokenless.swap(true, Ordering::Relaxed) {
                    tracing::error!("reports are refused, the agents keep them: {refusal}");
                }
            }
            Err(refusal @ (Refusal::Text(_) | Refusal::Torn(_) | Refusal::TooLarge)) => {
                tracing::warn!("a report is refused for good: {refusal}");
            }
            Err(refusal) => tracing::debug!("a request is refused: {refusal}"),
        }
    }

    async fn take<B>(&self, request: Request<B>) -> Result<Entered, Refusal>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let gzip = match self.admit(&head).await {
            Ok(gzip) => gzip,
            Err(refusal) => {
                let _ = timeout(UNREAD, Limited::new(body, MAX_UNREAD).collect()).await;
                return Err(refusal);
            }
        };
        let _body = self.reading.acquire().await.map_err(|_| Refusal::Internal)?;
        let whole = timeout(BODY, Limited::new(body, LARGEST).collect()).await;
        let body = match whole.map_err(|_| Refusal::Broken)? {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Refusal::TooLarge),
            Err(_) => return Err(Refusal::Broken),
        };
        let _turn = self.judging.acquire().await.map_err(|_| Refusal::Internal)?;
        let (ledger, validator) = (self.ledger.clone(), self.validator.clone());
        let entered = self.supervisor.blocking(move || enter(&ledger, &validator, &body, gzip)).await;
        entered.unwrap_or(Err(Refusal::Internal))
    }

    /// What the head of a request says: may it, and is its body packed?
    async fn admit(&self, head: &Parts) -> Result<bool, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        self.hold_token(&head.headers).await?;
        match head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(false),
            Some(b"gzip") => Ok(true),
            Some(_) => Err(Refusal::Encoding),
        }
    }

    async fn hold_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(path) = self.token_file.clone() else { return Ok(()) };
        let read = self.supervisor.blocking(move || read_token(&path)).await;
        let wanted = read.map_err(|_| Refusal::Internal)??;
        if self.tokenless.swap(false, Ordering::Relaxed) {
            tracing::info!("the token can be read again");
        }
        let shown =
            headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|text| text.strip_prefix(b"Bearer "));
        if shown.is_some_and(|shown| same(shown, &wanted)) { Ok(()) } else { Err(Refusal::Token) }
    }
}

/// Takes as long wherever two tokens of one length differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Blocks until the report is on disk.
fn enter(ledger: &Mutex<Ledger>, validator: &Validator, body: &Bytes, gzip: bool) -> Result<Entered, Refusal> {
    let json = match gzip.then(|| unpack(body)) {
        None => std::borrow::Cow::Borrowed(&body[..]),
        Some(Ok(json)) => json.into(),
        Some(Err(SealError::TooLarge(_))) => return Err(Refusal::TooLarge),
        Some(Err(error)) => return Err(Refusal::Torn(error)),
    };
    let head = text::head(&json)?;
    text::bounded(&json)?;
    let report: Value = serde_json::from_slice(&json).map_err(TextError::NotJson)?;
    if let Some(error) = validator.iter_errors(&report).next() {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        return Err(TextError::NotAReport(format!("{place}{}", error.masked())).into());
    }
    let agent = report.get("agent").and_then(Value::as_str).unwrap_or_default();
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(ledger.enter(&head, agent, &json)?)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
