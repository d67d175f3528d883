//! The checkers that the binary carries; `build.rs` builds and lists them.

use std::sync::OnceLock;

use crate::model::name::Name;

use super::inventory::digest_of;
use super::slot::Version;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// What they have for a file's path.
pub const SOURCE: &str = "bundled";

/// All of them, hashed once.
pub fn all() -> impl Iterator<Item = (Name, Version)> {
    static ALL: OnceLock<Vec<(Name, Version)>> = OnceLock::new();
    let make = || {
        let version = |(name, bytes): &(&str, &'static [u8])| {
            let (source, digest) = (SOURCE.to_owned(), digest_of(bytes));
            Some((name.parse().ok()?, Version { source, digest, whole: true, unfinished: false, stamp: None }))
        };
        BUNDLED.iter().filter_map(version).collect()
    };
    ALL.get_or_init(make).iter().cloned()
}

pub fn get(name: &Name) -> Option<Version> {
    all().find(|(bundled, _)| bundled == name).map(|(_, version)| version)
}

/// Is this the name of a bundled checker?
pub fn has(name: &str) -> bool {
    bytes(name).is_some()
}

/// What the binary carries under this name.
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    BUNDLED.iter().find(|(bundled, _)| *bundled == name).map(|(_, bytes)| *bytes)
}

pub fn names() -> Vec<&'static str> {
    BUNDLED.iter().map(|(name, _)| *name).collect()
}
