//! Answers with more than anyone wants to read.

use vitald_sdk::prelude::*;

const SIZE: usize = 3 << 20;

/// Gives a message of 3 MiB.
#[checker]
fn huge() -> Result<Outcome> {
    Ok(up("x".repeat(SIZE)))
}
