//! What must not reach the log although a receiver says it: one that echoes our request says our token. Pure.

/// Shorter ones are found in any text, and are no secrets.
const SHORTEST: usize = 4;
const MASK: &[u8] = b"***";

/// The secrets of one try.
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Of header values: whole, and what follows the scheme in `Basic xyz`.
    pub fn new<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut found = Vec::new();
        for value in values {
            let after_scheme = value.iter().position(|byte| *byte == b' ').and_then(|at| value.get(at + 1..));
            found.extend([Some(value), after_scheme].into_iter().flatten().map(<[u8]>::to_vec));
        }
        found.retain(|secret| secret.len() >= SHORTEST);
        // The longest first: one may begin with another.
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(found)
    }

    /// `whole`: nothing was cut off; else the text may end within a secret.
    pub fn masked(&self, text: &[u8], whole: bool) -> Vec<u8> {
        let (mut masked, mut rest) = (Vec::with_capacity(text.len()), text);
        while let Some((first, others)) = rest.split_first() {
            if let Some(after) = self.0.iter().find_map(|secret| rest.strip_prefix(secret.as_slice())) {
                masked.extend_from_slice(MASK);
                rest = after;
            } else if self.begins(rest, if whole { SHORTEST } else { 1 }) {
                masked.extend_from_slice(MASK);
                break;
            } else {
                masked.push(*first);
                rest = others;
            }
        }
        masked
    }

    fn begins(&self, tail: &[u8], shortest: usize) -> bool {
        tail.len() >= shortest && self.0.iter().any(|secret| secret.starts_with(tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, whole: bool) -> String {
        let secrets = Secrets::new([&b"Bearer top-secret"[..], b"Basic dXNlcg==", b"abc"].into_iter());
        String::from_utf8(secrets.masked(text.as_bytes(), whole)).expect("text")
    }

    #[test]
    fn each_occurrence_is_masked_and_so_is_a_tail() {
        let echoed = "authorization: Bearer top-secret, x: dXNlcg== top-secret abc.";
        assert_eq!(masked(echoed, true), "authorization: ***, x: *** *** abc.");
        assert_eq!(masked("the token was top-sec", true), "the token was ***");
        assert_eq!(masked("what is cut: to", false), "what is cut: ***");
        assert_eq!(masked("not here: to", true), "not here: to");
        assert_eq!(masked("", false), "");
    }
}
