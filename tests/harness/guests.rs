//! The components that the tests hand to the agent.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where the build script put the guests.
const GUESTS: &str = env!("VITALD_GUESTS_DIR");
/// Where those written by hand lie.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests");
/// The schema of a checker that takes any parameters.
const ANY: &str = "{}";

/// What a sin written by hand gets where it has none of its own.
const ORDINARY: [&str; 3] = [
    "(func $realloc (param i32 i32 i32 i32) (result i32)
      (global.get $next)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.add (local.get 3) (i32.const 15))) (i32.const -16))))",
    "(func $describe (result i32) (i32.const 64))",
    "(func $check (result i32) (i32.const 128))",
];

/// A checker of `tests/guests`.
pub fn guest(name: &str) -> Vec<u8> {
    read(&Path::new(GUESTS).join(format!("{name}.wasm")))
}

/// A bundled checker, as the agent's build made it.
pub fn bundled(name: &str) -> Vec<u8> {
    read(&Path::new(GUESTS).join(format!("../vitald_plugin_{name}.wasm")))
}

/// A checker of `tests/guests` that is written by hand: a whole component, or the sin in one.
pub fn by_hand(name: &str) -> Vec<u8> {
    let text = source(name);
    if text.contains("(component") { assembled(&text) } else { checker(&text, ANY) }
}

/// A checker that has no sin but the schema of its parameters.
pub fn with_schema(schema: &str) -> Vec<u8> {
    checker("", schema)
}

/// A checker with that sin.
pub fn with_sin(sin: &str) -> Vec<u8> {
    checker(sin, ANY)
}

fn checker(sin: &str, schema: &str) -> Vec<u8> {
    let mut body = sin.to_owned();
    for ordinary in ORDINARY {
        let head = ordinary.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        if !sin.contains(&head) {
            body.push_str(ordinary);
        }
    }
    let length = u32::try_from(schema.len()).expect("a short schema");
    let text = source("component")
        .replace("{{schema length}}", &escaped(&length.to_le_bytes()))
        .replace("{{schema}}", &escaped(schema.as_bytes()))
        .replace("{{sin}}", &body);
    assembled(&text)
}

/// As a string of the text format.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").expect("text");
        text
    })
}

fn assembled(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn source(name: &str) -> String {
    let path = Path::new(SOURCES).join(format!("{name}.wat"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(path: &PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo build --release` first", path.display()))
}
