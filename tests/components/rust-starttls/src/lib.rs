//! A checker that upgrades: PostgreSQL's `SSLRequest`, TLS by the host, and then the server's first word.
//!
//! Protocol: <https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.12>.

use vitald_sdk::prelude::*;
use vitald_sdk::{TlsOptions, TlsPeer};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Its length, the protocol's version 3.0, and parameters up to an empty one.
const STARTUP: &[u8; 21] = b"\0\0\0\x15\0\x03\0\0user\0health\0\0";

#[params]
#[serde(default)]
#[derive(Default)]
struct Params {
    /// Look at the certificate, whoever signed it, and go no further.
    inspect: bool,
}

/// Upgrades a connection to PostgreSQL, and waits for the question for a password.
#[checker(schemes = ["postgres:5432"])]
fn starttls(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    let mut stream = target.connect()?;
    stream.write_all(&SSL_REQUEST)?;
    if read_byte(&mut stream)? != b'S' {
        return Ok(down("the server speaks no TLS"));
    }
    if params.inspect {
        return inspect(stream, run);
    }
    stream.start_tls()?;
    let peer = described(&stream, run)?;
    stream.write_all(STARTUP)?;
    Ok(match read_byte(&mut stream)? {
        b'R' => up(format!("{} of {}", peer.version, peer.subject().unwrap_or("nobody"))),
        other => down(format!("startup was answered with {:?}", char::from(other))),
    })
}

/// Says what it sees, and whether data passes all the same.
fn inspect(mut stream: Stream, run: &mut Run) -> Result<Outcome> {
    stream.start_tls_with(TlsOptions::new().inspect_only())?;
    let peer = described(&stream, run)?;
    let passes = if stream.write_all(STARTUP).is_ok() { "data passes" } else { "no data passes" };
    Ok(degraded(format!("{}; {passes}", peer.verify_error.as_deref().unwrap_or("it verifies"))))
}

fn described(stream: &Stream, run: &mut Run) -> Result<TlsPeer> {
    let peer = stream.tls().ok_or_else(|| Error::internal("there is no peer after a handshake"))?;
    run.measure("certificates", peer.certificates.len());
    if let Some(left) = peer.seconds_left() {
        run.measure("certificate_left", seconds(left));
    }
    Ok(peer)
}

fn read_byte(stream: &mut Stream) -> Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}
