//! A real PgBouncer before a PostgreSQL, one connection of which serves many clients in turn.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::child::Server;
use super::ports::free_port;
use super::postgres::Postgres;
use super::wait::{eventually, that};

const START: Duration = Duration::from_secs(20);

pub struct PgBouncer {
    port: u16,
    _server: Server,
    _dir: TempDir,
}

impl PgBouncer {
    /// How its clients log in: `md5`, `scram-sha-256`.
    pub fn before(postgres: &Postgres, auth_type: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (at, port, account) = (dir.path(), free_port(), postgres.account());
        let (user, password) = Postgres::user();
        let settings = [
            (
                "pgbouncer.ini",
                format!(
                    "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = {auth_type}\nauth_file = {}\npool_mode = transaction\n",
                    postgres.port(),
                    at.join("users.txt").display()
                ),
            ),
            ("users.txt", format!("\"{user}\" \"{password}\"\n")),
        ];
        account.own(at);
        for (name, text) in settings {
            fs::write(at.join(name), text).expect("a file");
            account.own(&at.join(name));
        }
        let mut command = account.run("pgbouncer");
        let server = Server::start("pgbouncer", command.arg(at.join("pgbouncer.ini")), &at.join("log"));
        eventually("PgBouncer listens", START, || that(server.log().contains("process up"), || server.log()));
        Self { port, _server: server, _dir: dir }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}
