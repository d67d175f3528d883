//! Holds many of the host's resources at once: timers, of which each lies in the run's table.

use vitald_sdk::prelude::*;
use wasip2::clocks::monotonic_clock::subscribe_duration;

/// Longer than any run.
const HOUR: u64 = 3_600_000_000_000;

/// How many to hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resources {
    timers: usize,
}

/// Sets so many timers, and waits for none.
#[checker]
fn cap_resources(params: Resources) -> Result<Outcome> {
    let held: Vec<_> = (0..params.timers).map(|_| subscribe_duration(HOUR)).collect();
    Ok(up(format!("held {}", held.len())))
}
