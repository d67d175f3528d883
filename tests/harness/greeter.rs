//! A server that speaks first: it sends its greeting to whoever comes, and ends. Over TLS where it has a certificate.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::ports::{bound, free_port};
use super::tls::Identity;

/// For a client that says nothing in the handshake.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Greeter {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Greeter {
    pub fn start(greeting: impl Into<Vec<u8>>) -> Self {
        Self::open(greeting.into(), None)
    }

    pub fn over_tls(greeting: impl Into<Vec<u8>>, identity: &Identity) -> Self {
        let cert = CertificateDer::from_pem_file(&identity.cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert], key))
            .expect("a certificate with its key");
        Self::open(greeting.into(), Some(Arc::new(config)))
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    fn open(greeting: Vec<u8>, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let socket = bound(|| TcpListener::bind(address));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let accepting = std::thread::spawn(move || {
            for connection in socket.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A client that breaks off gets nothing.
                let _ = connection.and_then(|connection| greet(connection, &greeting, tls.clone()));
            }
        });
        Self { address, stop, accepting: Some(accepting) }
    }
}

fn greet(mut connection: TcpStream, greeting: &[u8], tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let Some(config) = tls else { return connection.write_all(greeting) };
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, connection);
    stream.write_all(greeting)?;
    stream.conn.send_close_notify();
    stream.flush()
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
