//! Asks for much randomness at once.

use vitald_sdk::prelude::*;
use wasip2::random::random::get_random_bytes;

/// How much to ask for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Random {
    bytes: u64,
}

/// Says how much it got.
#[checker]
fn cap_random(params: Random) -> Result<Outcome> {
    Ok(up(format!("got {} bytes", get_random_bytes(params.bytes).len())))
}
