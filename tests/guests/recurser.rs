//! Calls itself until there is no stack left.

use std::hint::black_box;

use vitald_sdk::prelude::*;

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { depth } else { deeper(depth + 1).wrapping_add(depth) }
}

/// Never reaches the bottom.
#[checker]
fn recurser() -> Result<Outcome> {
    Ok(up(deeper(0).to_string()))
}
