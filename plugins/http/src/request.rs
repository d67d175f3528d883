//! The request that the operator configured. It sends nothing.
//!
//! What does not make a request is the operator's fault, said before anything is connected.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header::{AUTHORIZATION, CONNECTION, USER_AGENT};
use ureq::http::request::Builder;
use ureq::http::{self, Request};
use vitald_sdk::{Error, Result, Target};

use crate::Params;

const AGENT: &str = concat!("vitald/", env!("CARGO_PKG_VERSION"));

pub(crate) fn build(target: &Target, params: &Params) -> Result<Request<Vec<u8>>> {
    let mut request = Request::builder().method(params.method.as_str()).uri(uri(target));
    for (name, value) in &params.headers {
        request = request.header(name, value);
    }
    request = unless_given(request, USER_AGENT, || Some(AGENT.to_owned()));
    request = unless_given(request, CONNECTION, || Some("close".to_owned()));
    request = unless_given(request, AUTHORIZATION, || basic(target));
    let body = params.body.clone().unwrap_or_default().into_bytes();
    request.body(body).map_err(|error| Error::invalid_params(format!("request: {error}")))
}

/// Without credentials, and without the default port: what the `Host` header is made of.
fn uri(target: &Target) -> String {
    let endpoint = target.endpoints().first().map(ToString::to_string).unwrap_or_default();
    let (scheme, port) = if target.is_tls() { ("https", ":443") } else { ("http", ":80") };
    let authority = endpoint.strip_suffix(port).unwrap_or(&endpoint);
    let path = if target.path().is_empty() { "/" } else { target.path() };
    match target.query() {
        Some(query) => format!("{scheme}://{authority}{path}?{query}"),
        None => format!("{scheme}://{authority}{path}"),
    }
}

/// RFC 7617.
fn basic(target: &Target) -> Option<String> {
    let user = target.user()?;
    let password = target.password().unwrap_or_default();
    Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn unless_given(request: Builder, name: http::HeaderName, value: impl FnOnce() -> Option<String>) -> Builder {
    let given = request.headers_ref().is_none_or(|headers| headers.contains_key(&name));
    match if given { None } else { value() } {
        Some(value) => request.header(name, value),
        None => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitald_sdk::Endpoint;

    fn target(url: &str, host: &str, port: u16) -> Target {
        Target::new(url, vec![Endpoint::new(host, port)])
    }

    fn header(request: &Request<Vec<u8>>, name: &str) -> Vec<String> {
        let values = request.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_uri_has_no_credentials_and_no_default_port() {
        assert_eq!(uri(&target("http://a:b@web", "web", 80)), "http://web/");
        assert_eq!(uri(&target("http://web:8080/x?y=z", "web", 8080)), "http://web:8080/x?y=z");
        assert_eq!(uri(&target("https://web/x", "web", 443)), "https://web/x");
        assert_eq!(uri(&target("https://web:80/", "web", 80)), "https://web:80/");
        assert_eq!(uri(&target("http://[::1]?y", "::1", 80)), "http://[::1]/?y");
    }

    #[test]
    fn the_operators_headers_replace_ours() {
        let target = target("http://me:p%40ss@web/", "web", 80);
        let plain = build(&target, &Params::default()).unwrap();
        assert_eq!(header(&plain, "user-agent"), [AGENT]);
        assert_eq!(header(&plain, "authorization"), ["Basic bWU6cEBzcw=="]);
        let headers = [("user-agent", "me"), ("Authorization", "Bearer x"), ("x-y", "z")];
        let params =
            Params { headers: headers.map(|(name, value)| (name.into(), value.into())).into(), ..Params::default() };
        let given = build(&target, &params).unwrap();
        assert_eq!(header(&given, "user-agent"), ["me"]);
        assert_eq!(header(&given, "authorization"), ["Bearer x"]);
        assert_eq!(header(&given, "x-y"), ["z"]);
    }

    #[test]
    fn what_makes_no_request_is_the_operators_fault() {
        let target = target("http://web/", "web", 80);
        let wrong = [("bad name", "x"), ("x", "line\nbreak")];
        for (name, value) in wrong {
            let params = Params { headers: [(name.to_owned(), value.to_owned())].into(), ..Params::default() };
            let error = build(&target, &params).unwrap_err();
            assert!(!error.is_down() && error.message().starts_with("request: "), "{error}");
        }
        let method = Params { method: "G T".into(), ..Params::default() };
        assert!(build(&target, &method).is_err());
    }
}
