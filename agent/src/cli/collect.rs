//! `vitald collect`: the reference receiver of `[[report]]`. It appends each report to a file, once, and confirms it
//! when it is on disk. It refuses what is no report, and says so with a code that lets the agent keep it or give it up.

mod answer;
mod ledger;
mod server;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::EXIT_CONFIG;
use crate::supervise::{EXIT_DIED, Supervisor, stop_pair};
use crate::tls::TlsError;
use crate::tls::server::Server;

use self::answer::Receiver;
use self::ledger::{Ledger, LedgerError};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9721")]
    listen: SocketAddr,
    /// The file to append to, one line of JSON for each report. It is made where it is missing.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file with the token that agents must show (their token_file); read again for each request.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Listen with TLS: a PEM file with the certificate and its chain; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The PEM file of its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Why it cannot begin, or ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("--tls-cert, --tls-key: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("--token-file: {0}")]
    Token(#[from] answer::TokenError),
    #[error("the schema of reports cannot be used: {0}")]
    Schema(String),
    #[error("a runtime cannot be started: {0}")]
    Runtime(std::io::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        if matches!(self, Self::Runtime(_) | Self::Schema(_)) { EXIT_DIED } else { EXIT_CONFIG }
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    let ended = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Failure::Runtime);
    let ended = ended.and_then(|runtime| {
        let ended = runtime.block_on(collect(arguments));
        // A disk that hangs is not waited for.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("vitald: {failure}");
            failure.code()
        }
    }
}

async fn collect(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Handle::current();
    let (supervisor, _deaths) = Supervisor::new(runtime.clone(), runtime);
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => Some(Arc::new(Server::new(cert, key)?)),
        _ => None,
    };
    if let Some(path) = &arguments.token_file {
        answer::read_token(path)?;
    }
    let ledger = Ledger::open(&arguments.out)?;
    let known = ledger.streams();
    let receiver = Receiver::new(ledger, arguments.token_file.clone(), supervisor.clone()).map_err(Failure::Schema)?;
    let bound = |source| Failure::Bind { address: arguments.listen, source };
    let listener = TcpListener::bind(arguments.listen).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    let mut term = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut int = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    announce(arguments, address, known);
    // Whoever rotates logs sends it: the file is looked at with each report, and nothing is to be done.
    let _hangup = signal(SignalKind::hangup()).map_err(Failure::Runtime)?;
    let (stopper, stop) = stop_pair();
    let serving = server::serve(listener, tls, Arc::new(receiver), supervisor, stop);
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(()),
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stopper.stop();
    serving.await;
    tracing::info!("stopped");
    Ok(())
}

fn announce(arguments: &Arguments, address: SocketAddr, known: usize) {
    let scheme = if arguments.tls_cert.is_some() { "https" } else { "http" };
    let out = arguments.out.display();
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!("vitald {version} collects at {scheme}://{address} into {out}, which has {known} streams so far");
    if !address.ip().is_loopback() && arguments.token_file.is_none() {
        tracing::warn!("whoever reaches {address} can write to {out}: give agents a token with --token-file");
    }
}
