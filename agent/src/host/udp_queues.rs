//! `udp_queues`: the bytes that wait in the queues of all UDP sockets together, from `/proc/net/udp` and
//! `/proc/net/udp6` (Documentation/networking/proc_net_tcp.rst has the columns).
//!
//! A host without IPv4 or IPv6 lacks the file. An odd line costs its socket.

use super::collector::{CollectError, Collector, Families, Oddities, Roots, Settings, float, read};
use crate::model::host::HostKind;

pub struct UdpQueues {
    roots: Roots,
}

#[derive(Debug, Default, PartialEq)]
struct Queues {
    tx: u64,
    rx: u64,
}

impl UdpQueues {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }

    fn show(&self, file: &str, ip: &str, out: &mut Families) -> Result<(), CollectError> {
        let path = self.roots.proc(file);
        let text = read(&path).map_err(CollectError::or_absent)?;
        let mut odd = Oddities::default();
        let queues = parse(&text, &mut odd);
        let family =
            out.family(HostKind::Gauge, "node_udp_queues", "Bytes of kernel memory that UDP datagrams wait in.");
        family.add(&[("queue", "tx"), ("ip", ip)], float(queues.tx));
        family.add(&[("queue", "rx"), ("ip", ip)], float(queues.rx));
        odd.finish(&path)
    }
}

impl Collector for UdpQueues {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let ipv4 = self.show("net/udp", "v4", out);
        let ipv6 = self.show("net/udp6", "v6", out);
        match (ipv4, ipv6) {
            (Err(CollectError::Absent(_)), other) | (other, Err(CollectError::Absent(_))) => other,
            (ipv4, ipv6) => ipv4.and(ipv6),
        }
    }
}

/// A line of headings, then a socket a line.
fn parse(text: &str, odd: &mut Oddities) -> Queues {
    let mut sum = Queues::default();
    for line in text.lines().skip(1) {
        match parse_line(line) {
            Some(queues) => {
                sum.tx = sum.tx.saturating_add(queues.tx);
                sum.rx = sum.rx.saturating_add(queues.rx);
            }
            None => odd.line(line),
        }
    }
    sum
}

/// The fifth column is `tx_queue:rx_queue`, both hexadecimal.
fn parse_line(line: &str) -> Option<Queues> {
    let (tx, rx) = line.split_ascii_whitespace().nth(4)?.split_once(':')?;
    Some(Queues { tx: u64::from_str_radix(tx, 16).ok()?, rx: u64::from_str_radix(rx, 16).ok()? })
}

#[cfg(test)]
#[path = "udp_queues_tests.rs"]
mod tests;
