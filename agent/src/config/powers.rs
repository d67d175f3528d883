//! What a check may do and use: `allow`, `limits` and `tls`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use crate::model::check::{Limits, TlsDef};
use crate::model::grant::{Grant, InvalidGrant};

use super::raw::{RawLimits, RawTls};
use super::table::{Context, Field, Place};

/// Less than this no component runs in; more than this no slot of the sandbox has.
const MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Each socket is a file descriptor of the agent.
const SOCKETS: RangeInclusive<usize> = 0..=1024;
const LOG_LINES: RangeInclusive<u32> = 0..=10_000;

pub fn grants(field: &Field<Vec<String>>, context: &Context<'_>) -> Vec<Grant> {
    let parse =
        |text: &String| text.parse().map_err(|error: InvalidGrant| context.mistake(&field.place, error.to_string()));
    field.value.iter().filter_map(|text| parse(text).ok()).collect()
}

pub fn limits(field: Option<&Field<RawLimits>>, context: &Context<'_>) -> Limits {
    let Some(field) = field else { return Limits::default() };
    let raw = &field.value;
    let memory = raw.memory.map(|size| size.0);
    if memory.is_some_and(|memory| !MEMORY.contains(&memory)) {
        context.mistake(&within(field, "memory"), "1MiB to 1GiB is wanted");
    }
    if raw.sockets.is_some_and(|sockets| !SOCKETS.contains(&sockets)) {
        context.mistake(&within(field, "sockets"), "a number from 0 to 1024 is wanted");
    }
    if raw.log_lines.is_some_and(|lines| !LOG_LINES.contains(&lines)) {
        context.mistake(&within(field, "log_lines"), "a number from 0 to 10000 is wanted");
    }
    Limits { memory, sockets: raw.sockets, log_lines: raw.log_lines }
}

/// Whether the files are there and hold what they should is the check's own matter when it runs: they may come later
/// than the configuration, and change.
pub fn tls(field: Option<&Field<RawTls>>, context: &Context<'_>) -> TlsDef {
    let Some(field) = field else { return TlsDef::default() };
    let raw = &field.value;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| context.base.join(path));
    let identity = match (path(&raw.cert_file), path(&raw.key_file)) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            context.mistake(&field.place, "cert_file and key_file belong together: set both or none");
            None
        }
    };
    if let Some(name) = &raw.server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        context.mistake(&within(field, "server_name"), format!("{name:?} is no host name or address"));
    }
    TlsDef {
        ca_file: path(&raw.ca_file),
        identity,
        server_name: raw.server_name.clone(),
        insecure: raw.insecure.unwrap_or_default(),
    }
}

fn within<T>(field: &Field<T>, key: &str) -> Place {
    Place { key: format!("{}.{key}", field.place.key), ..field.place.clone() }
}
