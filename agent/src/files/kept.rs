//! A file of the state directory that a later start reads: of a version that we know, ours, and whole. What cannot be
//! used is set aside, so that nothing is lost, and the agent starts without it.
//!
//! The form: a line of JSON, `{"version":1,"length":512,"crc32":3632233996}`, which says what follows; then that many
//! bytes of JSON, with that checksum (CRC-32 as zlib has it). It finds what a disk or a crash did, not an attacker:
//! whoever may write there may write the checksum too.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FileError, check_owner, read_capped, write_atomic};

/// A file in the place of a directory, or a directory in that of a file: nobody has more.
const ASIDE: u32 = 4;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("it is damaged: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("it is damaged: {found} of {expected} bytes are there")]
    CutOff { found: usize, expected: usize },
    #[error("it is damaged: its checksum is wrong")]
    Altered,
    #[error("it has version {found}; this agent knows {known}")]
    Version { found: u32, known: u32 },
}

impl Unusable {
    /// Is the file simply not there?
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(error) if error.is_missing())
    }
}

/// Of another version only this can be read.
#[derive(serde::Deserialize)]
struct AnyHeader {
    version: u32,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    version: u32,
    length: usize,
    crc32: u32,
}

/// What the file holds; none where there is none, or none of use, which is then set aside. `without` says what that
/// means.
pub fn read<T: DeserializeOwned>(path: &Path, version: u32, limit: u64, without: &str) -> Option<T> {
    match load(path, version, limit) {
        Ok(content) => Some(content),
        Err(error) if error.is_missing() => None,
        Err(error) => {
            // Not within the macro: it does nothing where nobody logs.
            let aside = set_aside(path);
            tracing::warn!("{without}: {} is not used: {error}{aside}", path.display());
            None
        }
    }
}

/// Renames it, so that it is not written over; what is to be said of that. What was set aside before gives way, unless
/// it is something that cannot be replaced: then there is a second one.
fn set_aside(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut renamed = Err(std::io::Error::other("there are too many"));
    for number in 1..=ASIDE {
        let suffix = if number == 1 { String::new() } else { format!(".{number}") };
        let aside = path.with_file_name(format!("{name}.unusable{suffix}"));
        renamed = std::fs::rename(path, &aside).map(|()| aside);
        if renamed.is_ok() {
            break;
        }
    }
    match renamed {
        Ok(aside) => format!("; it was set aside as {}", aside.display()),
        Err(error) => format!("; it cannot be set aside: {error}"),
    }
}

/// What the file holds, or why it is of no use.
pub fn load<T: DeserializeOwned>(path: &Path, version: u32, limit: u64) -> Result<T, Unusable> {
    check_owner(path)?;
    let bytes = read_capped(path, limit)?;
    let (first, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => bytes.split_at(end),
        None => (&*bytes, &[][..]),
    };
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let AnyHeader { version: found } = serde_json::from_slice(first)?;
    if found != version {
        return Err(Unusable::Version { found, known: version });
    }
    let header: Header = serde_json::from_slice(first)?;
    if body.len() != header.length {
        return Err(Unusable::CutOff { found: body.len(), expected: header.length });
    }
    if crc32fast::hash(body) != header.crc32 {
        return Err(Unusable::Altered);
    }
    Ok(serde_json::from_slice(body)?)
}

/// Replaces the file: after a crash it holds the old content or the new one.
pub fn write<T: Serialize + ?Sized>(path: &Path, version: u32, content: &T) -> Result<(), Unusable> {
    let body = serde_json::to_vec(content)?;
    let header = Header { version, length: body.len(), crc32: crc32fast::hash(&body) };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    Ok(write_atomic(path, &bytes)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn written(content: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("words.json");
        write(&path, 3, content).expect("written");
        (dir, path)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_dir, path) = written(&["a", "b\nc"]);
        assert_eq!(load::<Vec<String>>(&path, 3, LIMIT).expect("whole"), ["a", "b\nc"]);
    }

    #[test]
    fn what_is_not_there_is_no_complaint() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert!(load::<Vec<String>>(&dir.path().join("none.json"), 3, LIMIT).expect_err("missing").is_missing());
        assert_eq!(read::<Vec<String>>(&dir.path().join("none.json"), 3, LIMIT, "words are lost"), None);
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn another_version_is_set_aside_whatever_else_is_in_it() {
        let (dir, path) = written(&["a"]);
        std::fs::write(&path, b"{\"version\":4,\"sealed\":true}\n\xff\xfe").expect("write");
        let error = load::<Vec<String>>(&path, 3, LIMIT).expect_err("newer");
        assert!(matches!(error, Unusable::Version { found: 4, known: 3 }), "{error}");
        assert_eq!(read::<Vec<String>>(&path, 3, LIMIT, "words are lost"), None);
        assert!(!path.exists() && dir.path().join("words.json.unusable").exists());
    }

    #[test]
    fn a_directory_in_its_place_is_set_aside_as_often_as_it_is_made() {
        let (dir, path) = written(&["a"]);
        std::fs::rename(&path, dir.path().join("words.json.unusable")).expect("an earlier one");
        for _ in 0..2 {
            std::fs::create_dir(&path).expect("mkdir");
            std::fs::write(path.join("inside"), "x").expect("write");
            assert_eq!(read::<Vec<String>>(&path, 3, LIMIT, "words are lost"), None);
            write(&path, 3, &["b"]).expect("there is room for a file now");
            std::fs::remove_file(&path).expect("remove");
        }
        assert!(dir.path().join("words.json.unusable.3/inside").exists(), "both are kept");
    }

    proptest! {
        #[test]
        fn what_was_cut_off_or_altered_is_never_used(at in any::<prop::sample::Index>(), bit in 0..8_u32, cut: bool) {
            let (_dir, path) = written(&["some", "words", "to", "keep"]);
            let mut bytes = std::fs::read(&path).expect("read");
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            std::fs::write(&path, &bytes).expect("write");
            // A letter of the header's words may be another one and mean the same, as in no case the content may.
            if let Ok(content) = load::<Vec<String>>(&path, 3, LIMIT) {
                prop_assert_eq!(content, ["some", "words", "to", "keep"]);
            }
        }
    }
}
