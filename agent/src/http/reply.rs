//! An answer: a code and a body.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

pub const JSON: &str = "application/json";

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Reply {
    pub fn json(status: StatusCode, value: &Value) -> Self {
        let mut body = value.to_string();
        body.push('\n');
        Self { status, content_type: JSON, body: body.into() }
    }

    pub fn not_found(what: &str) -> Self {
        Self::json(StatusCode::NOT_FOUND, &json!({"error": what}))
    }

    pub fn bad_request(what: &str) -> Self {
        Self::json(StatusCode::BAD_REQUEST, &json!({"error": what}))
    }

    /// Nothing may be cached on the way: what is well now may not be in a second.
    pub fn into_response(self, method: &Method) -> Response<Full<Bytes>> {
        let body = if method == Method::HEAD { Bytes::new() } else { self.body.clone() };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if method == Method::HEAD {
            headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
