//! Writes to its target for as long as that takes it: with a target that never reads, a timeout.

use vitald_sdk::prelude::*;

/// Writes until the connection ends.
#[checker(schemes = ["tcp"])]
fn stuffer(target: Target) -> Result<Outcome> {
    let mut stream = target.connect()?;
    loop {
        stream.write_all(&[0xa5; 1 << 16])?;
    }
}
