//! Fills the headers of a request that it never sends.

use vitald_sdk::prelude::*;
use wasip2::http::types::Fields;

const FIELD: usize = 1 << 10;

/// How much to fill in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Headers {
    /// Fields of one KiB each, beside their names.
    kib: usize,
}

/// Adds fields until there are so many.
#[checker]
fn cap_headers(params: Headers) -> Result<Outcome> {
    let fields = Fields::new();
    for turn in 0..params.kib {
        if let Err(error) = fields.append(&format!("x-{turn}"), &[b'x'; FIELD]) {
            return Ok(down(format!("after {turn} KiB: {error}")));
        }
    }
    Ok(up(format!("filled in {} KiB", params.kib)))
}
