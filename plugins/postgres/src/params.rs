//! What a check may ask of a server, and what its answers mean.

use vitald_sdk::prelude::*;

use crate::seen::Seen;

/// What to ask, and what is to be as it should.
#[params]
#[derive(Default)]
#[serde(default)]
pub(crate) struct Params {
    /// A query; the first column of its first row is the answer. Left out: logging in is all that is wanted.
    pub(crate) query: Option<String>,
    /// What the answer must be: a text as psql shows it (`t` for true), a number, or limits.
    expect: Option<Expect>,
    /// DEGRADED where a standby is further behind: `10s`.
    lag_above: Option<Length>,
    /// DEGRADED where a larger share of `max_connections` is taken: 0.8.
    connections_above: Option<Share>,
    /// What it means that the server refuses the user of the target.
    pub(crate) auth_failure: AuthFailure,
}

impl Params {
    /// An answer that nobody asks for would be a promise that is not kept.
    pub(crate) fn validate(&self) -> Result<()> {
        match &self.query {
            None if self.expect.is_some() => Err(Error::invalid_params("expect needs a query")),
            Some(query) if query.trim().is_empty() => Err(Error::invalid_params("query is empty")),
            _ => Ok(()),
        }
    }

    /// Holds what a server says against what it should.
    pub(crate) fn judge(&self, seen: &Seen, answer: Option<&str>) -> Outcome {
        let answer = self.expect.as_ref().map(|expect| expect.judge("the query", answer));
        let crowd = self.connections_above.zip(seen.number("connections_used"));
        let crowd = crowd.and_then(|(most, used)| most.exceeded(used, "of the connections are taken"));
        let found = [answer, self.of_lag(seen), crowd];
        found.into_iter().flatten().fold(up(seen.describe()), Outcome::and)
    }

    fn of_lag(&self, seen: &Seen) -> Option<Outcome> {
        let (lag, most) = (seen.number("replication_lag")?, self.lag_above?);
        let late = lag > most.get().as_secs_f64();
        late.then(|| degraded(format!("the standby is {lag:.0} s behind, more than {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::tests::seen;

    fn params(json: &str) -> Params {
        serde_json::from_str(json).expect("parameters")
    }

    fn judged(params: &Params, answer: Option<&str>, columns: &[(&str, &str)]) -> (Status, String) {
        let Outcome { status, message } = params.judge(&seen(columns), answer);
        (status, message)
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let params = params(r#"{"query": "q", "expect": "t", "lag_above": "10s"}"#);
        let right = judged(&params, Some("t"), &[("replication_lag", "10")]);
        assert_eq!(right, (Status::Up, "PostgreSQL".into()));
        let wrong = judged(&params, Some("f"), &[("replication_lag", "11.4")]);
        let message = "the query gives \"f\", expected \"t\"; the standby is 11 s behind, more than 10s";
        assert_eq!(wrong, (Status::Down, message.into()));
        assert_eq!(judged(&params, None, &[]).1, "the query gives nothing, expected \"t\"");
    }

    #[test]
    fn an_expected_answer_needs_a_query() {
        assert!(params(r#"{"expect": "1"}"#).validate().is_err());
        assert!(params(r#"{"expect": "1", "query": "q"}"#).validate().is_ok());
        assert!(params("{}").validate().is_ok());
        assert!(params(r#"{"query": " "}"#).validate().is_err(), "nothing is asked");
    }

    #[test]
    fn a_crowd_is_degraded() {
        let params = params(r#"{"connections_above": 0.8}"#);
        assert_eq!(judged(&params, None, &[("connections_used", "0.8")]).0, Status::Up);
        let crowded = judged(&params, None, &[("connections_used", "0.95")]);
        assert_eq!(crowded, (Status::Degraded, "95 % of the connections are taken, more than 80 %".into()));
    }
}
