//! Prints 100,000 lines to stderr, and then crashes: the head and the tail of what it printed are in its fault.

use vitald_sdk::prelude::*;

const LINES: u32 = 100_000;

/// Floods stderr.
#[checker]
fn stderr_flood() -> Result<Outcome> {
    for line in 0..LINES {
        eprintln!("flooding, line {line}");
    }
    #[expect(clippy::panic, reason = "what was printed is shown with a crash")]
    {
        panic!("deliberate, after the flood")
    }
}
