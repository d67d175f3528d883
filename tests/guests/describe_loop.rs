//! Computes for ever when it is asked to describe itself, so it must never be loaded.

use std::borrow::Cow;
use std::hint::black_box;

use schemars::{Schema, SchemaGenerator};
use vitald_sdk::prelude::*;

#[derive(Deserialize)]
struct Endless {}

impl JsonSchema for Endless {
    fn schema_name() -> Cow<'static, str> {
        "endless".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut turns: u64 = 0;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}

/// Never says what it is.
#[checker]
fn describe_loop(_params: Endless) -> Result<Outcome> {
    Ok(up("nobody should have called this"))
}
