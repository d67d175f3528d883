//! An address of this machine that is not of its loopback: what a name of a service leads to.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Documentation (RFC 5737): nobody answers there, but there is a route where there is a network.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The last part of the next address that is added.
static NEXT: AtomicU8 = AtomicU8::new(1);

/// One that the machine has, or one that was added for as long as this lives.
pub struct OwnAddress {
    address: Ipv4Addr,
    added: bool,
}

impl OwnAddress {
    pub fn find() -> Self {
        match outgoing() {
            Some(address) => Self { address, added: false },
            None => Self::added(),
        }
    }

    pub fn ip(&self) -> IpAddr {
        self.address.into()
    }

    fn added() -> Self {
        let process = u8::try_from(std::process::id() % 250).unwrap();
        let address = Ipv4Addr::new(10, 99, process, NEXT.fetch_add(1, Ordering::Relaxed));
        let output = ip("add", address).expect("the program `ip` of the package iproute2");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "this machine has no network, and as who this is it gets no address: {said}");
        Self { address, added: true }
    }
}

impl Drop for OwnAddress {
    fn drop(&mut self) {
        if self.added {
            let _ = ip("del", self.address);
        }
    }
}

fn outgoing() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

fn ip(verb: &str, address: Ipv4Addr) -> std::io::Result<std::process::Output> {
    Command::new("ip").args(["address", verb, &format!("{address}/32"), "dev", "lo"]).output()
}
