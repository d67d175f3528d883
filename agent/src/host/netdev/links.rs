//! The network devices and their counters, over rtnetlink (rtnetlink(7), include/uapi/linux/if_link.h): one question,
//! and answers until the kernel says that it is done. An answer that cannot be read costs its device, a listing that
//! the kernel breaks off costs all.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::{Device, FIELDS};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
/// Flags in an attribute's type: nested, and in network byte order.
const TYPE_FLAGS: u16 = 0xc000;

/// Of a message: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// Of a link: family, type, index, flags, change mask.
const IFINFOMSG: usize = 16;
/// The kernel never puts more into one datagram of a listing.
const DATAGRAM: usize = 32 << 10;
/// The kernel answers while it is asked; a longer wait means that something is broken.
const PATIENCE: Duration = Duration::from_secs(1);
/// A listing during which devices came or went is taken again, so many times.
const ATTEMPTS: usize = 3;
/// More datagrams than any host has devices.
const MAX_DATAGRAMS: usize = 1 << 16;

/// The devices of this process's network namespace.
pub fn list() -> io::Result<Vec<Device>> {
    let mut listing = Listing::default();
    for _ in 0..ATTEMPTS {
        listing = ask()?;
        if !listing.interrupted {
            break;
        }
    }
    Ok(listing.devices)
}

fn ask() -> io::Result<Listing> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, &question(), SendFlags::empty())?;
    answers(&socket)
}

fn answers(socket: &OwnedFd) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut buffer = vec![0; DATAGRAM];
    for _ in 0..MAX_DATAGRAMS {
        let (_, length) = recv(socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        let datagram =
            buffer.get(..length).ok_or_else(|| io::Error::other("the answer is longer than a datagram may be"))?;
        if take_datagram(datagram, &mut listing)? {
            return Ok(listing);
        }
    }
    Err(io::Error::other("the listing of network devices has no end"))
}

fn question() -> [u8; HEADER + IFINFOMSG] {
    let mut message = [0; HEADER + IFINFOMSG];
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    let length = u32::try_from(message.len()).unwrap_or_default();
    let parts = length.to_ne_bytes().into_iter().chain(RTM_GETLINK.to_ne_bytes()).chain(flags.to_ne_bytes());
    message.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    message
}

#[derive(Debug, Default)]
struct Listing {
    devices: Vec<Device>,
    /// Devices came or went meanwhile: some may be missing.
    interrupted: bool,
}

/// True: that was the last.
fn take_datagram(mut rest: &[u8], listing: &mut Listing) -> io::Result<bool> {
    while let Some((message, after)) = next_message(rest) {
        rest = after;
        listing.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
        match message.kind {
            RTM_NEWLINK => listing.devices.extend(device(message.body)),
            // The end may tell that it is a bad one.
            NLMSG_DONE => {
                let failed = code(&message).filter(|code| *code < 0);
                return failed.map_or(Ok(true), |code| Err(errno(code)));
            }
            NLMSG_ERROR => return Err(errno(code(&message).unwrap_or_default())),
            _ => {}
        }
    }
    Ok(false)
}

fn code(message: &Message<'_>) -> Option<i32> {
    number(message.body, 0).map(i32::from_ne_bytes)
}

/// The kernel's codes are negative.
fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_neg())
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

fn next_message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(number(bytes, 0)?)).ok()?;
    let kind = u16::from_ne_bytes(number(bytes, 4)?);
    let flags = u16::from_ne_bytes(number(bytes, 6)?);
    let body = bytes.get(HEADER..length)?;
    Some((Message { kind, flags, body }, bytes.get(aligned(length)..).unwrap_or_default()))
}

fn device(body: &[u8]) -> Option<Device> {
    let mut attributes = body.get(IFINFOMSG..)?;
    let (mut name, mut stats) = (None, None);
    while let Some((kind, value, after)) = next_attribute(attributes) {
        attributes = after;
        match kind {
            IFLA_IFNAME => name = value.split(|byte| *byte == 0).next(),
            IFLA_STATS64 => stats = Some(value),
            _ => {}
        }
    }
    let name = std::str::from_utf8(name?).ok()?.to_owned();
    Some(Device { name, values: fields(stats?)? })
}

fn next_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(number(bytes, 0)?));
    let kind = u16::from_ne_bytes(number(bytes, 2)?) & !TYPE_FLAGS;
    Some((kind, bytes.get(4..length)?, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// `struct rtnl_link_stats64` as the columns of `/proc/net/dev`, with the sums that the kernel puts there
/// (`dev_seq_printf_stats` in net/core/net-procfs.c).
fn fields(stats: &[u8]) -> Option<Vec<u64>> {
    let field = |index: usize| number(stats, index * 8).map(u64::from_ne_bytes);
    let sum = |indexes: &[usize]| indexes.iter().try_fold(0_u64, |sum, index| Some(sum.saturating_add(field(*index)?)));
    const MISSED: usize = 15;
    let mut values = Vec::with_capacity(FIELDS.len());
    values.extend([
        field(2)?,
        field(0)?,
        field(4)?,
        sum(&[6, MISSED])?,
        field(14)?,
        sum(&[13, 10, 11, 12])?,
        field(21)?,
    ]);
    values.extend([field(8)?, field(3)?, field(1)?, field(5)?, field(7)?, field(18)?, field(9)?]);
    values.extend([sum(&[17, 16, 20, 19])?, field(22)?]);
    // Not before Linux 4.6.
    values.extend(field(23));
    Some(values)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
