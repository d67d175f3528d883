//! Happy eyeballs (RFC 8305): of several addresses the first that answers is taken, and one that is dead costs a quarter
//! of a second, not the whole timeout.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;

/// Until the next address is tried beside those that have not answered (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address that answers. If none does, the error is the last one's.
pub async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<(TcpStream, SocketAddr)> {
    let attempt = |address: IpAddr| async move {
        let peer = SocketAddr::new(address, port);
        TcpStream::connect(peer).await.map(|stream| (stream, peer))
    };
    if let [only] = addresses {
        return attempt(*only).await;
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut waiting = in_turns(addresses).into_iter();
    let mut tried = FuturesUnordered::new();
    loop {
        match waiting.next() {
            Some(address) => tried.push(attempt(address)),
            None if tried.is_empty() => return Err(last),
            None => {}
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(ended) = tried.next() => match ended {
                Ok(connected) => return Ok(connected),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}

/// IPv6 and IPv4 by turns, so that a host without one of them loses one step at most.
fn in_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let (mut v6, mut v4) = (addresses.iter().filter(|a| a.is_ipv6()), addresses.iter().filter(|a| a.is_ipv4()));
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(v6.next());
        ordered.extend(v4.next());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("address")).collect::<Vec<IpAddr>>();
        assert_eq!(in_turns(&parse(&["1.1.1.1", "2.2.2.2", "::1"])), parse(&["::1", "1.1.1.1", "2.2.2.2"]));
        assert!(in_turns(&[]).is_empty());
    }

    #[tokio::test]
    async fn a_dead_address_costs_little() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        // 192.0.2.0/24 is for documentation: nobody answers, or the network says so at once.
        let addresses = ["::1", "192.0.2.1", "127.0.0.1"].map(|text| text.parse().expect("address"));
        let connected = tokio::time::timeout(Duration::from_secs(5), connect(&addresses, port)).await;
        let (_, peer) = connected.expect("in time").expect("connected");
        assert_eq!(peer.ip().to_string(), "127.0.0.1");
    }

    #[tokio::test]
    async fn the_error_is_a_real_one() {
        let port = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address").port();
        let addresses = ["127.0.0.1", "127.0.0.2"].map(|text| text.parse().expect("address"));
        let error = connect(&addresses, port).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
