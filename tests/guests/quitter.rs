//! Ends its process, as a program would.

use vitald_sdk::prelude::*;

/// Exits with code 3, of which WASI 0.2 hands on no more than that it is not 0.
#[checker]
fn quitter() -> Result<Outcome> {
    #[expect(clippy::disallowed_methods, reason = "it is the sin")]
    std::process::exit(3)
}
