//! What a certificate says, for checkers that bring no X.509 parser.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Names longer than this are cut: they come from a stranger.
const NAME: usize = 1024;

/// `subject` and `issuer` (RFC 4514), `not-before` and `not-after` (seconds since the Unix epoch) of a DER certificate;
/// nothing where it cannot be read.
pub fn attributes(der: &[u8]) -> Vec<(String, String)> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let validity = certificate.validity();
    let name = |name: String| name.chars().filter(|c| !c.is_control()).take(NAME).collect::<String>();
    [
        ("subject", name(certificate.subject().to_string())),
        ("issuer", name(certificate.issuer().to_string())),
        ("not-before", validity.not_before.timestamp().to_string()),
        ("not-after", validity.not_after.timestamp().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = super::attributes(&bytes);
        }
    }
}
