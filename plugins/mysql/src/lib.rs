//! The `mysql` checker: logs in to MySQL or MariaDB, asks a query if there is one, and shows connections and replication.
//!
//! Of several hosts the first that lets us in and answers decides; each has its share of the time. A server that cannot be
//! reached, or has no such database, is down. A server that refuses our user is there: that is degraded, unless the check
//! says otherwise.

mod facts;
mod link;
mod login;

use std::time::{Duration, Instant};

use vitald_sdk::Host;
use vitald_sdk::prelude::*;
use vitald_sdk::sql::{Params, measure_answer};

use crate::facts::Facts;
use crate::link::{Link, Stop, not_mysql};
use crate::login::Login;

/// Logs in and asks a query; shows connections and replication lag.
#[checker(schemes = ["mysql:3306", "mariadb:3306"])]
fn mysql(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    params.validate()?;
    let login = Login::of(&target)?;
    target.first_host(run, async |host, run| {
        let visited = visit(host, &login, &params, run).await;
        visited.or_else(|stop| explain(stop, params.auth_failure))
    })
}

async fn visit(host: &Host<'_>, login: &Login, params: &Params, run: &mut Run) -> Result<Outcome, Stop> {
    let mut link = Link::new(host.connect()?);
    let version = login.enter(&mut link, host).await?;
    let judged = ask(&mut link, version, host, params, run).await;
    link.quit().await;
    judged
}

async fn ask(
    link: &mut Link,
    version: String,
    host: &Host<'_>,
    params: &Params,
    run: &mut Run,
) -> Result<Outcome, Stop> {
    let facts = Facts::ask(link, version).await?;
    facts.measure(run);
    let Some(query) = params.query() else { return Ok(params.judge(&facts.with(None))) };
    // The server is told to give up shortly before we do: nobody would wait for it any more. One that cannot, cannot.
    if let Err(stop @ (Stop::Refused(_) | Stop::Other(_))) =
        link.query(&time_limit(&facts, host.left().mul_f64(0.9)), not_mysql()).await
    {
        return Err(stop);
    }
    let asked = Instant::now();
    let too_long = Error::invalid_params("params.query: more than 1 MiB came back; ask for one row");
    let answer = match link.query(query, too_long).await {
        // Said of a log-in it is about the database of the target.
        Err(Stop::Server(code @ 1044, said)) => {
            return Err(Stop::Refused(format!("the health user may not run the query ({code}: {said})")));
        }
        answer => answer?.and_then(|row| row.get_opt::<String, _>(0)?.ok()),
    };
    measure_answer(run, asked.elapsed(), answer.as_deref());
    Ok(params.judge(&facts.with(answer.as_deref())))
}

/// MySQL holds it for `select` only, MariaDB for all statements.
fn time_limit(facts: &Facts, left: Duration) -> String {
    match facts.is_mariadb() {
        true => format!("set session max_statement_time = {:.3}", left.as_secs_f64().max(0.001)),
        false => format!("set session max_execution_time = {}", left.as_millis().max(1)),
    }
}

/// What a talk that ended early says, for a person at night
/// (<https://mariadb.com/kb/en/mariadb-error-code-reference/>). No text has a secret: servers name the user, never a
/// password. What is wrong with the query stays wrong.
fn explain(stop: Stop, user: AuthFailure) -> Result<Outcome> {
    let (code, said) = match stop {
        Stop::Server(code, said) => (code, format!("{code}: {said}")),
        Stop::Refused(why) => return Ok(user.outcome(why)),
        Stop::Other(error) => return Err(error),
    };
    Ok(user.outcome(match code {
        1044 => format!("the health user may not use this database, if there is one of that name ({said})"),
        1045 => format!("the server refuses the health user: unknown, not from this host, without the TLS that it needs, or a wrong password ({said})"),
        1130 => format!("the server lets nobody in from this host ({said})"),
        1142 | 1143 | 1227 | 1370 => format!("the health user may not run the query ({said})"),
        1203 | 1226 => format!("the health user has used up what the server allows it ({said})"),
        1251 | 1275 | 1524 => format!("the server cannot authenticate the health user ({said})"),
        1698 => format!("the server refuses the health user: unknown, or not from this host, or by the server's own socket only ({said})"),
        1820 | 1862 => format!("the password of the health user has expired ({said})"),
        3118 | 4151 => format!("the health user is locked ({said})"),
        3159 => format!("the server takes TLS only: set ssl-mode=required ({said})"),
        1064 => {
            return Err(Error::invalid_params(format!("params.query is no SQL that the server understands ({said})")));
        }
        1040 => return Err(Error::down(format!("the server takes no more connections ({said})"))),
        1049 => return Err(Error::down(format!("the database does not exist ({said})"))),
        1129 => return Err(Error::down(format!("the server has blocked this host ({said})"))),
        1969 | 3024 => return Err(Error::down(format!("the server stopped the query, which took too long ({said})"))),
        _ => return Err(Error::down(format!("the server says {said}"))),
    }))
}

#[cfg(test)]
#[path = "lib_tests.rs"]
mod tests;
