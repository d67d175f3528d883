//! No sin: asks a DNS server by UDP, and waits no longer than it was told.

use vitald_sdk::prelude::*;
use vitald_sdk::{Endpoint, Length};

/// What to ask for.
#[params]
struct Asker {
    /// A name.
    name: String,
    /// How long to wait for the answer.
    within: Length,
    /// Another port of the same host.
    port: Option<u16>,
}

/// Asks its target for the IPv4 addresses of a name.
#[checker(schemes = ["dns:53"])]
fn asker(target: Target, params: Asker, run: &mut Run) -> Result<Outcome> {
    let server = Endpoint::new(target.host(), params.port.unwrap_or(target.port())).datagrams()?;
    server.send(&question(&params.name))?;
    let mut answer = [0; 512];
    let length = server.receive(&mut answer, params.within.get())?;
    run.measure("answer", run.elapsed());
    match answer.get(..length) {
        // RFC 1035, 4.1.1: the id, the flags with the response code, then how many questions and answers.
        Some([0x12, 0x34, _, code, _, _, 0, count, ..]) if code & 0xf == 0 => Ok(up(format!("{count} addresses"))),
        other => Ok(down(format!("no answer to that question: {other:?}"))),
    }
}

/// RFC 1035, 4.1.
fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.extend(u8::try_from(label.len()));
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}
