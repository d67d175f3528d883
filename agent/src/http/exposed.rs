//! `/metrics`: the host's numbers as the sampler encoded them, then what the agent says of itself.
//!
//! A scrape waits for no sampler: it takes what was published last. `collect[]` chooses among the host's collectors, as
//! in node_exporter; the agent's own metrics are always there.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use hyper::{Request, StatusCode};

use crate::exposition::gzip::{self, Deflated};
use crate::exposition::{Format, HostText, encode};

use super::reply::{Pieces, Reply};
use super::routes::State;

const COLLECT: &str = "collect[]";
/// The agent's own block among those of the host.
const ALWAYS: &str = "process";

pub fn metrics<B>(state: &State, request: &Request<B>) -> Reply {
    let header = |name: HeaderName| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let format = Format::negotiate(&header(ACCEPT));
    let zipped = gzip::accepted(&header(ACCEPT_ENCODING));
    let host = state.wires.host.borrow().clone();
    let chosen = collectors(request.uri().query().unwrap_or_default());
    if let Some(unknown) = chosen.iter().find(|name| !host.has(name)) {
        return missing(unknown, &host);
    }
    if !chosen.is_empty() {
        let text = host.encode(format, |name| name == ALWAYS || chosen.iter().any(|chosen| chosen == name));
        return reply(format, zipped, text.into(), &own(state, format));
    }
    // Counters move without a new sample: this form is only as old as the cache lets it be.
    let version = std::sync::Arc::as_ptr(&host).addr();
    state.cache.get(form(format, zipped), version, || {
        let own = own(state, format);
        if zipped {
            return zipped_reply(format, &host.zipped(format), &own);
        }
        reply(format, false, host.plain(format), &own)
    })
}

fn form(format: Format, zipped: bool) -> &'static str {
    match (format, zipped) {
        (Format::Text, false) => "/metrics",
        (Format::Text, true) => "/metrics gzip",
        (Format::OpenMetrics, false) => "/metrics OpenMetrics",
        (Format::OpenMetrics, true) => "/metrics OpenMetrics gzip",
    }
}

/// What the agent counts, and what follows from its snapshots.
fn own(state: &State, format: Format) -> String {
    let mut families = state.metrics.gather();
    for source in &state.wires.sources {
        families.extend(source.families());
    }
    encode(&families, format)
}

fn reply(format: Format, zipped: bool, host: bytes::Bytes, own: &str) -> Reply {
    if zipped {
        return zipped_reply(format, &Deflated::part(&host), own);
    }
    pieces(format, false, [host, bytes::Bytes::copy_from_slice(own.as_bytes())])
}

fn zipped_reply(format: Format, host: &Deflated, own: &str) -> Reply {
    pieces(format, true, gzip::member(&[host, &Deflated::last(own.as_bytes())]))
}

fn pieces(format: Format, zipped: bool, pieces: impl IntoIterator<Item = bytes::Bytes>) -> Reply {
    let body: Pieces = pieces.into_iter().collect();
    Reply { gzipped: Some(zipped), ..Reply::new(StatusCode::OK, format.content_type(), body) }
}

/// The values of `collect[]`.
fn collectors(query: &str) -> Vec<String> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| decoded(key) == COLLECT).map(|(_, value)| decoded(value)).collect()
}

fn missing(name: &str, host: &HostText) -> Reply {
    let known: Vec<&str> = host.collectors().collect();
    let name: String = name.chars().take(64).collect();
    Reply::bad_request(&format!("no collector {name:?} is on; there are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_asks_for() {
        assert_eq!(collectors("collect[]=cpu&collect%5B%5D=load%61vg&x=y"), ["cpu", "loadavg"]);
        assert!(collectors("").is_empty());
    }
}
