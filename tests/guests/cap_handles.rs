//! Makes resources of its own and keeps them: each costs the host an entry of a table, without a call of it.

#![allow(unsafe_code, reason = "generated: what a component exports")]

use vitald_sdk::prelude::*;

use self::bindings::exports::test::guest::kept;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package test:guest;
            interface kept {
                resource thing {}
            }
            world owner {
                export kept;
            }
        ",
    });
}

struct Owner;
struct Thing;

impl kept::Guest for Owner {
    type Thing = Thing;
}

impl kept::GuestThing for Thing {}

bindings::export!(Owner with_types_in bindings);

/// How many to make.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Handles {
    count: usize,
}

/// Holds so many at once.
#[checker]
fn cap_handles(params: Handles) -> Result<Outcome> {
    let held: Vec<kept::Thing> = (0..params.count).map(|_| kept::Thing::new(Thing)).collect();
    Ok(up(format!("held {}", held.len())))
}
