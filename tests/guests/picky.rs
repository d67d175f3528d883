//! No sin: parameters that an operator can get wrong.

use vitald_sdk::prelude::*;

/// What it insists on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Picky {
    /// A number that must be there.
    must: i64,
}

/// Says the number that it was given.
#[checker]
fn picky(params: Picky) -> Result<Outcome> {
    Ok(up(format!("must is {}", params.must)))
}
