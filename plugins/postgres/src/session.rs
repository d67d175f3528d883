//! One conversation with one server: `tokio-postgres` on a connection of the SDK's.
//!
//! TLS is asked for here and not by the crate, whose errors would not tell a server without TLS from something that is
//! no PostgreSQL at all. The peer may be anything: it gets no password without TLS, and may not talk without end.

use std::time::Instant;

use futures_util::{TryStreamExt, future, pin_mut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::{Client, Error as PgError, NoTls, SimpleQueryMessage, SimpleQueryRow};
use vitald_sdk::sql::{Params, measure_answer};
use vitald_sdk::{Error, Host, Outcome, Result, Run, Stream};

use crate::seen::{QUESTION, Seen};
use crate::wish::{SslMode, Wish};

/// `SSLRequest` (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// What may come back in all: a health query has one row.
const MAX_ANSWERS: usize = 1024 * 1024;
/// What a server may say that cannot serve us.
const MAX_COMPLAINT: u64 = 200;

/// A conversation.
pub(crate) struct Visit<'a> {
    pub(crate) host: &'a Host<'a>,
    pub(crate) wish: &'a Wish,
    pub(crate) params: &'a Params,
    pub(crate) stage: Stage,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing came yet that only PostgreSQL says.
    Stranger,
    Known,
    /// What goes wrong now is of the check's own query.
    Query,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(host: &'a Host<'a>, wish: &'a Wish, params: &'a Params) -> Self {
        Self { host, wish, params, stage: Stage::Stranger }
    }

    /// Connects, logs in, asks, and says goodbye.
    pub(crate) async fn judge(mut self, run: &mut Run) -> Result<Outcome> {
        let stream = self.open().await?;
        let (client, connection) = match self.wish.login.connect_raw(stream, NoTls).await {
            Ok(connected) => connected,
            Err(error) => return self.explain(error),
        };
        self.stage = Stage::Known;
        let talk = async {
            let judged = self.ask(&client, run).await;
            // The connection says goodbye when nobody has anything to ask any more.
            drop(client);
            judged
        };
        match future::join(talk, connection).await {
            // What the server said last tells more than that it closed the connection.
            (Err(error), Err(last)) if error.is_closed() => self.explain(last),
            (Err(error), _) => self.explain(error),
            (Ok(judged), _) => judged,
        }
    }

    /// A connection, encrypted as wished.
    async fn open(&mut self) -> Result<Stream> {
        let (host, mode) = (self.host, self.wish.options.sslmode);
        let mut stream = host.connect()?;
        stream.limit(MAX_ANSWERS);
        stream.withhold(self.wish.password_in_clear());
        if mode == SslMode::Disable {
            return Ok(stream);
        }
        stream.write_all(&SSL_REQUEST).await?;
        match (stream.read_u8().await?, mode) {
            (b'S', _) => host.start_tls(&mut stream)?,
            (b'N', SslMode::Prefer) => {}
            (b'N', _) => return Err(Error::down(format!("{host} offers no TLS, which sslmode demands"))),
            (b'E', _) => {
                let mut said = Vec::new();
                let _ = stream.take(MAX_COMPLAINT).read_to_end(&mut said).await;
                let said = String::from_utf8_lossy(&said);
                return Err(Error::down(format!("the server cannot serve a new connection: {said}")));
            }
            _ => return Err(self.no_postgres()),
        }
        self.stage = Stage::Known;
        Ok(stream)
    }

    async fn ask(&mut self, client: &Client, run: &mut Run) -> Result<Result<Outcome>, PgError> {
        let seen = match first_row(client, QUESTION).await {
            Ok(row) => Seen::of(row.as_ref()),
            // A relative of PostgreSQL's that lacks a function, or an operator who took one away.
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("42")) => Seen::default(),
            Err(error) => return Err(error),
        };
        // A server that will not do is not asked the query.
        if let Err(misfit) = seen.must_be(self.wish.options.target_session_attrs) {
            return Ok(Err(misfit));
        }
        seen.measure(run);
        let answer = match self.params.query() {
            Some(query) => self.answer(client, query, run).await?,
            None => None,
        };
        Ok(Ok(self.params.judge(&seen.with(answer.as_deref()))))
    }

    async fn answer(&mut self, client: &Client, query: &str, run: &mut Run) -> Result<Option<String>, PgError> {
        self.stage = Stage::Query;
        let begun = Instant::now();
        // The server is told to give up shortly before we do: nobody would wait for it any more.
        let left = self.host.left().mul_f64(0.9).as_millis().max(1);
        let row = first_row(client, &format!("set local statement_timeout = {left}; {query}")).await?;
        let took = begun.elapsed();
        let answer = row.as_ref().and_then(|row| row.try_get(0).ok()?).map(ToOwned::to_owned);
        measure_answer(run, took, answer.as_deref());
        Ok(answer)
    }
}

/// The others are read and forgotten: a query may have many.
async fn first_row(client: &Client, query: &str) -> Result<Option<SimpleQueryRow>, PgError> {
    let answer = client.simple_query_raw(query).await?;
    pin_mut!(answer);
    let mut first = None;
    while let Some(message) = answer.try_next().await? {
        if let (SimpleQueryMessage::Row(row), None) = (message, &first) {
            first = Some(row);
        }
    }
    Ok(first)
}
