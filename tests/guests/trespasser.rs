//! Goes where it has no grant for, in every way that there is, and gives back what it got.

use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};

use vitald_sdk::prelude::*;

/// Where to go, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Trespass {
    /// `HOST:PORT`.
    to: String,
    #[serde(default)]
    via: Via,
}

/// The capability of the host, or what other toolchains use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Via {
    #[default]
    Net,
    Std,
    Udp,
    UdpConnected,
    Lookup,
    Http,
}

/// Connects to an address that is no target of its own.
#[checker]
fn trespasser(params: Trespass) -> Result<Outcome> {
    let address = params.to.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = address else {
        return Err(Error::invalid_params("to: expected HOST:PORT"));
    };
    let host = host.trim_matches(['[', ']']);
    let reached = match params.via {
        Via::Net => connect_to(host, port)?.address(),
        Via::Std => TcpStream::connect((host, port))?.peer_addr()?.to_string(),
        Via::Udp => {
            let _ = UdpSocket::bind(any(host))?.send_to(b"trespassing", (host, port))?;
            params.to
        }
        Via::UdpConnected => {
            let socket = UdpSocket::bind(any(host))?;
            socket.connect((host, port))?;
            let _ = socket.send(b"trespassing")?;
            params.to
        }
        Via::Lookup => (host, port).to_socket_addrs()?.map(|address| address.to_string()).collect::<Vec<_>>().join(" "),
        Via::Http => http::get(&params.to)?,
    };
    Ok(up(format!("got through to {reached}")))
}

/// Where to bind for a destination like this.
fn any(host: &str) -> &'static str {
    if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" }
}

/// A request over wasi:http, which the standard library does not know.
mod http {
    use vitald_sdk::{Error, Result};
    use wasip2::http::outgoing_handler::{OutgoingRequest, handle};
    use wasip2::http::types::{ErrorCode, Fields, Scheme};

    /// The code of the answer to `GET http://{authority}/`.
    pub fn get(authority: &str) -> Result<String> {
        let request = OutgoingRequest::new(Fields::new());
        let _ = request.set_scheme(Some(&Scheme::Http));
        let _ = request.set_authority(Some(authority));
        let _ = request.set_path_with_query(Some("/"));
        let answer = handle(request, None).map_err(refused)?;
        answer.subscribe().block();
        match answer.get() {
            Some(Ok(Ok(answer))) => Ok(format!("status {}", answer.status())),
            Some(Ok(Err(error))) => Err(refused(error)),
            other => Err(Error::internal(format!("no answer: {other:?}"))),
        }
    }

    fn refused(error: ErrorCode) -> Error {
        match error {
            ErrorCode::HttpRequestDenied => Error::denied("HTTP request denied"),
            ErrorCode::DestinationIpProhibited => Error::denied("destination prohibited"),
            other => Error::down(other.to_string()),
        }
    }
}
