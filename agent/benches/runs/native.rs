//! What the bundled `redis` checker does, done natively: the same crate's commands and parser on a socket of std's, with
//! rustls where TLS is spoken. One connection for each run, and no session resumed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use redis::{FromRedisValue as _, Parser, cmd};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub fn pings(address: SocketAddr, count: u32) {
    for _ in 0..count {
        ping(connect(address));
    }
}

pub fn secure_pings(address: SocketAddr, config: &Arc<ClientConfig>, count: u32) {
    for _ in 0..count {
        let server = ServerName::from(address.ip());
        let tls = ClientConnection::new(config.clone(), server).unwrap();
        ping(StreamOwned::new(tls, connect(address)));
    }
}

pub fn roots(ca_file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn ping(mut stream: impl Read + Write) {
    stream.write_all(&cmd("PING").get_packed_command()).unwrap();
    let answer = Parser::new().parse_value(&mut stream).unwrap();
    assert_eq!(String::from_redis_value(answer).unwrap(), "PONG");
}
