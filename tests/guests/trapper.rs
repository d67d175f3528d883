//! Panics in a run.

use vitald_sdk::prelude::*;

/// Panics with "deliberate".
#[checker]
fn trapper() -> Result<Outcome> {
    #[expect(clippy::panic, reason = "it is the sin")]
    {
        panic!("deliberate")
    }
}
