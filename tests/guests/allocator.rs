//! Takes memory for ever, and writes to all of it.

use std::hint::black_box;

use vitald_sdk::prelude::*;

/// Not zero: zeroed pages may never be touched.
const FILL: u8 = 0xa5;

/// Grows until it is stopped.
#[checker]
fn allocator() -> Result<Outcome> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![FILL; 1 << 20]));
    }
}
