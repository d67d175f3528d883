//! No sin: a `noop` that imports more and has no power more, for a map takes random numbers.

use std::collections::HashMap;

use vitald_sdk::prelude::*;

/// Says "ok with a map" at once.
#[checker]
fn noop_map(run: &mut Run) -> Result<Outcome> {
    let words: HashMap<&str, &str> = HashMap::from([(run.check_name(), "ok with a map")]);
    Ok(up(words.values().copied().collect::<String>()))
}
