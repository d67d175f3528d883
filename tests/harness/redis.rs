//! A real redis-server without persistence, over TCP or over TLS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::Server;
use super::listener::connects;
use super::ports::free_port;
use super::tls::{Ca, Identity};
use super::wait::{eventually, that};

pub struct Redis {
    port: u16,
    scheme: &'static str,
    /// What it is told beside its port.
    options: Vec<String>,
    dir: TempDir,
    server: Option<Server>,
}

impl Redis {
    pub fn start() -> Self {
        Self::with("redis", Vec::new())
    }

    pub fn with_password(password: &str) -> Self {
        Self::with("redis", vec!["--requirepass".into(), password.into()])
    }

    /// Speaks nothing but TLS.
    pub fn with_tls(identity: &Identity) -> Self {
        Self::with("rediss", tls(identity, "no"))
    }

    /// As [`Redis::with_tls`], with those who show a certificate of that authority.
    pub fn with_tls_for_clients_of(identity: &Identity, ca: &Ca) -> Self {
        let mut options = tls(identity, "yes");
        options.extend(["--tls-ca-cert-file".into(), ca.file().display().to_string()]);
        Self::with("rediss", options)
    }

    fn with(scheme: &'static str, options: Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut redis = Self { port: free_port(), scheme, options, dir, server: None };
        redis.restart();
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT` or `rediss://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Lets somebody log in by another password too.
    pub fn allow_password(&self, own: &str, new: &str) {
        self.does(&[format!("AUTH {own}"), format!("ACL SETUSER default >{new}")]);
    }

    /// Lets nobody log in by that password any more.
    pub fn forbid_password(&self, own: &str, old: &str) {
        self.does(&[format!("AUTH {own}"), format!("ACL SETUSER default <{old}")]);
    }

    /// Each of these is to be answered with OK.
    fn does(&self, commands: &[String]) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts connections");
        let mut answers = BufReader::new(connection.try_clone().expect("a second handle"));
        for command in commands {
            write!(connection, "{command}\r\n").expect("it reads");
            let mut answer = String::new();
            answers.read_line(&mut answer).expect("it answers");
            assert_eq!(answer, "+OK\r\n", "{command}");
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again on its port.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).arg("--dir").arg(self.dir.path());
        let port = self.port.to_string();
        match self.scheme {
            "rediss" => command.args(["--port", "0", "--tls-port", &port]),
            _ => command.args(["--port", &port]),
        };
        command.args(&self.options);
        self.server = Some(Server::start("redis-server", &mut command, &self.dir.path().join("log")));
        let accepts = || that(connects(self.port), || "it refuses".into());
        eventually("redis-server accepts connections", Duration::from_secs(10), accepts);
    }
}

fn tls(identity: &Identity, clients: &str) -> Vec<String> {
    let (cert, key) = (identity.cert.display(), identity.key.display());
    format!("--tls-cert-file {cert} --tls-key-file {key} --tls-auth-clients {clients}")
        .split(' ')
        .map(ToOwned::to_owned)
        .collect()
}
