//! An answer: a code and a body.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

pub const JSON: &str = "application/json";

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    /// Is the body gzipped? None where it never is.
    pub gzipped: Option<bool>,
    pub body: Pieces,
}

/// A body in pieces that other answers share: none is copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    #[cfg(test)]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flatten().copied().collect()
    }
}

impl<T: Into<Bytes>> From<T> for Pieces {
    fn from(body: T) -> Self {
        Self([body.into()].into())
    }
}

impl FromIterator<Bytes> for Pieces {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

impl Reply {
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Pieces>) -> Self {
        Self { status, content_type, gzipped: None, body: body.into() }
    }

    pub fn json(status: StatusCode, value: &Value) -> Self {
        let mut body = value.to_string();
        body.push('\n');
        Self::new(status, JSON, body.into_bytes())
    }

    pub fn not_found(what: &str) -> Self {
        Self::json(StatusCode::NOT_FOUND, &json!({"error": what}))
    }

    pub fn bad_request(what: &str) -> Self {
        Self::json(StatusCode::BAD_REQUEST, &json!({"error": what}))
    }

    /// Nothing may be cached on the way: what is well now may not be in a second.
    pub fn into_response(self, method: &Method) -> Response<Pieces> {
        let length = self.body.len();
        let body = if method == Method::HEAD { Pieces::default() } else { self.body };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(gzipped) = self.gzipped {
            headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
            if gzipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        if method == Method::HEAD {
            headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
