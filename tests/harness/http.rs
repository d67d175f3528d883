//! Requests to the agent.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request};

const TIMEOUT: Duration = Duration::from_secs(5);

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON: {error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }
}

/// One request over a connection of its own; an error where there is no answer.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_idle_connections(0)
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a well-formed request");
    let mut response = agent.run(request).map_err(|error| format!("{method} {url}: {error}"))?;
    let body = response.body_mut().read_to_string().map_err(|error| format!("{method} {url}: {error}"))?;
    Ok(Answer { code: response.status().as_u16(), headers: response.headers().clone(), body })
}
