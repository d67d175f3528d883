//! A verification whose failure is noted instead of ending the handshake: for `insecure`, and to look at certificates.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::words::reason;

/// The verification of one handshake.
#[derive(Debug)]
pub struct Recording {
    inner: Arc<WebPkiServerVerifier>,
    problem: OnceLock<String>,
}

impl Recording {
    pub fn new(inner: Arc<WebPkiServerVerifier>) -> Self {
        Self { inner, problem: OnceLock::new() }
    }

    /// The first thing that was wrong.
    pub fn problem(&self) -> Option<String> {
        self.problem.get().cloned()
    }

    fn noted<T>(&self, verified: Result<T, Error>, assertion: T) -> Result<T, Error> {
        Ok(verified.unwrap_or_else(|error| {
            let _ = self.problem.set(reason(&error));
            assertion
        }))
    }
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.noted(verified, ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls12_signature(message, certificate, signature);
        self.noted(verified, HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls13_signature(message, certificate, signature);
        self.noted(verified, HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
