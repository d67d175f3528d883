//! What checks of SQL databases have in common: the parameters that operators know from one kind of database to the next,
//! and what they mean. `plugins/postgres` and `plugins/mysql` are made of it.
//!
//! It asks nothing itself: a checker logs in, asks, and says here what it has [`Seen`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth_failure::AuthFailure;
use crate::error::{Error, Result};
use crate::expect::Expect;
use crate::length::Length;
use crate::outcome::{Outcome, degraded, up};
use crate::run::Run;
use crate::share::Share;

/// The parameters of a check of a database: what to ask, and what is to be as it should.
///
/// ```
/// use vitald_sdk::prelude::*;
/// use vitald_sdk::sql::{Params, Seen};
///
/// # fn ask(query: Option<&str>) -> Option<String> { None }
/// /// Asks a database.
/// #[checker(schemes = ["db:4000"])]
/// fn db(target: Target, params: Params) -> Result<Outcome> {
///     params.validate()?;
///     let answer = ask(params.query());
///     Ok(params.judge(&Seen { server: "DB 1.0", answer: answer.as_deref(), ..Seen::default() }))
/// }
/// # fn main() {}
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// A query; the first column of its first row is the answer. Left out: logging in is all that is wanted.
    query: Option<String>,
    /// What the answer must be: a text (as the server shows it), a number, or limits.
    expect: Option<Expect>,
    /// DEGRADED where the server is a copy and further behind, or has stopped to follow: `10s`.
    lag_above: Option<Length>,
    /// DEGRADED where a larger share of the server's connections is taken: 0.8.
    connections_above: Option<Share>,
    /// What it means that the server refuses the user of the target.
    pub auth_failure: AuthFailure,
}

/// What a server said. What is left out is not known.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Seen<'a> {
    /// What it is, for a person: the message of a check that is UP.
    pub server: &'a str,
    /// What the query gave; none for NULL, and where there was no row.
    pub answer: Option<&'a str>,
    /// What it is called if it is a copy of another server: `standby`.
    pub copy: Option<&'a str>,
    /// How many seconds it is behind. None of a copy: it does not follow.
    pub lag: Option<f64>,
    /// The share of its connections that is taken, 0 to 1.
    pub connections_used: Option<f64>,
}

impl Params {
    /// To be called before anything is asked.
    ///
    /// # Errors
    /// An [`Error::invalid_params`] where the query is empty, or an answer is expected that nobody asks for: that would
    /// be a promise that is not kept.
    pub fn validate(&self) -> Result<()> {
        match &self.query {
            None if self.expect.is_some() => Err(Error::invalid_params("expect needs a query")),
            Some(query) if query.trim().is_empty() => Err(Error::invalid_params("query is empty")),
            _ => Ok(()),
        }
    }

    /// The query, where there is one.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Holds what a server said against what it should. Cannot fail; of several things that are wrong all are said.
    pub fn judge(&self, seen: &Seen<'_>) -> Outcome {
        let answer = self.expect.as_ref().map(|expect| expect.judge("the query", seen.answer));
        let crowd = self.connections_above.zip(seen.connections_used);
        let crowd = crowd.and_then(|(most, used)| most.exceeded(used, "of the connections are taken"));
        [answer, self.of_copy(seen), crowd].into_iter().flatten().fold(up(seen.server), Outcome::and)
    }

    fn of_copy(&self, seen: &Seen<'_>) -> Option<Outcome> {
        let (copy, most) = (seen.copy?, self.lag_above?);
        match seen.lag {
            Some(lag) if lag > most.get().as_secs_f64() => {
                Some(degraded(format!("the {copy} is {lag:.0} s behind, more than {most}")))
            }
            Some(_) => None,
            None => Some(degraded(format!(
                "the {copy} does not follow: replication has stopped, or does not hear its source"
            ))),
        }
    }
}

/// Adds how long the query took (`query`), and its answer where that is a number (`query_value`).
pub fn measure_answer(run: &mut Run, took: Duration, answer: Option<&str>) {
    run.measure("query", took);
    if let Some(number) = answer.and_then(|text| text.trim().parse::<f64>().ok()) {
        run.measure("query_value", number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Status;

    fn params(json: &str) -> Params {
        serde_json::from_str(json).expect("parameters")
    }

    fn judged(params: &Params, seen: &Seen<'_>) -> (Status, String) {
        let Outcome { status, message } = params.judge(&Seen { server: "DB", ..*seen });
        (status, message)
    }

    #[test]
    fn an_expected_answer_needs_a_query() {
        assert!(params(r#"{"expect": "1"}"#).validate().is_err());
        assert!(params(r#"{"expect": "1", "query": "q"}"#).validate().is_ok());
        assert!(params("{}").validate().is_ok());
        assert!(params(r#"{"query": " "}"#).validate().is_err(), "nothing is asked");
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let params = params(r#"{"query": "q", "expect": "t", "lag_above": "10s", "connections_above": 0.8}"#);
        let right = Seen { answer: Some("t"), copy: Some("standby"), lag: Some(10.0), ..Seen::default() };
        assert_eq!(judged(&params, &right), (Status::Up, "DB".into()));
        let wrong = Seen { answer: Some("f"), lag: Some(11.4), connections_used: Some(0.95), ..right };
        let message = "the query gives \"f\", expected \"t\"; the standby is 11 s behind, more than 10s; 95 % of the \
                       connections are taken, more than 80 %";
        assert_eq!(judged(&params, &wrong), (Status::Down, message.into()));
        assert_eq!(judged(&Params::default(), &wrong).0, Status::Up, "nothing is asked for");
        let nothing = Seen { answer: None, ..right };
        assert_eq!(judged(&params, &nothing).1, "the query gives nothing, expected \"t\"");
    }

    #[test]
    fn a_copy_that_is_behind_or_stands_is_degraded_where_that_is_asked() {
        let asked = params(r#"{"lag_above": "10s"}"#);
        let copy = |lag| Seen { copy: Some("replica"), lag, ..Seen::default() };
        assert_eq!(judged(&asked, &copy(Some(10.0))).0, Status::Up);
        let behind = judged(&asked, &copy(Some(11.0)));
        assert_eq!(behind, (Status::Degraded, "the replica is 11 s behind, more than 10s".into()));
        let stands = "the replica does not follow: replication has stopped, or does not hear its source";
        assert_eq!(judged(&asked, &copy(None)), (Status::Degraded, stands.into()));
        assert_eq!(judged(&Params::default(), &copy(None)).0, Status::Up);
        assert_eq!(judged(&asked, &Seen::default()).0, Status::Up, "who copies nobody is not behind");
    }

    #[test]
    fn a_crowd_is_degraded() {
        let params = params(r#"{"connections_above": 0.8}"#);
        let used = |share| Seen { connections_used: Some(share), ..Seen::default() };
        assert_eq!(judged(&params, &used(0.8)).0, Status::Up);
        let crowded = judged(&params, &used(0.95));
        assert_eq!(crowded, (Status::Degraded, "95 % of the connections are taken, more than 80 %".into()));
    }

    #[test]
    fn an_answer_that_is_a_number_is_measured() {
        let measured = |answer| {
            let mut run = Run::new(1, Vec::new(), None);
            measure_answer(&mut run, Duration::from_millis(250), answer);
            let outcome = run.finish(up(""));
            outcome.measurements.into_iter().map(|one| (one.name, one.value)).collect::<Vec<_>>()
        };
        assert_eq!(measured(Some(" 42.5")), [("query".into(), 0.25), ("query_value".into(), 42.5)]);
        assert_eq!(measured(Some("t")), [("query".into(), 0.25)]);
        assert_eq!(measured(None).len(), 1);
    }
}
