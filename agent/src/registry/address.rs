//! Which address of this host others should use.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};

use sysinfo::Networks;

use super::Advertise;

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("advertise = {0:?}: there is no such interface, and it is no address; there are {1}")]
    NoInterface(String, String),
    #[error("advertise = {0:?}: the interface has no address")]
    NoAddress(String),
    #[error("the interfaces of this host cannot be listed: {0}")]
    Unknown(String),
    #[error("the route to {endpoint} is not known: {source}; set advertise in [agent]")]
    NoRoute { endpoint: String, source: std::io::Error },
}

impl AddressError {
    /// What does not change while the complaint is the same: interfaces come and go.
    pub fn gist(&self) -> String {
        match self {
            Self::NoInterface(name, _) => format!("no interface {name}"),
            other => other.to_string(),
        }
    }
}

/// The address to register. Blocking: it may look a name up.
pub fn advertised(advertise: &Advertise, endpoints: &[String]) -> Result<IpAddr, AddressError> {
    match advertise {
        Advertise::Address(address) => Ok(*address),
        Advertise::Interface(name) => of_interface(name),
        Advertise::Auto => {
            let mut last = None;
            for endpoint in endpoints {
                match of_route(endpoint) {
                    Ok(address) => return Ok(address),
                    Err(source) => last = Some(AddressError::NoRoute { endpoint: endpoint.clone(), source }),
                }
            }
            Err(last.unwrap_or_else(|| AddressError::NoAddress("auto".into())))
        }
    }
}

/// The first IPv4 address, else the first that is not link-local.
fn of_interface(name: &str) -> Result<IpAddr, AddressError> {
    let networks = Networks::new_with_refreshed_list().map_err(|error| AddressError::Unknown(error.to_string()))?;
    let Some(data) = networks.get(OsStr::new(name)) else {
        let names = networks.keys().map(|name| name.to_string_lossy()).collect::<BTreeSet<_>>();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(AddressError::NoInterface(name.to_owned(), names));
    };
    let addresses: Vec<IpAddr> = data.ip_networks().iter().map(|network| network.addr).collect();
    let usable = |address: &&IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    v4.or_else(|| addresses.iter().find(usable)).copied().ok_or_else(|| AddressError::NoAddress(name.to_owned()))
}

/// Connecting a UDP socket sends nothing; it makes the kernel choose the source address.
fn of_route(endpoint: &str) -> std::io::Result<IpAddr> {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let peer = authority.trim_end_matches('/').to_socket_addrs()?.next();
    let peer = peer.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))?;
    let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        let endpoints = ["http://127.0.0.1:2379".to_owned()];
        assert_eq!(advertised(&Advertise::Auto, &endpoints).expect("a route"), loopback);
        assert_eq!(advertised(&Advertise::Interface("lo".into()), &[]).expect("loopback"), loopback);
        let error = advertised(&Advertise::Interface("nope0".into()), &[]).expect_err("none").to_string();
        assert!(error.contains("nope0") && error.contains("lo"), "{error}");
    }
}
