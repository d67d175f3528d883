//! Sits on memory and on a slot for a while, within its own caps: many of it at once are too much.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

use vitald_sdk::prelude::*;

/// Not zero: zeroed pages may never be touched.
const FILL: u8 = 0xa5;

/// How much, and for how long.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Squat {
    mib: usize,
    millis: u64,
}

/// Leaves by itself.
#[checker]
fn cap_squatter(params: Squat) -> Result<Outcome> {
    let held = black_box(vec![FILL; params.mib << 20]);
    #[expect(clippy::disallowed_methods, reason = "to stay is its sin")]
    sleep(Duration::from_millis(params.millis));
    Ok(up(format!("held {} MiB", held.len() >> 20)))
}
