//! No sin: what a run costs that does nothing.

use vitald_sdk::prelude::*;

/// Says "ok" at once.
#[checker]
fn noop() -> Result<Outcome> {
    Ok(up("ok"))
}
