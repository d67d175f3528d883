//! TLS as a server: a certificate and its key, read again when they change, so that a renewal needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use crate::files::Stamp;

use super::{TlsError, files};

/// What is shown to those who connect.
#[derive(Debug)]
pub struct Server {
    cert: PathBuf,
    key: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    stamps: [Option<Stamp>; 2],
    config: Arc<ServerConfig>,
}

impl Server {
    /// PEM files of the chain, the own certificate first, and of its key.
    pub fn new(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let kept = Mutex::new(load(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), kept })
    }

    /// The configuration for one connection. Files that are wrong now are logged, and those of before are used.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.cert, &self.key);
        if kept.stamps != stamps {
            match load(&self.cert, &self.key) {
                Ok(loaded) => *kept = loaded,
                Err(error) => {
                    tracing::warn!("the certificate of before is shown: {error}");
                    kept.stamps = stamps;
                }
            }
        }
        kept.config.clone()
    }
}

fn stamps(cert: &Path, key: &Path) -> [Option<Stamp>; 2] {
    [Stamp::of(cert), Stamp::of(key)]
}

fn load(cert: &Path, key: &Path) -> Result<Kept, TlsError> {
    // Looked at before they are read: what changes between is read again.
    let stamps = stamps(cert, key);
    let (chain, secret) = (files::chain(cert)?, files::key(key)?);
    let rustls = |error: rustls::Error| TlsError::Rustls(error.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(rustls)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| files::wrong("key_file", key, &error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Kept { stamps, config: Arc::new(config) })
}
