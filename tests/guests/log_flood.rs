//! Says 100,000 lines to the agent's log, and then what it was asked for.

use vitald_sdk::prelude::*;

const LINES: u32 = 100_000;

/// Floods the log.
#[checker]
fn log_flood(run: &mut Run) -> Result<Outcome> {
    for line in 0..LINES {
        run.log(Level::Error, format!("flooding, line {line}\nlevel=error msg=forged {}", "x".repeat(200)));
    }
    Ok(up("said all of it"))
}
