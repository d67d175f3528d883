//! Computes for ever, without a call of the host.

use std::hint::black_box;

use vitald_sdk::prelude::*;

/// Never comes back.
#[checker]
fn looper() -> Result<Outcome> {
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
