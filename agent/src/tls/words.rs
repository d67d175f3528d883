//! TLS errors in an operator's words.

use rustls::{AlertDescription, CertificateError, Error, ProtocolVersion};

const DAY: u64 = 24 * 3600;

/// Why a handshake failed or a certificate does not verify, on one line.
pub fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the peer wants a client certificate: set tls.cert_file and tls.key_file".into()
        }
        // What servers of different age say of no certificate, and of one that they do not trust.
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => format!(
            "the peer refused us ({alert:?}): it wants a client certificate that it trusts; look at tls.cert_file and \
             tls.key_file"
        ),
        Error::AlertReceived(alert) => format!("the peer refused: {alert:?}"),
        Error::InvalidMessage(_) => format!("the peer does not speak TLS on this port ({error})"),
        other => other.to_string(),
    }
}

fn certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "the certificate's issuer is not trusted: name its authority in tls.ca_file".into()
        }
        CertificateError::Expired => "the certificate has expired".into(),
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / DAY;
            format!("the certificate has expired {days} days ago")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".into()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "the certificate is for no name (no subjectAltName), so that it cannot be verified: the peer needs another"
                .into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ");
            format!("the certificate is not for {} but for {presented}", expected.to_str())
        }
        CertificateError::BadSignature => {
            "the certificate does not verify: another authority of the same name signed it; look at tls.ca_file".into()
        }
        CertificateError::Revoked => "the certificate was revoked".into(),
        other => format!("the certificate does not verify: {other}"),
    }
}

/// `DnsName("db.internal")` as `db.internal`.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').map_or(presented, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"')
}

/// `TLSv1.3`, as OpenSSL writes it.
pub fn version(version: ProtocolVersion) -> String {
    format!("{version:?}").replace("TLSv1_", "TLSv1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_reads() {
        let expected = rustls::pki_types::ServerName::try_from("db").expect("a name");
        let nameless = CertificateError::NotValidForNameContext { expected, presented: Vec::new() };
        let cases = [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "issuer is not trusted"),
            (Error::InvalidCertificate(nameless), "is for no name"),
            (Error::InvalidCertificate(CertificateError::Expired), "expired"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "tls.cert_file"),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "the peer refused: HandshakeFailure"),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "does not speak TLS"),
        ];
        for (error, text) in cases {
            assert!(reason(&error).contains(text), "{error:?}: {}", reason(&error));
        }
        assert_eq!(bare("DnsName(\"db.internal\")"), "db.internal");
        assert_eq!(version(ProtocolVersion::TLSv1_3), "TLSv1.3");
    }
}
