use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::model::address::address_of_name_passes;

fn grants(texts: &[&str]) -> Grants {
    texts.iter().map(|text| text.parse::<Grant>().expect(text)).collect()
}

#[test]
fn texts_that_are_no_grants() {
    for text in [
        "tcp://*:80",
        "tcp://db",
        "tcp://db:0",
        "tcp://db:9-2",
        "tcp://db:http",
        "db:80",
        "http://db:80",
        "unix:/run/x",
        "read:/etc",
        "icmp:db",
        "tcp://a b:1",
        "tcp://10.0.0.0/33:1",
        "tcp://127.1:80",
        "tcp://*.:80",
        "tcp://[db]:80",
        // Fuzzing found it.
        "udp://[f]:53",
        "",
    ] {
        assert!(text.parse::<Grant>().is_err(), "{text}");
    }
}

#[test]
fn names_and_ports() {
    let all = grants(&["tcp://db.internal:5432", "tcp://*.example.org:80-90", "udp://ns:53"]);
    let cases = [
        ("db.internal", 5432, true),
        ("db.internal", 5433, false),
        ("x.db.internal", 5432, false),
        ("a.example.org", 85, true),
        ("example.org", 85, false),
        ("badexample.org", 85, false),
        ("ns", 53, false),
    ];
    for (name, port, allowed) in cases {
        assert_eq!(all.allows_name(Protocol::Tcp, name, port), allowed, "{name}:{port}");
    }
    assert!(all.allows_name(Protocol::Udp, "ns", 53));
    assert!(!all.host_numbers());
    assert!(grants(&["host"]).host_numbers());
}

#[test]
fn an_endpoint_is_granted_for_both_protocols_and_for_its_port_alone() {
    let mut all = Grants::default();
    all.add(NetGrant::endpoint(&Host::Name("ns".into()), 53));
    all.add(NetGrant::endpoint(&Host::Address(Ipv4Addr::LOCALHOST.into()), 53));
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert!(all.allows_name(protocol, "ns", 53) && !all.allows_name(protocol, "ns", 54));
        assert!(all.allows_address(protocol, Ipv4Addr::LOCALHOST.into(), 53));
        assert!(!all.allows_address(protocol, Ipv4Addr::LOCALHOST.into(), 54));
    }
}

#[test]
fn addresses() {
    let all = grants(&["tcp://10.0.0.0/8:1-65535", "tcp://[fd00::/8]:1", "tcp://127.0.0.1:80", "tcp://0.0.0.0/0:7"]);
    let cases = [
        ("10.1.2.3", 80, true),
        ("11.1.2.3", 80, false),
        ("::ffff:10.1.2.3", 80, true),
        ("fd00::1", 1, true),
        ("127.0.0.1", 80, true),
        ("::ffff:127.0.0.1", 80, true),
        ("127.0.0.2", 80, false),
        ("8.8.8.8", 7, true),
        ("127.0.0.1", 7, false),
        ("169.254.169.254", 7, false),
        ("255.255.255.255", 7, false),
        ("224.0.0.1", 7, false),
        ("0.0.0.0", 7, false),
        ("64:ff9b::a9fe:a9fe", 7, false),
    ];
    for (address, port, allowed) in cases {
        let ip = address.parse().expect(address);
        assert_eq!(all.allows_address(Protocol::Tcp, ip, port), allowed, "{address}:{port}");
    }
    assert!(grants(&["tcp://169.254.169.254:80"]).allows_address(
        Protocol::Tcp,
        "169.254.169.254".parse().expect("address"),
        80
    ));
}

proptest! {
    #[test]
    fn no_text_panics_and_no_grants_allow_nothing(text in ".{0,40}", address: [u8; 16], port: u16) {
        let _ = text.parse::<Grant>();
        let ip = IpAddr::from(address);
        prop_assert!(!Grants::default().allows_address(Protocol::Tcp, ip, port));
        prop_assert!(!Grants::default().allows_name(Protocol::Tcp, &text, port));
    }

    #[test]
    fn a_network_grant_never_reaches_special_addresses(last: [u8; 2], port in 1u16..) {
        let wide = grants(&["tcp://0.0.0.0/0:1-65535", "tcp://[::/0]:1-65535"]);
        for ip in [Ipv4Addr::new(127, 0, last[0], last[1]), Ipv4Addr::new(169, 254, last[0], last[1])] {
            prop_assert!(!wide.allows_address(Protocol::Tcp, IpAddr::V4(ip), port));
            prop_assert!(!wide.allows_address(Protocol::Tcp, IpAddr::V6(ip.to_ipv6_mapped()), port));
        }
    }

    #[test]
    fn a_network_grant_allows_nothing_beyond_its_text(
        net: [u8; 4], length in 0u32..=32, first in 1u16..65_000, more in 0u16..500,
        // An address that often lies in the network, a port that often lies in the range.
        noise: u32, shift in 0u32..32, port_noise in 0u16..1000, udp: bool,
    ) {
        let (own, last) = (u32::from_be_bytes(net), first + more);
        let grants = grants(&[&format!("tcp://{}/{length}:{first}-{last}", Ipv4Addr::from(own))]);
        let address = own ^ (noise >> shift);
        let port = first.saturating_add(port_noise).saturating_sub(300);
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        let inside = length == 0 || (own ^ address) >> (32 - length) == 0;
        let ip = Ipv4Addr::from(address);
        for wrapped in [IpAddr::V4(ip), IpAddr::V6(ip.to_ipv6_mapped())] {
            let allowed = grants.allows_address(protocol, wrapped, port);
            prop_assert!(!allowed || (inside && !udp && (first..=last).contains(&port)), "{wrapped}:{port}");
            prop_assert!(!allowed || length == 32 || address_of_name_passes(wrapped, false), "{wrapped}:{port}");
        }
    }

    #[test]
    fn a_name_grant_allows_nothing_beyond_its_text(
        own in "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}", other in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}",
        below: bool, port in 1u16..4, address: [u8; 4],
    ) {
        let star = if below { "*." } else { "" };
        let grants = grants(&[&format!("tcp://{star}{own}:2")]);
        let covered = if below { other.ends_with(&format!(".{own}")) } else { other == own };
        prop_assert_eq!(grants.allows_name(Protocol::Tcp, &other, port), covered && port == 2);
        prop_assert_eq!(grants.allows_lookup(&other), covered);
        prop_assert!(!grants.allows_name(Protocol::Udp, &other, port));
        prop_assert!(!grants.allows_address(Protocol::Tcp, IpAddr::from(address), 2));
        prop_assert!(!grants.host_numbers());
    }
}
