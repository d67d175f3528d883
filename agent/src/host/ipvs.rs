//! `ipvs`: what the kernel's load balancer carried, from `/proc/net/ip_vs_stats`, and the state of its backends, from
//! `/proc/net/ip_vs` (`ip_vs_stats_show` and `ip_vs_info_seq_show` in net/netfilter/ipvs/ip_vs_ctl.c).
//!
//! A host without IPVS lacks the files. Rates are left out, as is the scheduler. An odd line costs itself, and that of
//! a virtual service its backends, for nothing says any more whose they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::collector::{CollectError, Collector, Families, Oddities, Roots, Settings, float, read};
use crate::model::host::HostKind;

const TOTALS: [(&str, &str); 5] = [
    ("node_ipvs_connections_total", "Connections that came in."),
    ("node_ipvs_incoming_packets_total", "Packets that came in."),
    ("node_ipvs_outgoing_packets_total", "Packets that went out."),
    ("node_ipvs_incoming_bytes_total", "Bytes that came in."),
    ("node_ipvs_outgoing_bytes_total", "Bytes that went out."),
];

const STATES: [(&str, &str); 3] = [
    ("node_ipvs_backend_weight", "Weight of the backend."),
    ("node_ipvs_backend_connections_active", "Open connections of the backend."),
    ("node_ipvs_backend_connections_inactive", "Connections of the backend that are not open, or no longer."),
];

/// A virtual service: by address and port, or by the mark that the firewall put on its packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Service<'a> {
    proto: &'a str,
    mark: &'a str,
    address: Option<IpAddr>,
    port: u16,
}

type Backends<'a> = BTreeMap<(Service<'a>, IpAddr, u16), [u64; STATES.len()]>;

pub struct Ipvs {
    roots: Roots,
}

impl Ipvs {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Ipvs {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc("net/ip_vs_stats");
        let text = read(&path).map_err(CollectError::or_absent)?;
        let totals = parse_totals(&text);
        for ((family, help), value) in TOTALS.into_iter().zip(totals.into_iter().flatten()) {
            out.counter(family, help, float(value));
        }
        let outcome = totals.map(|_| ()).ok_or_else(|| CollectError::odd(path, "the third line is not five numbers"));
        let path = self.roots.proc("net/ip_vs");
        let text = read(&path)?;
        let mut odd = Oddities::default();
        show_backends(&parse_backends(&text, &mut odd), out);
        outcome.and(odd.finish(&path))
    }
}

fn show_backends(backends: &Backends<'_>, out: &mut Families) {
    for ((service, address, port), values) in backends {
        let labels = [
            ("local_address", &*service.address.map(|address| address.to_string()).unwrap_or_default()),
            ("local_port", &*service.port.to_string()),
            ("remote_address", &*address.to_string()),
            ("remote_port", &*port.to_string()),
            ("proto", service.proto),
            ("local_mark", service.mark),
        ];
        for ((family, help), value) in STATES.into_iter().zip(values) {
            out.family(HostKind::Gauge, family, help).add(&labels, float(*value));
        }
    }
}

/// Two lines of headings, the totals in hexadecimal, and what is not shown.
fn parse_totals(text: &str) -> Option<[u64; TOTALS.len()]> {
    let mut words = text.lines().nth(2)?.split_ascii_whitespace();
    let mut next = || u64::from_str_radix(words.next()?, 16).ok();
    Some([next()?, next()?, next()?, next()?, next()?])
}

/// ```text
/// TCP  C0A80016:0CEA wlc
///   -> C0A85216:0CEA      Tunnel  100    248        2
/// FWM  10001000 wlc
/// ```
fn parse_backends<'a>(text: &'a str, odd: &mut Oddities) -> Backends<'a> {
    let mut backends = Backends::new();
    let mut service: Option<Service<'a>> = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match *words {
            [] | ["IP" | "Prot", ..] | ["->", "RemoteAddress:Port", ..] => {}
            ["->", remote, _, weight, active, inactive, ..] => {
                let Some(owner) = &service else { continue };
                let Some((backend, values)) = parse_backend(remote, [weight, active, inactive]) else {
                    odd.line(line);
                    continue;
                };
                let sums = backends.entry((owner.clone(), backend.0, backend.1)).or_default();
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
            }
            ["FWM", mark, ..] => service = Some(Service { proto: "FWM", mark, ..Service::default() }),
            [proto, local, ..] if proto != "->" => {
                service = parse_endpoint(local).map(|(address, port)| Service {
                    proto,
                    mark: "",
                    address: Some(address),
                    port,
                });
                if service.is_none() {
                    odd.line(line);
                }
            }
            _ => odd.line(line),
        }
    }
    backends
}

fn parse_backend(remote: &str, values: [&str; STATES.len()]) -> Option<((IpAddr, u16), [u64; STATES.len()])> {
    let [weight, active, inactive] = values.map(|value| value.parse().ok());
    Some((parse_endpoint(remote)?, [weight?, active?, inactive?]))
}

/// `C0A80016:0CEA`, or `[2620:0000:..:0001]:0050`.
fn parse_endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_canonical(),
        None if address.len() == 8 => Ipv4Addr::from_bits(u32::from_str_radix(address, 16).ok()?).into(),
        None => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
#[path = "ipvs_tests.rs"]
mod tests;
