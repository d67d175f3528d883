//! Connects to where it has no grant for, and gives back what it got.

use vitald_sdk::prelude::*;

/// Where to go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Trespass {
    /// `HOST:PORT`.
    to: String,
}

/// Connects to an address that is no target of its own.
#[checker]
fn trespasser(params: Trespass) -> Result<Outcome> {
    let address = params.to.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = address else {
        return Err(Error::invalid_params("to: expected HOST:PORT"));
    };
    let stream = connect_to(host, port)?;
    Ok(up(format!("got through to {}", stream.address())))
}
