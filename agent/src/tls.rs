//! TLS as a client: whose certificates are trusted, which one we show, and what a peer showed.
//!
//! Nothing here does I/O with a peer; it makes connections for those who do. Files are read again when they change.
//! No session is resumed: a health check wants the whole handshake, and the peer's certificates, every time.

pub mod certificate;
mod files;
pub mod server;
mod verify;
mod words;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::files::Stamp;
use crate::model::check::TlsDef;

use self::verify::Recording;
pub use self::words::{reason, version};

/// Certificate authorities of the system are read again after this long.
const SYSTEM_ROOTS_AGE: Duration = Duration::from_secs(600);
/// Configurations that are kept ready; more than this many different ones are made anew each time.
const KEPT: usize = 256;

/// Why no handshake can be begun: the operator's files, not the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("tls.{key} {}: {problem}", path.display())]
    File { key: &'static str, path: PathBuf, problem: String },
    #[error("this host has no trusted certificate authorities: install ca-certificates, or set tls.ca_file")]
    NoRoots,
    #[error("{0:?} is no name that TLS can verify")]
    ServerName(String),
    #[error("TLS: {0}")]
    Rustls(String),
}

/// What is asked of one handshake.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    /// The name to ask for and to verify, unless the operator set another.
    pub server_name: &'a str,
    /// Application protocols, most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// Go on with a peer that does not verify.
    pub inspect: bool,
}

/// What a peer showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// `TLSv1.3`
    pub version: String,
    /// As IANA names it.
    pub cipher: String,
    pub alpn: Option<String>,
    /// DER, its own first.
    pub certificates: Vec<Vec<u8>>,
    /// Why the chain does not verify.
    pub verify_error: Option<String>,
    /// What its own certificate says: see [`certificate::attributes`].
    pub attributes: Vec<(String, String)>,
}

/// A connection that has not shaken hands yet.
pub struct Begun {
    pub connection: ClientConnection,
    recording: Option<Arc<Recording>>,
}

impl Begun {
    /// Splits off what will know the peer once hands are shaken.
    pub fn into_parts(self) -> (ClientConnection, Witness) {
        (self.connection, Witness(self.recording))
    }
}

/// Knows what the verification of one handshake found.
pub struct Witness(Option<Arc<Recording>>);

impl Witness {
    /// What the peer showed in a finished handshake.
    pub fn peer(&self, connection: &ClientConnection) -> Peer {
        let certificates = connection.peer_certificates().unwrap_or_default();
        let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        Peer {
            version: connection.protocol_version().map(words::version).unwrap_or_default(),
            // rustls spells those of TLS 1.3 apart.
            cipher: cipher.unwrap_or_default().replace("TLS13_", "TLS_"),
            alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            attributes: certificates.first().map(|own| certificate::attributes(own)).unwrap_or_default(),
            certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
            verify_error: self.0.as_ref().and_then(|recording| recording.problem()),
        }
    }
}

/// Makes connections, and keeps what they have in common.
#[derive(Debug)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    kept: Mutex<HashMap<TlsDef, Arc<Loaded>>>,
    /// The system's authorities, and when they were read.
    system: Mutex<Option<(Instant, Arc<RootCertStore>)>>,
}

/// A definition with its files read.
#[derive(Debug)]
struct Loaded {
    config: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
    when: Instant,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

impl Loaded {
    fn is_fresh(&self, def: &TlsDef) -> bool {
        let system = def.ca_file.is_none() && self.when.elapsed() > SYSTEM_ROOTS_AGE;
        !system && self.stamps.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            kept: Mutex::default(),
            system: Mutex::default(),
        }
    }
}

impl Tls {
    /// A connection to shake hands with. Reads files where they changed, which may block for as long as that takes.
    pub fn begin(&self, def: &TlsDef, wish: Wish<'_>) -> Result<Begun, TlsError> {
        let (config, server, recording) = self.prepare(def, wish)?;
        let connection = ClientConnection::new(config, server).map_err(|error| TlsError::Rustls(error.to_string()))?;
        Ok(Begun { connection, recording })
    }

    /// What a library that shakes hands by itself wants. Blocks as [`Tls::begin`] does.
    pub fn client(&self, def: &TlsDef, wish: Wish<'_>) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
        let (config, server, _) = self.prepare(def, wish)?;
        Ok((config, server))
    }

    #[expect(clippy::type_complexity, reason = "three things that are used once each")]
    fn prepare(
        &self,
        def: &TlsDef,
        wish: Wish<'_>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>, Option<Arc<Recording>>), TlsError> {
        let loaded = self.loaded(def)?;
        let name = def.server_name.as_deref().unwrap_or(wish.server_name);
        let server = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))?;
        let lenient = def.insecure || wish.inspect;
        let recording = lenient.then(|| Arc::new(Recording::new(loaded.verifier.clone())));
        let mut config = loaded.config.clone();
        if !wish.alpn.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = wish.alpn;
        }
        if let Some(recording) = &recording {
            Arc::make_mut(&mut config).dangerous().set_certificate_verifier(recording.clone());
        }
        Ok((config, server, recording))
    }

    fn loaded(&self, def: &TlsDef) -> Result<Arc<Loaded>, TlsError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = kept.get(def).filter(|loaded| loaded.is_fresh(def)) {
            return Ok(loaded.clone());
        }
        let loaded = Arc::new(self.load(def)?);
        if kept.len() >= KEPT {
            let any = kept.keys().next().cloned();
            any.map(|any| kept.remove(&any));
        }
        kept.insert(def.clone(), loaded.clone());
        Ok(loaded)
    }

    /// A hundred certificates take milliseconds to read; every definition shares them.
    fn system_roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roots)) = system.as_ref().filter(|(when, _)| when.elapsed() < SYSTEM_ROOTS_AGE) {
            return Ok(roots.clone());
        }
        let roots = Arc::new(files::system_roots()?);
        *system = Some((Instant::now(), roots.clone()));
        Ok(roots)
    }

    fn load(&self, def: &TlsDef) -> Result<Loaded, TlsError> {
        // Looked at before they are read: what changes between is read again.
        let paths = def.ca_file.iter().chain(def.identity.iter().flat_map(|(cert, key)| [cert, key]));
        let stamps = paths.map(|path| (path.clone(), Stamp::of(path))).collect();
        let roots = match &def.ca_file {
            Some(path) => Arc::new(files::roots(path)?),
            None => self.system_roots()?,
        };
        let rustls = |error: rustls::Error| TlsError::Rustls(error.to_string());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone())
            .build()
            .map_err(|error| TlsError::Rustls(error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(rustls)?
            .with_webpki_verifier(verifier.clone());
        let mut config = match &def.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let (chain, secret) = (files::chain(cert)?, files::key(key)?);
                let problem = |error: rustls::Error| files::wrong("key_file", key, &error.to_string());
                builder.with_client_auth_cert(chain, secret).map_err(problem)?
            }
        };
        config.resumption = Resumption::disabled();
        Ok(Loaded { config: Arc::new(config), verifier, when: Instant::now(), stamps })
    }
}
