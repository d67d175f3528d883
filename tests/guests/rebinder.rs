//! Connects to one name twice in a run, as an attack does whose DNS answers change: both must lead to one address.

use std::net::TcpStream;

use vitald_sdk::prelude::*;

/// How to go there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rebind {
    /// `net` or `std`.
    via: String,
}

/// Says where it came to, both times.
#[checker(schemes = ["tcp"])]
fn rebinder(target: Target, params: Rebind) -> Result<Outcome> {
    let arrive = || -> Result<String> {
        Ok(match params.via.as_str() {
            "net" => target.connect()?.address(),
            _ => TcpStream::connect((target.host(), target.port()))?.peer_addr()?.to_string(),
        })
    };
    Ok(up(format!("{} then {}", arrive()?, arrive()?)))
}
