//! The `redis` crate on a connection of the SDK's.
//!
//! The crate's own connections want a socket; what it asks of one is small enough to say here. A failed read or write
//! keeps its reason: the SDK finds it inside the crate's error.

use std::io::Write;

use redis::{Cmd, ConnectionLike, ErrorKind, FromRedisValue, Parser, RedisError, RedisResult, Value};
use vitald_sdk::{Error, Result, Stream};

/// One connection, one command at a time.
pub(crate) struct Link {
    stream: Stream,
    parser: Parser,
}

/// What a command can come to, apart from a broken connection.
pub(crate) enum Reply<T> {
    Value(T),
    /// The server's own error, in its words: `NOAUTH Authentication required.`
    Refused(String),
}

impl Link {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, parser: Parser::new() }
    }

    /// Asks, and keeps apart what the server refuses from what breaks.
    pub(crate) fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<Reply<T>> {
        match command.query(self) {
            Ok(value) => Ok(Reply::Value(value)),
            Err(error) if error.kind() == ErrorKind::Parse => {
                Err(Error::down("this is not Redis: the answer is no RESP"))
            }
            Err(error) => refusal(&error).map(Reply::Refused).ok_or_else(|| Error::from(error)),
        }
    }

    fn answer(&mut self) -> RedisResult<Value> {
        self.parser.parse_value(&self.stream)
    }
}

impl ConnectionLike for Link {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.stream.write_all(command)?;
        self.answer()
    }

    fn req_packed_commands(&mut self, commands: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.stream.write_all(commands)?;
        for _ in 0..offset {
            self.answer()?;
        }
        (0..count).map(|_| self.answer()).collect()
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        true
    }

    fn is_open(&self) -> bool {
        true
    }
}

/// `CODE what it says`, as it came; none where no server said it.
fn refusal(error: &RedisError) -> Option<String> {
    let said = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
    let code = error.code().filter(|_| said)?;
    Some(match error.detail() {
        Some(detail) => format!("{code} {detail}"),
        None => code.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answer: &[u8]) -> Option<String> {
        let value = redis::parse_redis_value(answer).unwrap();
        refusal(&value.extract_error().unwrap_err())
    }

    #[test]
    fn a_refusal_reads_as_the_server_wrote_it() {
        assert_eq!(said(b"-NOAUTH Authentication required.\r\n").as_deref(), Some("NOAUTH Authentication required."));
        assert_eq!(
            said(b"-LOADING Redis is loading the dataset in memory\r\n").as_deref(),
            Some("LOADING Redis is loading the dataset in memory")
        );
        assert_eq!(said(b"-ERR invalid DB index\r\n").as_deref(), Some("ERR invalid DB index"));
    }

    #[test]
    fn what_no_server_said_is_no_refusal() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(refusal(&broken), None);
        assert_eq!(refusal(&redis::parse_redis_value(b"nonsense\r\n").unwrap_err()), None);
    }
}
