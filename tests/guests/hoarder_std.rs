//! As `hoarder`, with the sockets of the standard library: wasi:sockets.

use std::net::TcpStream;

use vitald_sdk::prelude::*;

/// Far more than anyone gets.
const WANTED: usize = 2000;

/// Says how many it got, and what it was told then.
#[checker(schemes = ["tcp"])]
fn hoarder_std(target: Target) -> Result<Outcome> {
    let mut hoard = Vec::new();
    for _ in 0..WANTED {
        match TcpStream::connect((target.host(), target.port())) {
            Ok(stream) => hoard.push(stream),
            Err(error) => return Ok(up(format!("hoarded {}: {error}", hoard.len()))),
        }
    }
    Ok(up(format!("hoarded {}: no end of it", hoard.len())))
}
