//! A checker in plain Rust, without the SDK: the crate `redis` over `std::net::TcpStream`, which is wasi:sockets here.

use std::error::Error as _;
use std::io;

use redis::{Client, RedisError};
use serde::Deserialize;

use crate::exports::vitald::check::checker::{Description, Error, Guest, Outcome, Request};
use crate::vitald::check::types::{Scheme, Status};

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "plugin", generate_all });

const SCHEMA: &str = r#"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": false,
    "properties": { "to": { "type": "string", "description": "A URL to go to instead of the target." } }
}"#;

#[derive(Deserialize)]
struct Params {
    to: Option<String>,
}

struct Checker;

impl Guest for Checker {
    fn describe() -> Description {
        Description {
            summary: "Answers PING, asked by the crate redis over std.".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            params_schema: SCHEMA.into(),
            schemes: vec![Scheme { name: "redis".into(), default_port: Some(6379) }],
            attributes: Vec::new(),
        }
    }

    fn check(request: Request) -> Result<Outcome, Error> {
        let params: Params =
            serde_json::from_str(&request.params).map_err(|error| Error::InvalidParams(error.to_string()))?;
        let url = params.to.unwrap_or(request.target);
        let client = Client::open(url).map_err(|error| Error::InvalidParams(error.to_string()))?;
        match ping(&client) {
            Ok(pong) => Ok(outcome(Status::Up, pong)),
            Err(error) if is_refusal(&error) => Err(Error::Denied(error.to_string())),
            Err(error) => Ok(outcome(Status::Down, error.to_string())),
        }
    }
}

fn ping(client: &Client) -> Result<String, RedisError> {
    redis::cmd("PING").query(&mut client.get_connection()?)
}

/// What the sandbox forbids is EACCES, as it is anywhere.
fn is_refusal(error: &RedisError) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

fn outcome(status: Status, message: String) -> Outcome {
    Outcome { status, message, measurements: vec![], parts: vec![], state: None, attributes: vec![] }
}

export!(Checker);
