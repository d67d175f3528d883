//! No sin: what `noop` is replaced with when a plugin is swapped.

use vitald_sdk::prelude::*;

/// Says "ok from version two" at once.
#[checker]
fn version_two() -> Result<Outcome> {
    Ok(up("ok from version two"))
}
