//! A private certificate authority, and the certificates that it signs, as PEM files in a directory of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// What certificates are valid until, in seconds since the epoch: the first second of the year 2100.
pub const VALID_UNTIL: f64 = 4_102_444_800.0;

/// An authority that nobody knows but who is given its file.
pub struct Ca {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, new_key()).expect("it can sign itself");
        let ca = Self { dir: tempfile::tempdir().expect("a temporary directory"), issuer };
        ca.write("ca.pem", &ca.issuer.pem());
        ca
    }

    /// Its own certificate: what `ca_file` is to name.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Of a server, for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(&format!("server-{}", names.join("-")), params(names, ExtendedKeyUsagePurpose::ServerAuth))
    }

    /// Of a server that has missed its renewal.
    pub fn expired_server(&self, names: &[&str]) -> Identity {
        let mut params = params(names, ExtendedKeyUsagePurpose::ServerAuth);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&format!("expired-{}", names.join("-")), params)
    }

    /// Of a client.
    pub fn client(&self) -> Identity {
        self.sign("client", params(&["vitald"], ExtendedKeyUsagePurpose::ClientAuth))
    }

    fn sign(&self, name: &str, params: CertificateParams) -> Identity {
        let key = new_key();
        let cert = params.signed_by(&key, &self.issuer).expect("it can be signed");
        Identity {
            cert: self.write(&format!("{name}.pem"), &cert.pem()),
            key: self.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a PEM file");
        // PostgreSQL insists on it for keys.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        path
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn params(names: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names and addresses");
    params.distinguished_name.push(DnType::CommonName, "a test");
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params.extended_key_usages = vec![usage];
    params
}
