//! What kind of address an address is: ordinary, the host itself, or one that no name may lead to. Pure rules, whatever
//! an address is wrapped in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// May an address be connected to that a granted *name* resolved to? `local_name` is true for `localhost` and for
/// names from the hosts file, which the operator controls.
pub fn address_of_name_passes(address: IpAddr, local_name: bool) -> bool {
    match class_of(address) {
        Class::Ordinary => true,
        Class::Loopback => local_name,
        Class::Special => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Ordinary,
    Loopback,
    /// Unspecified, multicast, broadcast, link-local or a cloud's metadata service.
    Special,
}

/// Metadata services of the large clouds that lie outside of link-local: AWS over IPv6, Google over IPv6, Alibaba,
/// Azure's wire server, Oracle. From their public documentation.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// What kind of address it is, whatever it is wrapped in.
pub fn class_of(address: IpAddr) -> Class {
    match unwrap(address) {
        IpAddr::V4(a) if a.is_loopback() => Class::Loopback,
        IpAddr::V6(a) if a.is_loopback() => Class::Loopback,
        IpAddr::V4(a) if special_v4(a) => Class::Special,
        IpAddr::V6(a) if special_v6(a) => Class::Special,
        _ => Class::Ordinary,
    }
}

fn special_v4(a: Ipv4Addr) -> bool {
    // All of 0.0.0.0/8 means "this host" somewhere; Linux connects 0.0.0.0 to loopback.
    a.octets()[0] == 0 || a.is_multicast() || a.is_broadcast() || a.is_link_local() || METADATA_V4.contains(&a)
}

fn special_v6(a: Ipv6Addr) -> bool {
    a.is_unspecified() || a.is_multicast() || a.is_unicast_link_local() || METADATA_V6.contains(&a)
}

/// The IPv4 address that an IPv6 one only wraps: v4-mapped and v4-compatible (RFC 4291), NAT64 with 96 bits of prefix
/// (RFC 6052, and RFC 8215 for local use), IPv4-translated (RFC 2765) and 6to4 (RFC 3056). Others come back as they are.
pub fn unwrap(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] => v4(g, h),
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => v4(g, h),
        [0x64, 0xff9b, 0, 0, 0, 0] | [0x64, 0xff9b, 1, ..] => v4(g, h),
        [0, 0, 0, 0, 0xffff, 0] => v4(g, h),
        [0x2002, ..] => v4(b, c),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_that_names_give() {
        let cases = [
            ("93.184.216.34", true, true),
            ("10.0.0.9", true, true),
            ("127.0.0.2", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("::127.0.0.1", false, true),
            ("2002:7f00:1::", false, true),
            ("64:ff9b::7f00:1", false, true),
            ("64:ff9b:1::7f00:1", false, true),
            ("::ffff:0:7f00:1", false, true),
            ("64:ff9b:1::a9fe:a9fe", false, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("ff02::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("100.100.100.200", false, false),
            ("fd00:ec2::254", false, false),
        ];
        for (address, plain, local) in cases {
            let ip = address.parse().expect(address);
            assert_eq!(address_of_name_passes(ip, false), plain, "{address}");
            assert_eq!(address_of_name_passes(ip, true), local, "{address} as a local name");
        }
    }

    proptest! {
        #[test]
        fn wrapping_an_address_never_changes_what_a_name_may_reach(address: [u8; 4], local: bool) {
            let plain = Ipv4Addr::from(address);
            let mapped = IpAddr::V6(plain.to_ipv6_mapped());
            prop_assert_eq!(
                address_of_name_passes(mapped, local),
                address_of_name_passes(IpAddr::V4(plain), local)
            );
        }
    }
}
