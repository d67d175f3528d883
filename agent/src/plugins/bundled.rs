//! The checkers that the binary carries; `build.rs` builds and lists them.

use std::sync::{Arc, OnceLock};

use crate::model::name::Name;

use super::inventory::digest_of;
use super::slot::Version;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// All of them, hashed once.
pub fn all() -> impl Iterator<Item = (Name, Version)> {
    static ALL: OnceLock<Vec<(Name, Version)>> = OnceLock::new();
    let make = || {
        let version = |(name, bytes): &(&str, &'static [u8])| {
            let source = "bundled".to_owned();
            Some((name.parse().ok()?, Version { source, digest: digest_of(bytes), bytes: Arc::from(*bytes) }))
        };
        BUNDLED.iter().filter_map(version).collect()
    };
    ALL.get_or_init(make).iter().cloned()
}

/// Is this the name of a bundled checker?
pub fn has(name: &Name) -> bool {
    BUNDLED.iter().any(|(bundled, _)| *bundled == &**name)
}
