//! The `postgres` checker: logs in, asks a query if there is one, and shows connections and replication lag.
//!
//! Of several hosts one must be as wished; they are asked in their order, and each has its share of the time. A server
//! that cannot be reached, is not ready or has no such database is down. A server that refuses our user is there:
//! that is degraded, unless the check says otherwise.

mod seen;
mod session;
mod trouble;
mod wish;

use vitald_sdk::prelude::*;
use vitald_sdk::sql::Params;

use crate::session::Visit;
use crate::wish::Wish;

/// Logs in and asks a query; shows connections and replication lag.
#[checker(schemes = ["postgres:5432", "postgresql:5432"])]
fn postgres(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    params.validate()?;
    let wish = Wish::of(&target)?;
    target.first_host(run, async |host, run| Visit::new(host, &wish, &params).judge(run).await)
}
