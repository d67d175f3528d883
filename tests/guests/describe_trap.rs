//! Panics when it is asked to describe itself, so it must never be loaded.

use std::borrow::Cow;

use schemars::{Schema, SchemaGenerator};
use vitald_sdk::prelude::*;

#[derive(Deserialize)]
struct Undescribed {}

impl JsonSchema for Undescribed {
    fn schema_name() -> Cow<'static, str> {
        "undescribed".into()
    }

    #[expect(clippy::panic, reason = "it is the sin")]
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        panic!("deliberate: describe")
    }
}

/// Cannot say what it is.
#[checker]
fn describe_trap(_params: Undescribed) -> Result<Outcome> {
    Ok(up("nobody should have called this"))
}
