//! A real MySQL, Oracle's, with a data directory of its own: `tests/servers/mysql` brings it. Debian's stable release has
//! MariaDB only, so that these tests belong to `tests/run --long`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::TempDir;

use super::child::Server;
use super::mariadb::done;
use super::ports::free_port;
use super::tls::Identity;
use super::wait::{eventually, that};

const BROUGHT_BY: &str = "tests/servers/mysql";
const PASSWORD: &str = "my-secret-1";
const START: Duration = Duration::from_secs(60);

/// Who may log in how. What a replica is told here, its source does not tell it again.
const USERS: &str = "\
    set sql_log_bin = 0;\n\
    create database orders;\n\
    create user health identified by 'my-secret-1';\n\
    grant select, replication slave, replication client on *.* to health;\n\
    create user cold identified by 'my-secret-1';\n\
    grant select on orders.* to cold;\n\
    create user older identified with sha256_password by 'my-secret-1';\n\
    grant select on orders.* to older;\n\
    create user expired identified by 'my-secret-1' password expire;\n\
    create user locked identified by 'my-secret-1' account lock;\n\
    create user private identified by 'my-secret-1' require ssl;\n";

pub struct Mysql {
    port: u16,
    server: Server,
    dir: TempDir,
}

impl Mysql {
    /// One that speaks TLS with a certificate that it made itself.
    pub fn start() -> Self {
        Self::with(1, &[])
    }

    pub fn with_tls(identity: &Identity) -> Self {
        let options = [(&identity.cert, "cert"), (&identity.key, "key")];
        Self::with(1, &options.map(|(path, name)| format!("--ssl-{name}={}", path.display())))
    }

    /// One that copies this one, a while late.
    pub fn replica(&self, delay: Duration) -> Self {
        let replica = Self::with(2, &[]);
        replica.sql(&format!(
            "change replication source to source_host = '127.0.0.1', source_port = {}, source_user = 'health', \
             source_password = '{PASSWORD}', source_auto_position = 1, get_source_public_key = 1, source_delay = {}; \
             start replica",
            self.port,
            delay.as_secs()
        ));
        replica
    }

    fn with(id: u8, options: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (data, port) = (dir.path().join("data"), free_port());
        let texts = brought().join("system/usr/share/mysql");
        let places = [
            format!("--datadir={}", data.display()),
            format!("--lc-messages-dir={}", texts.display()),
            format!("--character-sets-dir={}", texts.join("charsets").display()),
            format!("--plugin-dir={}", brought().join("system/usr/lib/mysql/plugin").display()),
            "--secure-file-priv=".into(),
        ];
        done(daemon(&places).arg("--initialize-insecure"));
        let mut command = daemon(&places);
        command.args([
            "--bind-address=127.0.0.1",
            "--mysqlx=0",
            "--log-error-verbosity=1",
            "--gtid-mode=on",
            "--enforce-gtid-consistency=on",
        ]);
        command.args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-buffer-pool-size=8M"]);
        command.args([format!("--server-id={id}"), format!("--port={port}")]).args(options);
        command.arg(format!("--socket={}", dir.path().join("socket").display()));
        let server = Server::start(BROUGHT_BY, &mut command, &dir.path().join("log"));
        eventually("MySQL accepts connections", START, || {
            that(server.log().contains("ready for connections"), || server.log())
        });
        let started = Self { port, server, dir };
        started.sql(USERS);
        started
    }

    /// `mysql://USER:PASSWORD@127.0.0.1:PORT/orders`
    pub fn url(&self, user: &str) -> String {
        format!("mysql://{user}:{PASSWORD}@127.0.0.1:{}/orders", self.port)
    }

    /// Who signed the certificate that it made itself.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("data/ca.pem")
    }

    /// Does this as its administrator; returns the values of the answer.
    pub fn sql(&self, text: &str) -> String {
        let mut client = program("mysql");
        let socket = self.dir.path().join("socket");
        client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names", "--execute", text]);
        done(client.arg(format!("--socket={}", socket.display())))
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }
}

fn brought() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/mysql")
}

fn program(name: &str) -> Command {
    let run = brought().join("run");
    assert!(fs::exists(&run).is_ok_and(|there| there), "MySQL is not there: {BROUGHT_BY} brings it");
    let mut command = Command::new(run);
    command.arg(name);
    command
}

fn daemon(places: &[String]) -> Command {
    let mut command = program("mysqld");
    command.arg("--no-defaults").args(places);
    // It refuses to run as root unless that is asked for.
    command.args(geteuid().is_root().then_some("--user=root"));
    command
}
