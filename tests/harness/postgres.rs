//! A real PostgreSQL with a data directory of its own, without durability; and a standby of it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
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
const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);
/// Who may log in how: but for the tests themselves and a crowd, nobody without the password.
const RULES: &str = "\
    local all postgres trust\n\
    local replication postgres trust\n\
    host all crowd 127.0.0.1/32 trust\n\
    host all banned 127.0.0.1/32 reject\n\
    host all all 127.0.0.1/32 scram-sha-256\n";
/// How many connections a server takes, those of superusers apart.
pub const PLACES: usize = 17;

pub struct Postgres {
    port: u16,
    account: Account,
    server: Server,
    dir: TempDir,
}

/// Who the server runs as, where that is not who the tests run as: it refuses root.
#[derive(Debug, Clone, Copy)]
pub struct Account(Option<(u32, u32)>);

impl Postgres {
    pub fn start() -> Self {
        Self::prepared(|_, _| "")
    }

    /// One with these settings too.
    pub fn with(settings: &'static str) -> Self {
        Self::prepared(|_, _| settings)
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
        init(&dir.path().join("data"), account);
        let more = prepare(&dir.path().join("data"), account);
        let postgres = Self::launched(dir, account, more);
        postgres.is_ready();
        postgres
    }

    /// One that copies this one.
    pub fn standby(&self) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        self.account.own(dir.path());
        let mut copy = self.client("pg_basebackup");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        done(copy.arg("-D").arg(dir.path().join("data")), "");
        let standby = Self::launched(dir, self.account, "");
        standby.is_ready();
        standby
    }

    /// One that replays an archive which never gives anything: it is starting up.
    pub fn starting_up() -> Self {
        let account = Account::find();
        let dir = tempfile::tempdir().expect("a temporary directory");
        account.own(dir.path());
        init(&dir.path().join("data"), account);
        fs::write(dir.path().join("data/recovery.signal"), "").expect("a file");
        account.own(&dir.path().join("data/recovery.signal"));
        let postgres = Self::launched(dir, account, "restore_command = 'sleep 600'\n");
        let mut ask = postgres.client("pg_isready");
        let refuses = || that(ask.output().is_ok_and(|said| said.status.code() == Some(1)), || postgres.log());
        eventually("PostgreSQL answers that it is starting up", START, refuses);
        postgres
    }

    fn launched(dir: TempDir, account: Account, more: &str) -> Self {
        let (data, port) = (dir.path().join("data"), free_port());
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nfsync = off\n\
             shared_buffers = 16MB\nmax_connections = {}\n{more}",
            dir.path().display(),
            PLACES + 3
        );
        fs::write(data.join("postgresql.conf"), settings).expect("settings");
        fs::write(data.join("pg_hba.conf"), RULES).expect("rules");
        let server = launch(&dir, account);
        Self { port, account, server, dir }
    }

    fn is_ready(&self) {
        let mut ask = self.client("pg_isready");
        ask.stdout(Stdio::null());
        let ready = || that(ask.status().is_ok_and(|status| status.success()), || self.log());
        eventually("PostgreSQL accepts connections", START, ready);
    }

    /// Whom the checks log in as, and by which password.
    pub fn user() -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    pub fn account(&self) -> Account {
        self.account
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/postgres`
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Does this as a superuser; returns what it answers.
    pub fn sql(&self, text: &str) -> String {
        let mut psql = self.client("psql");
        done(psql.args(["-d", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]), text)
    }

    /// A session of a user of its own, which lasts as long as what is returned.
    pub fn session(&self) -> TcpStream {
        self.try_session().expect("there is a place")
    }

    /// None where the server takes no more.
    pub fn try_session(&self) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts connections");
        let said = b"\0\x03\0\0user\0crowd\0database\0postgres\0\0";
        let length = u32::try_from(said.len() + 4).expect("a short message");
        stream.write_all(&length.to_be_bytes()).and_then(|()| stream.write_all(said)).expect("it reads");
        // What it may do, or why not; then all that a session begins with, up to the state of it.
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"Z\0\0\0\x05I") {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => answer.extend_from_slice(&buffer[..read]),
                _ => return None,
            }
        }
        Some(stream)
    }

    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Ends its sessions and stops.
    pub fn stop(&mut self) {
        self.server.signal(Signal::INT);
        self.ended();
    }

    /// Waits until it has stopped by itself.
    pub fn ended(&mut self) {
        self.server.end(STOP);
    }

    /// Starts again where it was.
    pub fn restart(&mut self) {
        self.server = launch(&self.dir, self.account);
        self.is_ready();
    }

    /// A program that comes as a superuser.
    fn client(&self, program: &str) -> Command {
        let mut command = self.account.command(program);
        command.arg("-h").arg(self.dir.path()).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        command
    }
}

fn launch(dir: &TempDir, account: Account) -> Server {
    let mut command = account.command("postgres");
    command.arg("-D").arg(dir.path().join("data"));
    Server::start("postgresql", &mut command, &dir.path().join("log"))
}

/// SIGQUIT ends its other processes too, and frees what the kernel holds for it.
impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.ended().is_none() {
            self.server.signal(Signal::CONT);
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
    let roles = format!("create role {USER} login password '{PASSWORD}'\ncreate role crowd login\n");
    let mut single = account.command("postgres");
    single.args(["--single", "-c", "fsync=off"]).arg("-D").arg(data).arg("postgres");
    done(&mut single, &roles);
}

/// Runs it to its end, with that as its input; returns what it said.
fn done(command: &mut Command, input: &str) -> String {
    let program = PathBuf::from(command.get_program());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; install it with `sudo apt-get install postgresql`", program.display())
        });
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ERROR"), "{}: {said}", program.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
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

    pub fn own(self, path: &Path) {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group)).expect("root may");
        }
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn command(self, name: &str) -> Command {
        self.run(program(name))
    }

    pub fn run(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // It looks for its libraries from here, and may not enter root's directories.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}
