//! What a conversation that ended early says, for a person at night: our user is refused, or the server is down, or
//! nobody can tell.
//!
//! A sentence, with the server's own words and code (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
//! No secret is in it: a server repeats none.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error as PgError;
use tokio_postgres::error::DbError;
use vitald_sdk::{Cause, Error, NetError, Outcome, Result};

use crate::session::{Stage, Visit};

const METHOD: &str = "the server wants this user to log in by a method that a health check cannot; \
    give it scram-sha-256 in pg_hba.conf";
const IN_CLEAR: &str = "the server wants the password itself, which goes over TLS only: sslmode=require";

impl Visit<'_> {
    pub(crate) fn no_postgres(&self) -> Error {
        Error::down(format!("this is not PostgreSQL: what {} answers is not of its protocol", self.host))
    }

    /// Of the crate's own errors only the texts tell the kind; the SDK's inside them carry their reason.
    pub(crate) fn explain(&self, error: PgError) -> Result<Outcome> {
        if let Some(said) = error.as_db_error() {
            return self.explain_said(said);
        }
        let (host, user, in_query) = (self.host, self.user(), self.stage == Stage::Query);
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let down = |why: String| Err(Error::down(why));
        match (error.to_string().as_str(), io, NetError::find(&error).map(NetError::cause)) {
            ("invalid configuration", ..) => self.refused(format!("no password is given for {user}")),
            ("authentication error", None, _) => self.refused(METHOD),
            ("authentication error", Some(why), _) => {
                down(format!("{host} does not prove that it knows {user}'s password: {why}"))
            }
            (.., Some(Cause::Withheld)) => self.refused(IN_CLEAR),
            (.., Some(Cause::TooMuch)) if in_query => {
                Err(Error::invalid_params("query: more than 1 MiB came back; ask for one row"))
            }
            (.., Some(cause)) if *cause != Cause::TooMuch => Err(error.into()),
            // A message that has its end, and is wrong, is of another kind.
            (_, Some(io), None) if io.kind() == io::ErrorKind::Other && self.stage != Stage::Stranger => {
                down(format!("{host} closed the connection in the middle of an answer"))
            }
            _ if error.is_closed() => down(format!("{host} closed the connection")),
            (_, None, _) if in_query => Err(Error::invalid_params("query: its answer has no rows (a copy?)")),
            _ => Err(self.no_postgres()),
        }
    }

    /// As libpq has it, a server that refuses our user ends the search among several: the next would, too.
    fn explain_said(&self, said: &DbError) -> Result<Outcome> {
        let (code, user) = (said.code().code(), self.user());
        let text = format!("{} ({code})", said.message());
        let down = |why: &str| Err(Error::down(format!("{why}{text}")));
        // PgBouncer has one code for all that it refuses, and hands on what a server said to itself.
        let words = said.message();
        let of_pooler = words.ends_with("authentication failed") || words.contains(&format!("for user \"{user}\""));
        // A routine has the same name in all languages.
        match (code, said.routine()) {
            ("28P01", _) => self.refused(format!("the password of {user} is refused, or has expired (28P01)")),
            ("42501", _) => self.refused(format!("{user} may not do this: {text}")),
            ("53300", Some("InitializeSessionUserId")) => self.refused(format!("{user} may not log in now: {text}")),
            ("53300", Some("CheckMyDatabase")) => down("the database takes no more connections: "),
            ("53300", _) => down("the server takes no more connections: "),
            ("57014", _) => down("the query took too long: "),
            // What is wrong with the query stays wrong.
            ("42601", _) => Err(Error::invalid_params(format!("query: {text}"))),
            _ if code.starts_with("28") || (code == "08P01" && of_pooler) => {
                self.refused(format!("{user} may not log in: {text}"))
            }
            _ => down(""),
        }
    }

    fn refused(&self, why: impl Into<String>) -> Result<Outcome> {
        Ok(self.params.auth_failure.outcome(why))
    }

    fn user(&self) -> &str {
        self.wish.login.get_user().unwrap_or_default()
    }
}
