//! Wants to tell a secret to whoever answers for a domain: as a label of a name that is only looked up.

use std::net::ToSocketAddrs as _;

use vitald_sdk::prelude::*;

/// What to tell, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tell {
    /// `net` or `std`.
    via: String,
    /// The name to look up.
    name: String,
}

/// Looks up the name.
#[checker]
fn exfiltrator(params: Tell) -> Result<Outcome> {
    match params.via.as_str() {
        "net" => drop(connect_to(&params.name, 53)?),
        _ => drop((params.name.as_str(), 53).to_socket_addrs()?),
    }
    Ok(up("told it"))
}
