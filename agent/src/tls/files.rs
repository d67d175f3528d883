//! The operator's PEM files.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// The bundle of a whole system has a quarter of this.
const LARGEST: u64 = 1 << 20;

pub fn wrong(key: &'static str, path: &Path, problem: &str) -> TlsError {
    TlsError::File { key, path: path.to_owned(), problem: problem.to_owned() }
}

/// The certificate authorities of a PEM file.
pub fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_file", path)? {
        roots.add(certificate).map_err(|error| wrong("ca_file", path, &error.to_string()))?;
    }
    Ok(roots)
}

pub fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Some systems have one that is odd; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// The certificate that we show, and its chain.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates("cert_file", path)
}

pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("key_file", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        wrong("key_file", path, "there is no private key in PEM in it (unencrypted PKCS #8, PKCS #1 or SEC 1)")
    })
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(key, path, "there is no certificate in PEM in it")),
        Err(error) => Err(wrong(key, path, &format!("not PEM: {error}"))),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    // A FIFO would wait for its writer, a device never end.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = file.map_err(|error| wrong(key, path, &error.to_string()))?;
    let regular = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
    if !regular {
        return Err(wrong(key, path, "it is no regular file of at most 1 MiB"));
    }
    file.take(LARGEST).read_to_end(&mut text).map_err(|error| wrong(key, path, &error.to_string()))?;
    Ok(text)
}
