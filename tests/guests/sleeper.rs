//! Sleeps past its deadline without a connection: idle, and no fault of a target.

use std::thread::sleep;
use std::time::Duration;

use vitald_sdk::prelude::*;

/// Sleeps for ten times its timeout.
#[checker]
fn sleeper(run: &mut Run) -> Result<Outcome> {
    #[expect(clippy::disallowed_methods, reason = "to sleep is its sin")]
    sleep(run.timeout().saturating_mul(10).max(Duration::from_secs(1)));
    Ok(up("slept well"))
}
