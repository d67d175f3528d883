use proptest::prelude::*;

use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

fn link(name: &str, stats: &[u64]) -> Vec<u8> {
    let mut body = vec![0; IFINFOMSG];
    // What comes before: the address, and one whose type has a flag.
    body.extend(attribute(1, &[2, 0xfc, 0, 0, 0, 1]));
    body.extend(attribute(18 | 0x8000, &attribute(1, b"veth\0")));
    body.extend(attribute(IFLA_IFNAME, format!("{name}\0").as_bytes()));
    body.extend(attribute(IFLA_STATS64, &stats.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>()));
    message(RTM_NEWLINK, 2, &body)
}

/// Powers of two, so that each sum says what it is of.
fn stats(length: usize) -> Vec<u64> {
    (0..length).map(|index| 1 << index).collect()
}

#[test]
fn counters_are_summed_as_the_kernel_does_for_its_file() {
    let mut datagram = link("eth0", &stats(25));
    datagram.extend(link("old0", &stats(23)));
    datagram.extend(message(NLMSG_DONE, 2, &[0; 4]));
    let mut listing = Listing::default();
    assert!(take_datagram(&datagram, &mut listing).unwrap());
    assert!(!listing.interrupted);
    let bits = |bits: &[u32]| bits.iter().map(|bit| 1_u64 << bit).sum::<u64>();
    let mut wanted = vec![
        bits(&[2]),
        bits(&[0]),
        bits(&[4]),
        bits(&[6, 15]),
        bits(&[14]),
        bits(&[10, 11, 12, 13]),
        bits(&[21]),
        bits(&[8]),
        bits(&[3]),
        bits(&[1]),
        bits(&[5]),
        bits(&[7]),
        bits(&[18]),
        bits(&[9]),
        bits(&[16, 17, 19, 20]),
        bits(&[22]),
        bits(&[23]),
    ];
    assert_eq!(listing.devices.first(), Some(&Device { name: "eth0".to_owned(), values: wanted.clone() }));
    wanted.pop();
    assert_eq!(listing.devices.get(1), Some(&Device { name: "old0".to_owned(), values: wanted }));
}

#[test]
fn an_answer_that_cannot_be_read_costs_its_device() {
    let mut datagram = link("short", &stats(9));
    datagram.extend(message(RTM_NEWLINK, 0, &[0; IFINFOMSG]));
    datagram.extend(link("lo", &stats(24)));
    let mut listing = Listing::default();
    assert!(!take_datagram(&datagram, &mut listing).unwrap(), "there is more to come");
    assert_eq!(listing.devices.iter().map(|device| &*device.name).collect::<Vec<_>>(), ["lo"]);
}

#[test]
fn a_refusal_and_an_interruption_are_told() {
    let refusal = message(NLMSG_ERROR, 0, &(-1_i32).to_ne_bytes());
    let error = take_datagram(&refusal, &mut Listing::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    let broken_off = message(NLMSG_DONE, 2, &(-105_i32).to_ne_bytes());
    assert_eq!(take_datagram(&broken_off, &mut Listing::default()).unwrap_err().raw_os_error(), Some(105));
    let mut listing = Listing::default();
    assert!(take_datagram(&message(NLMSG_DONE, NLM_F_DUMP_INTR, &[]), &mut listing).unwrap());
    assert!(listing.interrupted);
}

#[test]
fn the_kernel_lists_its_devices() {
    let names: Vec<String> = list().unwrap().into_iter().map(|device| device.name).collect();
    assert!(names.iter().any(|name| name == "lo"), "{names:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = take_datagram(&bytes, &mut Listing::default());
        let _ = device(&bytes);
    }

    #[test]
    fn a_datagram_cut_anywhere_is_survived(cut in 0_usize..400, at in 0_usize..400, byte in any::<u8>()) {
        let mut datagram = link("eth0", &stats(24));
        if let Some(place) = datagram.get_mut(at) {
            *place = byte;
        }
        datagram.truncate(cut);
        let _ = take_datagram(&datagram, &mut Listing::default());
    }
}
