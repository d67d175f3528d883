//! No sin: a `noop` that wants one power more, the network, and does not use it.

use std::time::Duration;

use vitald_sdk::prelude::*;

/// Says "ok with the network" at once.
#[checker]
fn noop_net(run: &mut Run) -> Result<Outcome> {
    // Never so, which the compiler cannot know: the import stays.
    if run.timeout() > Duration::from_secs(1 << 40) {
        let _ = connect_to("localhost", 1)?;
    }
    Ok(up("ok with the network"))
}
