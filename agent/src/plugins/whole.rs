//! Is a file a whole component, as far as its outline tells? One that is still being written is not, and need not be
//! compiled to know that.

/// Magic, version 13, layer 1: a component, as the component model's binary format has it. A core module has layer 0
/// and the same sections.
const MAGIC: &[u8] = b"\0asm";
const HEADER: usize = 8;

/// The outline of a file that is read piece by piece: does it begin as WebAssembly does, and do its sections end where
/// it ends? Says nothing of what is in them.
#[derive(Debug)]
pub struct Outline(Next);

/// What the next byte is.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The header's, at this place.
    Header(usize),
    /// The kind of a section. One follows the header, at least.
    Section { first: bool },
    /// Of the section's length: 7 bits of an unsigned number of 32, the lowest first.
    Length { value: u64, shift: u32 },
    /// Of so many that are the section's own.
    Content(u32),
    /// It cannot be a component.
    Nothing,
}

impl Default for Outline {
    fn default() -> Self {
        Self(Next::Header(0))
    }
}

impl Outline {
    pub fn take(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            self.0 = match self.0 {
                Next::Header(at) => in_header(at, byte),
                Next::Section { .. } => Next::Length { value: 0, shift: 0 },
                Next::Length { value, shift } => in_length(value | u64::from(byte & 0x7f) << shift, shift, byte),
                Next::Content(left) => {
                    // This one, and what more of it the piece has.
                    let more = (left - 1).min(u32::try_from(rest.len()).unwrap_or(u32::MAX));
                    rest = usize::try_from(more).ok().and_then(|more| rest.get(more..)).unwrap_or_default();
                    content(left - 1 - more)
                }
                Next::Nothing => return,
            };
        }
    }

    /// If it ends here.
    pub fn is_whole(&self) -> bool {
        matches!(self.0, Next::Section { first: false })
    }

    /// May it become whole by what follows?
    pub fn is_unfinished(&self) -> bool {
        !self.is_whole() && !matches!(self.0, Next::Nothing)
    }
}

fn in_header(at: usize, byte: u8) -> Next {
    match MAGIC.get(at) {
        Some(expected) if *expected != byte => Next::Nothing,
        _ if at + 1 == HEADER => Next::Section { first: true },
        _ => Next::Header(at + 1),
    }
}

fn in_length(value: u64, shift: u32, byte: u8) -> Next {
    match u32::try_from(value) {
        Ok(length) if byte & 0x80 == 0 => content(length),
        Ok(_) if shift < 28 => Next::Length { value, shift: shift + 7 },
        _ => Next::Nothing,
    }
}

fn content(left: u32) -> Next {
    if left == 0 { Next::Section { first: false } } else { Next::Content(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is cut.
    fn is_whole(bytes: &[u8]) -> bool {
        let by = |size: usize| {
            let mut outline = Outline::default();
            bytes.chunks(size).for_each(|piece| outline.take(piece));
            outline.is_whole()
        };
        let whole = by(1_000);
        assert!([1, 2, 3, 7, 100].into_iter().all(|size| by(size) == whole), "{bytes:?}");
        whole
    }

    #[test]
    fn only_the_last_byte_makes_it_whole() {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend([0, 3, 1, 2, 3]);
        bytes.extend([7, 0x80, 0x01]);
        bytes.extend([0; 128]);
        assert!(is_whole(&bytes));
        let ends = [13, bytes.len()];
        for length in 0..bytes.len() {
            assert_eq!(is_whole(&bytes[..length]), ends.contains(&length), "{length}");
        }
        bytes.push(0);
        assert!(!is_whole(&bytes), "a section begins");
    }

    #[test]
    fn garbage_is_not_whole() {
        for bytes in [&b"\0asm but not really"[..], b"", b"text", b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\xff\xff"] {
            assert!(!is_whole(bytes), "{bytes:?}");
        }
    }
}
