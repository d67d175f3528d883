//! UDP by `wasi:sockets`, under the same grants as everything else. It waits in the host, and no longer than it was told.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::{Pollable, poll};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, Network,
};
use wasip2::sockets::udp::{IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::length::nanos;
use crate::net::Cause;

/// A socket that sends to one peer and hears from no other.
pub(crate) struct Socket {
    // Dropped in this order: the streams before the socket that they belong to.
    incoming: IncomingDatagramStream,
    outgoing: OutgoingDatagramStream,
    _socket: UdpSocket,
}

impl Socket {
    /// Looks up the name and takes the first of its addresses that can be sent to. Nothing is sent yet.
    pub(crate) fn connect(host: &str, port: u16) -> Result<Self, Cause> {
        let network = instance_network();
        let mut failed = Cause::NameNotFound;
        for address in addresses(&network, host)? {
            match Self::open(&network, address, port) {
                Ok(socket) => return Ok(socket),
                Err(code) => failed = code.into(),
            }
        }
        Err(failed)
    }

    fn open(network: &Network, address: IpAddress, port: u16) -> Result<Self, ErrorCode> {
        let (family, any, remote) = match address {
            IpAddress::Ipv4(address) => (IpAddressFamily::Ipv4, v4((0, 0, 0, 0), 0), v4(address, port)),
            IpAddress::Ipv6(address) => (IpAddressFamily::Ipv6, v6((0, 0, 0, 0, 0, 0, 0, 0), 0), v6(address, port)),
        };
        let socket = create_udp_socket(family)?;
        socket.start_bind(network, any)?;
        while let Err(code) = socket.finish_bind() {
            match code {
                ErrorCode::WouldBlock => socket.subscribe().block(),
                code => return Err(code),
            }
        }
        let (incoming, outgoing) = socket.stream(Some(remote))?;
        Ok(Self { incoming, outgoing, _socket: socket })
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Cause> {
        loop {
            // The host takes only what it said that it would.
            while self.outgoing.check_send()? == 0 {
                self.outgoing.subscribe().block();
            }
            if self.outgoing.send(&[OutgoingDatagram { data: bytes.to_vec(), remote_address: None }])? > 0 {
                return Ok(());
            }
            // The socket had no room after all.
            self.outgoing.subscribe().block();
        }
    }

    /// The next datagram, cut where the buffer ends.
    pub(crate) fn receive(&self, buffer: &mut [u8], within: Duration) -> Result<usize, Cause> {
        let begun = Instant::now();
        loop {
            if let Some(datagram) = self.incoming.receive(1)?.into_iter().next() {
                let count = datagram.data.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..count), datagram.data.get(..count)) {
                    to.copy_from_slice(from);
                }
                return Ok(count);
            }
            let left = within.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Cause::Timeout);
            }
            wait(&self.incoming.subscribe(), left);
        }
    }
}

fn wait(pollable: &Pollable, limit: Duration) {
    poll(&[pollable, &monotonic_clock::subscribe_duration(nanos(limit))]);
}

/// An address stands for itself; the host looks up a name.
fn addresses(network: &Network, host: &str) -> Result<Vec<IpAddress>, Cause> {
    if let Ok(address) = host.parse() {
        return Ok(vec![wire(address)]);
    }
    let lookup = resolve_addresses(network, host)?;
    let mut found = Vec::new();
    loop {
        match lookup.resolve_next_address() {
            Ok(Some(address)) => found.push(address),
            Ok(None) => return Ok(found),
            Err(ErrorCode::WouldBlock) => lookup.subscribe().block(),
            Err(code) => return Err(code.into()),
        }
    }
}

fn wire(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            IpAddress::Ipv4((a, b, c, d))
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            IpAddress::Ipv6((a, b, c, d, e, f, g, h))
        }
    }
}

fn v4(address: (u8, u8, u8, u8), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
}

fn v6(address: (u16, u16, u16, u16, u16, u16, u16, u16), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
}

impl From<ErrorCode> for Cause {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::AccessDenied => Self::Denied,
            ErrorCode::NameUnresolvable => Self::NameNotFound,
            ErrorCode::TemporaryResolverFailure | ErrorCode::PermanentResolverFailure => Self::NameUnavailable,
            ErrorCode::ConnectionRefused => Self::Refused,
            ErrorCode::RemoteUnreachable => Self::Unreachable,
            ErrorCode::ConnectionReset | ErrorCode::ConnectionAborted => Self::Reset,
            ErrorCode::Timeout => Self::Timeout,
            ErrorCode::NewSocketLimit => Self::Other("all sockets that this run may have are open".into()),
            ErrorCode::DatagramTooLarge => Self::Other("the datagram is too large".into()),
            code => Self::Other(code.name().replace('-', " ")),
        }
    }
}
