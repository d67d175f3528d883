//! A real redis-server without persistence.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::Server;
use super::listener::connects;
use super::ports::free_port;
use super::wait::{eventually, that};

pub struct Redis {
    port: u16,
    password: Option<String>,
    dir: TempDir,
    server: Option<Server>,
}

impl Redis {
    pub fn start() -> Self {
        Self::with(None)
    }

    pub fn with_password(password: &str) -> Self {
        Self::with(Some(password.to_owned()))
    }

    fn with(password: Option<String>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut redis = Self { port: free_port(), password, dir, server: None };
        redis.restart();
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again on its port.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &self.port.to_string()]);
        command.arg("--dir").arg(self.dir.path());
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        self.server = Some(Server::start("redis-server", &mut command, &self.dir.path().join("log")));
        let accepts = || that(connects(self.port), || "it refuses".into());
        eventually("redis-server accepts connections", Duration::from_secs(10), accepts);
    }
}
