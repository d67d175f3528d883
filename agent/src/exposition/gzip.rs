//! gzip (RFC 1952) in parts: what seldom changes is deflated once, what changes is deflated for each answer, and both
//! are one member, so that every client can read it.
//!
//! It works because a deflated stretch may end on a byte border without being the last one (RFC 1951, 3.2.4), and
//! because the checksum of a whole follows from those of its parts.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::quality;

/// Magic, deflate, no flags, no time, fastest, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A deflated stretch, and what the trailer has to know of it.
#[derive(Debug, Clone)]
pub struct Deflated {
    bytes: Bytes,
    checksum: crc32fast::Hasher,
    length: u64,
}

thread_local! {
    // Its tables are a quarter of a megabyte: too much to allocate for every answer.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

impl Deflated {
    /// A stretch that others follow.
    pub fn part(text: &[u8]) -> Self {
        Self::new(text, FlushCompress::Sync)
    }

    /// The last stretch.
    pub fn last(text: &[u8]) -> Self {
        Self::new(text, FlushCompress::Finish)
    }

    fn new(text: &[u8], flush: FlushCompress) -> Self {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(text);
        let bytes = COMPRESSOR.with_borrow_mut(|compressor| deflate(compressor, text, flush));
        Self { bytes: bytes.into(), checksum, length: text.len() as u64 }
    }
}

fn deflate(compressor: &mut Compress, text: &[u8], flush: FlushCompress) -> Vec<u8> {
    compressor.reset();
    let mut out = Vec::with_capacity(text.len() / 4 + 64);
    loop {
        let done = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
        let status = compressor.compress_vec(text.get(done..).unwrap_or_default(), &mut out, flush);
        let taken = compressor.total_in() >= text.len() as u64;
        match status {
            // Room was left, so everything is out.
            Ok(Status::Ok | Status::BufError) if taken && out.len() < out.capacity() => return out,
            Ok(Status::StreamEnd) | Err(_) => return out,
            Ok(_) => out.reserve(out.capacity().max(64)),
        }
    }
}

/// One gzip member of these stretches: what comes before them, and what after.
pub fn frame(parts: &[&Deflated]) -> (Bytes, Bytes) {
    let mut checksum = crc32fast::Hasher::new();
    let mut length = 0_u64;
    for part in parts {
        checksum.combine(&part.checksum);
        length = length.wrapping_add(part.length);
    }
    let mut trailer = Vec::with_capacity(8);
    trailer.extend(checksum.finalize().to_le_bytes());
    // Modulo 2^32, as the format wants it.
    trailer.extend(length.to_le_bytes().into_iter().take(4));
    (Bytes::from_static(&HEADER), trailer.into())
}

/// One gzip member, as the pieces of a body.
pub fn member(parts: &[&Deflated]) -> Vec<Bytes> {
    let (header, trailer) = frame(parts);
    let mut pieces = vec![header];
    pieces.extend(parts.iter().map(|part| part.bytes.clone()));
    pieces.push(trailer);
    pieces
}

/// Does this `Accept-Encoding` let us gzip?
pub fn accepted(accept_encoding: &str) -> bool {
    let find = |wanted: &str| accept_encoding.split(',').find_map(|item| quality(item.trim(), wanted));
    // RFC 9110, 12.5.3: a star stands for what is not named.
    find("gzip").or_else(|| find("*")).is_some_and(|quality| quality > 0.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn joined(texts: &[Vec<u8>]) -> Vec<u8> {
        let count = texts.len();
        let parts: Vec<Deflated> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| if index + 1 == count { Deflated::last(text) } else { Deflated::part(text) })
            .collect();
        member(&parts.iter().collect::<Vec<_>>()).concat()
    }

    fn unzipped(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // One member, and nothing behind it: not every client reads more.
        let mut reader = flate2::bufread::GzDecoder::new(bytes);
        reader.read_to_end(&mut out).expect("gzip");
        assert!(reader.into_inner().is_empty(), "something follows the member");
        out
    }

    #[test]
    fn large_parts() {
        let line = |number: u32| format!("node_cpu_seconds_total{{cpu=\"{number}\",mode=\"idle\"}} {number}\n");
        let text: Vec<u8> = (0..20_000).flat_map(|number| line(number).into_bytes()).collect();
        let texts = [text.clone(), text];
        let zipped = joined(&texts);
        assert_eq!(unzipped(&zipped), texts.concat());
        assert!(zipped.len() < texts.concat().len() / 2, "{}", zipped.len());
    }

    proptest! {
        #[test]
        fn parts_are_one_member(texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..4)) {
            prop_assert_eq!(unzipped(&joined(&texts)), texts.concat());
        }
    }

    #[test]
    fn who_wants_gzip() {
        for yes in ["gzip", "deflate, GZIP;q=0.5", "*", "gzip;q=1.0, *;q=0"] {
            assert!(accepted(yes), "{yes}");
        }
        for no in ["", "identity", "gzip;q=0", "gzip;q=0.0, *", "br, *;q=0"] {
            assert!(!accepted(no), "{no}");
        }
    }
}
