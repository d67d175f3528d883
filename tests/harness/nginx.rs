//! A real nginx with a configuration of its own: over HTTP, or over HTTPS.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::Server;
use super::listener::connects;
use super::ports::free_port;
use super::tls::{Ca, Identity};
use super::wait::{eventually, that};

pub struct Nginx {
    port: u16,
    scheme: &'static str,
    _server: Server,
    _dir: TempDir,
}

impl Nginx {
    /// `/` is `200 well`, and `/away` sends to a URL.
    pub fn http(away: &str) -> Self {
        Self::start("http", "", away)
    }

    /// `/` is `200 well`, over TLS.
    pub fn https(identity: &Identity) -> Self {
        Self::start("https", &tls(identity), "/")
    }

    /// As [`Nginx::https`]; who shows no certificate of that authority gets a 400.
    pub fn https_for_clients_of(identity: &Identity, ca: &Ca) -> Self {
        let clients = format!("ssl_client_certificate {};\nssl_verify_client on;\n", ca.file().display());
        Self::start("https", &(tls(identity) + &clients), "/")
    }

    /// Hands requests on to that URL, with another `Accept`.
    pub fn asking(url: &str, accept: &str) -> Self {
        Self::serving("http", "", &format!("location / {{ proxy_pass {url}; proxy_set_header Accept {accept}; }}\n"))
    }

    fn start(scheme: &'static str, tls: &str, away: &str) -> Self {
        let locations =
            format!("location / {{ return 200 \"well\\n\"; }}\nlocation = /away {{ return 302 {away}; }}\n");
        Self::serving(scheme, tls, &locations)
    }

    fn serving(scheme: &'static str, tls: &str, locations: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let flag = if tls.is_empty() { "" } else { " ssl" };
        let server = format!("listen 127.0.0.1:{port}{flag};\n{tls}{locations}");
        let path = dir.path().join("nginx.conf");
        fs::write(&path, configuration(dir.path(), &server)).expect("a configuration");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        let server = Server::start("nginx-light", &mut command, &dir.path().join("log"));
        let accepts = || that(connects(port), || server.log());
        eventually("nginx accepts connections", Duration::from_secs(10), accepts);
        Self { port, scheme, _server: server, _dir: dir }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }
}

/// One process, so that whoever kills it leaves no workers behind; every file below its own directory.
fn configuration(dir: &Path, server: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {}/{what};\n", dir.display()))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}server {{\n{server}}}\n}}\n",
        dir.display()
    )
}

fn tls(identity: &Identity) -> String {
    format!("ssl_certificate {};\nssl_certificate_key {};\n", identity.cert.display(), identity.key.display())
}
