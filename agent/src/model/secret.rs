//! Keeping secrets out of what a person or a machine reads: whatever text a guest sends out of its sandbox passes
//! through a [`Masker`] that knows the secrets its check was given.

use std::fmt;

use base64::Engine as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Shorter values are not masked: they would make ordinary text unreadable and hide little.
pub const SHORTEST: usize = 6;

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// The secrets of one check, in all the forms in which they are hidden: plain, percent-encoded, base64 (at each of
/// the three alignments) and JSON-escaped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Masker {
    /// Longest first, so that a secret that contains another is hidden whole.
    forms: Vec<String>,
}

impl Masker {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> =
            secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).flat_map(forms_of).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// The text without the secrets.
    pub fn mask(&self, text: String) -> String {
        let hide = |text: String, form: &String| {
            if text.contains(form.as_str()) { text.replace(form.as_str(), MASK) } else { text }
        };
        self.forms.iter().fold(text, hide)
    }
}

fn forms_of(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()];
    if let Ok(json) = serde_json::to_string(secret) {
        forms.push(json.trim_matches('"').to_owned());
    }
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    for shift in 0..3_usize {
        // Inside a longer text a secret starts at any of three places in a group; the characters at both ends depend
        // on its neighbours and are left out.
        let padded = [vec![0; shift].as_slice(), secret.as_bytes()].concat();
        let encoded = engine.encode(&padded);
        let from = if shift == 0 { 0 } else { shift + 1 };
        let to = padded.len() / 3 * 4;
        if let Some(form) = encoded.get(from..to)
            && form.len() >= SHORTEST
        {
            forms.push(form.to_owned());
        }
    }
    forms
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} forms)", self.forms.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_hidden() {
        let secret = "p@ss \"word\"";
        let masker = Masker::new([secret]);
        let engine = base64::engine::general_purpose::STANDARD;
        let texts = [
            secret.to_owned(),
            format!("<{secret}>"),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            serde_json::to_string(secret).expect("json"),
            engine.encode(secret),
            engine.encode(format!("user:{secret}")),
            engine.encode(format!("u:{secret} and more")),
        ];
        for text in texts {
            let masked = masker.mask(text.clone());
            assert!(masked.contains(MASK), "{text} -> {masked}");
        }
    }

    #[test]
    fn short_values_and_other_texts_stay() {
        let masker = Masker::new(["short", "a-long-secret"]);
        assert_eq!(masker.mask("a short text".into()), "a short text");
    }
}
