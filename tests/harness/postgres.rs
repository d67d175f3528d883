//! A real PostgreSQL with a data directory of its own, without durability.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::child::Server;
use super::ports::free_port;
use super::tls::Identity;
use super::wait::{eventually, pause, that};

const USER: &str = "health";
const PASSWORD: &str = "pg-secret-1";
const STOP: Duration = Duration::from_secs(10);
/// Who may log in how: nobody without the password.
const RULES: &str = "host all all 127.0.0.1/32 scram-sha-256\n";

pub struct Postgres {
    port: u16,
    server: Server,
    _dir: TempDir,
}

/// Who the server runs as, where that is not who the tests run as: it refuses root.
#[derive(Debug, Clone, Copy)]
struct Account(Option<(u32, u32)>);

impl Postgres {
    pub fn start() -> Self {
        Self::prepared(|_, _| "")
    }

    /// One that also speaks TLS, after the upgrade of its protocol.
    pub fn with_tls(identity: &Identity) -> Self {
        Self::prepared(|data, account| {
            for (from, to) in [(&identity.cert, "server.crt"), (&identity.key, "server.key")] {
                fs::copy(from, data.join(to)).expect("a copy");
                account.own(&data.join(to));
            }
            "ssl = on\n"
        })
    }

    /// `prepare` may put files into the data directory, and gives further settings.
    fn prepared(prepare: impl FnOnce(&Path, Account) -> &'static str) -> Self {
        let account = Account::find();
        let dir = tempfile::tempdir().expect("a temporary directory");
        account.own(dir.path());
        let (data, port) = (dir.path().join("data"), free_port());
        init(&data, account);
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nfsync = off\n\
             shared_buffers = 16MB\nmax_connections = 20\n{}",
            dir.path().display(),
            prepare(&data, account)
        );
        fs::write(data.join("postgresql.conf"), settings).expect("settings");
        fs::write(data.join("pg_hba.conf"), RULES).expect("rules");
        let mut command = account.command("postgres");
        command.arg("-D").arg(&data);
        let server = Server::start("postgresql", &mut command, &dir.path().join("log"));
        let ready = || that(server.log().contains("ready to accept connections"), || server.log());
        eventually("PostgreSQL accepts connections", Duration::from_secs(20), ready);
        Self { port, server, _dir: dir }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/postgres`
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }
}

/// SIGQUIT ends its other processes too, and frees what the kernel holds for it.
impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.ended().is_none() {
            self.server.signal(Signal::QUIT);
        }
        let begun = Instant::now();
        while self.server.ended().is_none() && begun.elapsed() < STOP {
            pause();
        }
    }
}

/// A data directory with one role that may log in.
fn init(data: &Path, account: Account) {
    let mut initdb = account.command("initdb");
    initdb.args(["--no-sync", "--auth", "reject", "--username", "postgres", "--locale", "C", "--encoding", "UTF8"]);
    done(initdb.arg("-D").arg(data), "");
    let mut single = account.command("postgres");
    single.args(["--single", "-c", "fsync=off"]).arg("-D").arg(data).arg("postgres");
    done(&mut single, &format!("create role {USER} login password '{PASSWORD}'\n"));
}

/// Runs it to its end, with that as its input.
fn done(command: &mut Command, input: &str) {
    let program = PathBuf::from(command.get_program());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; install it with `sudo apt-get install postgresql`", program.display())
        });
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ERROR"), "{}: {said}", program.display());
}

/// Debian keeps them apart by version, outside of PATH.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    found.unwrap_or_else(|| name.into())
}

impl Account {
    fn find() -> Self {
        if !geteuid().is_root() {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").expect("the system's users");
        let fields = |line: &str| line.split(':').map(ToOwned::to_owned).collect::<Vec<_>>();
        let user = users.lines().map(fields).find(|fields| fields[0] == "postgres");
        let user = user.expect("the package postgresql makes the user postgres; run tests/run");
        Self(Some((user[2].parse().expect("an id"), user[3].parse().expect("an id"))))
    }

    fn own(self, path: &Path) {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group)).expect("root may");
        }
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn command(self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        // It looks for its libraries from here, and may not enter root's directories.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}
