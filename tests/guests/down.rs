//! No sin: a target that never works, for whoever counts.

use vitald_sdk::prelude::*;

/// Says "always down" at once.
#[checker]
fn down_always() -> Result<Outcome> {
    Ok(down("always down"))
}
