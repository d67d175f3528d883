//! A grant and an address: `GRANT\nADDRESS\nPORT`. No text panics, nothing is allowed on another port or protocol
//! than the grant names, and only a grant of the very address lets through to one that is special.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use vitald::model::address::{address_of_name_passes, unwrap};
use vitald::model::grant::{Grant, Grants, Host, Protocol};

const ADDRESSES: [&str; 6] = ["127.0.0.1", "169.254.169.254", "::1", "::", "64:ff9b::a9fe:a9fe", "10.0.0.1"];

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let (written, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let port: u16 = lines.next().and_then(|port| port.parse().ok()).unwrap_or(80);
    let host = Host::parse(host);
    let Ok(grant) = written.parse::<Grant>() else { return };
    let grants: Grants = [grant].into_iter().collect();
    if let Some(Host::Name(name)) = &host {
        names(&grants, written, name, port);
    }
    let own = if let Some(Host::Address(address)) = host { Some(address) } else { None };
    let known = ADDRESSES.iter().filter_map(|address| address.parse().ok());
    for address in own.into_iter().chain(known) {
        addresses(&grants, written, address, port);
    }
});

fn names(grants: &Grants, written: &str, name: &str, port: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        if grants.allows_name(protocol, name, port) {
            assert!(written.starts_with(&protocol.to_string()), "{written}: {protocol}://{name}:{port}");
            assert!(grants.allows_lookup(name), "{written}: {name} may be reached and not looked up");
        }
    }
    assert!(!grants.allows_lookup(name) || may_mean(written, name), "{written}: {name}");
}

/// Stands the name in the grant, or a name above it?
fn may_mean(written: &str, name: &str) -> bool {
    let written = written.to_ascii_lowercase();
    let above = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| &name[at..]);
    written.contains(&format!("://{name}")) || above.into_iter().any(|above| written.contains(&format!("://*{above}")))
}

fn addresses(grants: &Grants, written: &str, address: IpAddr, port: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        if !grants.allows_address(protocol, address, port) {
            continue;
        }
        assert!(written.starts_with(&protocol.to_string()), "{written}: {protocol}://{address}:{port}");
        // What no name may lead to is reached by its own address alone.
        assert!(address_of_name_passes(address, false) || names_exactly(written, address), "{written}: {address}");
    }
}

/// Is the host of the grant this address, whatever wraps either?
fn names_exactly(written: &str, address: IpAddr) -> bool {
    let host = written.split_once("://").and_then(|(_, rest)| rest.rsplit_once(':')).map_or("", |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let bare = host.strip_suffix("/32").or_else(|| host.strip_suffix("/128")).unwrap_or(host);
    bare.parse().is_ok_and(|own: IpAddr| unwrap(own) == unwrap(address))
}
