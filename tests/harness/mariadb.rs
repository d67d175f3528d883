//! A real MariaDB with a data directory of its own, without durability; and replicas of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::TempDir;

use super::child::Server;
use super::ports::free_port;
use super::tls::Identity;
use super::wait::{eventually, that};

const PACKAGE: &str = "mariadb-server";
const PASSWORD: &str = "my-secret-1";
const START: Duration = Duration::from_secs(60);

/// How many connections a server takes, that of an administrator apart; it allows no less.
pub const ROOM: usize = 10;

/// Who may log in how. What a replica is told here, its source does not tell it again.
const USERS: &str = "\
    set sql_log_bin = 0;\n\
    create database orders;\n\
    create user health identified by 'my-secret-1';\n\
    grant select, process, replication slave, slave monitor on *.* to health;\n\
    create user narrow identified by 'my-secret-1';\n\
    create user signer identified via ed25519 using password('my-secret-1');\n\
    create user socketed identified via unix_socket;\n\
    create user expired identified by 'my-secret-1' password expire;\n\
    create user locked identified by 'my-secret-1' account lock;\n\
    create user private identified by 'my-secret-1' require ssl;\n";

pub struct MariaDb {
    port: u16,
    server: Server,
    dir: TempDir,
}

impl MariaDb {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One that also speaks TLS.
    pub fn with_tls(identity: &Identity) -> Self {
        let copies = tempfile::tempdir().expect("a temporary directory");
        let options = [(&identity.cert, "--ssl-cert"), (&identity.key, "--ssl-key")].map(|(from, option)| {
            let copy = copies.path().join(from.file_name().expect("a file"));
            fs::copy(from, &copy).expect("a copy");
            readable(&copy, 0o644);
            format!("{option}={}", copy.display())
        });
        readable(copies.path(), 0o755);
        // It has read them once it is ready.
        Self::with(&options)
    }

    /// One that others may copy.
    pub fn source() -> Self {
        Self::with(&["--server-id=1".into(), "--log-bin=source".into()])
    }

    /// One that copies this one.
    pub fn replica(&self) -> Self {
        let replica = Self::with(&["--server-id=2".into()]);
        replica.sql(&format!(
            "change master to master_host = '127.0.0.1', master_port = {}, master_user = 'health', \
             master_password = '{PASSWORD}', master_use_gtid = slave_pos; start slave",
            self.port
        ));
        replica
    }

    pub fn with(options: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // As root it becomes the user mysql, who must get at its directory.
        readable(dir.path(), 0o755);
        fs::write(dir.path().join("users.sql"), USERS).expect("a file");
        readable(&dir.path().join("users.sql"), 0o644);
        let (data, port) = (dir.path().join("data"), free_port());
        install(&data);
        let mut command = Command::new("mariadbd");
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--connect-timeout=120"]);
        command.args([
            "--skip-innodb-doublewrite",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=8M",
        ]);
        command.args([
            "--plugin-load-add=auth_ed25519",
            &format!("--max-connections={ROOM}"),
            &format!("--port={port}"),
        ]);
        command.args(as_mysql()).args(options);
        for (option, path) in [("datadir", "data"), ("socket", "data/socket"), ("init-file", "users.sql")] {
            command.arg(format!("--{option}={}", dir.path().join(path).display()));
        }
        let server = Server::start(PACKAGE, &mut command, &dir.path().join("log"));
        eventually("MariaDB accepts connections", START, || {
            that(server.log().contains("ready for connections"), || server.log())
        });
        Self { port, server, dir }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mysql://USER:PASSWORD@127.0.0.1:PORT/orders`
    pub fn url(&self, user: &str) -> String {
        format!("mysql://{user}:{PASSWORD}@127.0.0.1:{}/orders", self.port)
    }

    /// Does this as its administrator; returns the values of the answer.
    pub fn sql(&self, text: &str) -> String {
        let mut client = Command::new("mariadb");
        let socket = self.dir.path().join("data/socket");
        client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names", "--execute", text]);
        done(client.arg(format!("--socket={}", socket.display())))
    }

    /// A number of `show global status`.
    pub fn counted(&self, name: &str) -> u64 {
        let line = self.sql(&format!("show global status like '{name}'"));
        line.split_whitespace()
            .nth(1)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name}: {line:?}"))
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }
}

fn install(data: &Path) {
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]).args(as_mysql());
    install.args(["--auth-root-authentication-method=normal".into(), format!("--datadir={}", data.display())]);
    done(&mut install);
}

/// It refuses to run as root.
fn as_mysql() -> Option<&'static str> {
    geteuid().is_root().then_some("--user=mysql")
}

/// Runs it to its end.
pub fn done(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install it with `sudo apt-get install {PACKAGE}`"));
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {said}{told}");
    said.into_owned()
}

fn readable(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}
