//! A report as it is kept and sent: JSON in gzip (RFC 1952), whose checksum tells a torn or corrupt file apart.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::document::{Detail, Known, Number};

/// The most that a report has as JSON: what a receiver must take, and far more than ten thousand checks need.
pub const LARGEST: usize = 8 << 20;

/// Why a report cannot be kept or sent.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("it has {0} bytes, of {LARGEST} at most")]
    TooLarge(usize),
    #[error("it cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("gzip: {0}")]
    Io(#[from] std::io::Error),
    #[error("its file holds report {found}, not {wanted}")]
    Another { found: u64, wanted: u64 },
}

/// A report with its number, packed.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub number: Number,
    pub packed: Arc<[u8]>,
}

/// Takes a number for what is known, and packs it. What would be too large says less.
pub fn seal(known: &Known, number: Number) -> Result<Sealed, SealError> {
    let json = written(known, &number)?;
    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 8), Compression::default());
    encoder.write_all(&json)?;
    Ok(Sealed { number, packed: encoder.finish()?.into() })
}

fn written(known: &Known, number: &Number) -> Result<Vec<u8>, SealError> {
    let mut length = 0;
    for detail in [Detail::All, Detail::NoMessages, Detail::NoLists] {
        let json = serde_json::to_vec(&known.document(number, detail))?;
        if json.len() <= LARGEST {
            return Ok(json);
        }
        length = json.len();
    }
    Err(SealError::TooLarge(length))
}

/// The JSON of a packed report; an error where it is torn or corrupt.
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut json = Vec::new();
    let cap = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    GzDecoder::new(packed).take(cap.saturating_add(1)).read_to_end(&mut json)?;
    if json.len() > LARGEST { Err(SealError::TooLarge(json.len())) } else { Ok(json) }
}

/// Holds a file's content against its name; returns the JSON.
pub fn verify(packed: &[u8], sequence: u64) -> Result<Vec<u8>, SealError> {
    #[derive(serde::Deserialize)]
    struct Header {
        sequence: u64,
    }
    let json = unpack(packed)?;
    let Header { sequence: found } = serde_json::from_slice(&json)?;
    if found == sequence { Ok(json) } else { Err(SealError::Another { found, wanted: sequence }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::snapshot::{Aggregate, HealthSnapshot, ServiceView};
    use crate::model::testing::{at, name, service as service_named};
    use crate::report::host::Window;
    use crate::report::trigger::Reason;

    use super::*;

    fn known() -> Known {
        Known {
            agent: name("host-1"),
            boot_id: None,
            reason: Reason::Start,
            now: at(1),
            snapshot: Arc::new(HealthSnapshot::default()),
            registry: None,
            window: Window::default(),
        }
    }

    fn sealed(sequence: u64) -> Sealed {
        seal(&known(), Number { stream: "s".into(), sequence }).expect("it is small")
    }

    #[test]
    fn what_is_packed_is_had_again() {
        let sealed = sealed(7);
        let json: serde_json::Value = serde_json::from_slice(&unpack(&sealed.packed).expect("whole")).expect("JSON");
        assert_eq!((&json["sequence"], &json["agent"]), (&7.into(), &"host-1".into()));
        assert!(verify(&sealed.packed, 7).is_ok());
        assert!(matches!(verify(&sealed.packed, 8), Err(SealError::Another { found: 7, wanted: 8 })));
    }

    #[test]
    fn what_would_be_too_large_says_less() {
        let mut snapshot = HealthSnapshot::default();
        let names: Vec<_> = (0..100_000).map(|number| name(&format!("a-check-with-a-long-name-{number}"))).collect();
        let view = |service: &str| ServiceView {
            definition: Arc::new(service_named(service)),
            aggregate: Aggregate::Up,
            since: at(1),
            registrable: true,
            decided: true,
            checks: names.clone(),
            maintenance: None,
        };
        snapshot.services = ["a", "b", "c"].map(|service| (name(service), view(service))).into();
        let known = Known { snapshot: Arc::new(snapshot), ..known() };
        let sealed = seal(&known, Number { stream: "s".into(), sequence: 1 }).expect("it fits");
        let json: serde_json::Value = serde_json::from_slice(&unpack(&sealed.packed).expect("whole")).expect("JSON");
        assert_eq!((&json["truncated"], &json["services"][2]["checks"]), (&true.into(), &serde_json::json!([])));
        assert_eq!(json["services"][2]["status"], "UP");
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; LARGEST * 4]).expect("memory");
        assert!(matches!(unpack(&encoder.finish().expect("memory")), Err(SealError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn a_torn_or_corrupt_file_is_noticed(cut in 0.0..1.0_f64, bit in 0_usize..8) {
            let whole = sealed(7).packed;
            let at = (cut * whole.len() as f64) as usize;
            prop_assert!(verify(&whole[..at], 7).is_err());
            // The head of ten bytes says nothing of the content, nor do the bits that fill up the last byte of it.
            let mut flipped = whole.to_vec();
            flipped[at] ^= 1 << bit;
            let (before, after) = (unpack(&whole), verify(&flipped, 7));
            prop_assert!(at < 10 || after.is_err() || after.ok() == before.ok());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(verify(&bytes, 1).is_err());
        }
    }
}
