//! Connects to its target and reads for as long as that keeps the connection: with a silent target, a timeout, and
//! evidence of the target.

use vitald_sdk::prelude::*;

/// Reads until the connection ends.
#[checker(schemes = ["tcp"])]
fn hanger(target: Target) -> Result<Outcome> {
    let mut stream = target.connect()?;
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer)? > 0 {}
    Ok(down("the target ended the connection"))
}
