//! Keeping secrets out of what a person or a machine reads: whatever text a guest sends out of its sandbox passes
//! through a [`Masker`] that knows the secrets its check was given.

use std::fmt;

use base64::Engine as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::text::{one_line, truncated};

/// Shorter values are not masked: they would make ordinary text unreadable and hide little.
pub const SHORTEST: usize = 6;

/// Of words that are cut to far less: masking more would only cost time.
const MOST_LOOKED_AT: usize = 16 << 10;

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// What usual encoders leave as it is: RFC 3986's unreserved characters; those of `encodeURIComponent`; those of a form;
/// those of RFC 3986's userinfo, with `:` and without.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');
const USERINFO: &AsciiSet = &COMPONENT.remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b';').remove(b'=');
const USERINFO_COLON: &AsciiSet = &USERINFO.remove(b':');
const ENCODERS: [&AsciiSet; 6] = [NON_ALPHANUMERIC, UNRESERVED, COMPONENT, FORM, USERINFO, USERINFO_COLON];

/// The secrets of one check, in all the forms in which they are hidden: plain, percent-encoded as usual encoders do
/// it (in either case, and with + for a space), base64 (at each of the three alignments) and JSON-escaped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Masker {
    /// Longest first, so that a secret that contains another is hidden whole.
    forms: Vec<String>,
}

impl Masker {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).flat_map(forms_of).collect())
    }

    /// Of who knows no secrets.
    pub fn of_nothing() -> &'static Self {
        static NOTHING: Masker = Masker { forms: Vec::new() };
        &NOTHING
    }

    /// The longest first: one may be within another.
    fn of(mut forms: Vec<String>) -> Self {
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// The secrets of both.
    pub fn and(self, other: Self) -> Self {
        Self::of([self.forms, other.forms].concat())
    }

    /// A guest's words on one line, without the secrets, and cut to `max` bytes. Masked before they are cut: the beginning
    /// of a secret that the cut goes through would be none that is known.
    pub fn line(&self, text: &str, max: usize) -> String {
        let looked_at = text.get(..text.floor_char_boundary(MOST_LOOKED_AT)).unwrap_or_default();
        truncated(self.on_one_line(looked_at), max)
    }

    /// Masked before and after: a secret may have lines of its own, and may be what is left of others.
    pub fn on_one_line(&self, text: &str) -> String {
        self.mask(one_line(&self.mask(text.to_owned())))
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
    let mut forms = vec![secret.to_owned()];
    forms.extend(ENCODERS.iter().flat_map(|set| percent_encoded(secret, set)));
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

/// In upper and in lower case, and both as a form has them.
fn percent_encoded(secret: &str, set: &'static AsciiSet) -> [String; 4] {
    let upper = utf8_percent_encode(secret, set).to_string();
    // A piece is an escape, or what needs none; a sign that stands for itself is always escaped.
    let lower: String = utf8_percent_encode(secret, set)
        .map(|piece| if piece.starts_with('%') { piece.to_ascii_lowercase() } else { piece.to_owned() })
        .collect();
    [upper.replace("%20", "+"), lower.replace("%20", "+"), upper, lower]
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
    fn no_beginning_of_a_secret_stays_before_a_cut() {
        let masker = Masker::new(["a-secret-of-ours"]);
        let text = "as 'a-secret-of-ours' it was refused";
        for max in 0..text.len() {
            let line = masker.line(text, max);
            assert!(!line.contains("a-s"), "{max}: {line}");
        }
        assert_eq!(masker.line(text, 100), "as '***' it was refused");
        assert_eq!(masker.line("two\nlines", 100), "two lines");
        let lines = Masker::new(["line-one\nline-two"]);
        assert_eq!(lines.line("it is line-one\nline-two.", 100), "it is ***.");
        let long = "ä".repeat(MOST_LOOKED_AT);
        assert!(masker.line(&long, 1024).len() <= 1024 + "…".len());
    }

    #[test]
    fn usual_percent_encoders_hide_nothing() {
        let masker = Masker::new(["my-pass!word$1", "a secret/of:us"]);
        for text in [
            "my-pass%21word%241",
            "my-pass!word%241",
            "my-pass!word$1",
            "my%2Dpass%21word%241",
            "my%2dpass%21word%241",
            "a%20secret%2Fof%3Aus",
            "a%20secret%2fof%3aus",
            "a+secret%2Fof%3Aus",
            "a+secret%2fof%3aus",
            "a%20secret%2Fof:us",
        ] {
            assert_eq!(masker.mask(format!("<{text}>")), "<***>", "{text}");
        }
    }

    #[test]
    fn short_values_and_other_texts_stay() {
        let masker = Masker::new(["short", "a-long-secret"]);
        assert_eq!(masker.mask("a short text".into()), "a short text");
    }
}
