//! The real agent: started as a user starts it, asked as others ask it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::child::Server;
use super::http::{Answer, request};
use super::metrics::Metrics;
use super::site::Site;
use super::wait::{blink, eventually, pause, that};

/// DESIGN 6: a body is rendered at most once in 100 ms.
const RENDERED: Duration = Duration::from_millis(110);
const START: Duration = Duration::from_secs(20);
/// For a change of status or of a plugin, on a machine that others use too.
const SOON: Duration = Duration::from_secs(15);

/// The program under test: `$VITALD_BIN`, or the one beside this test.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("VITALD_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(2).expect("<target>/release/deps/<test>").join("vitald");
    assert!(path.exists(), "there is no {}: run `cargo build --release` first", path.display());
    path
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub fn vitald(arguments: &[&str]) -> Ended {
    ended(command().args(arguments))
}

/// Runs a command that asks the agent of a site, to its end.
pub fn vitald_of(site: &Site, arguments: &[&str]) -> Ended {
    ended(command().args(arguments).arg("--config").arg(site.main()).env("RUNTIME_DIRECTORY", site.run_dir()))
}

/// Runs it to its end.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program can be started");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("ended by itself");
    Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn command() -> Command {
    command_of(&program())
}

fn command_of(program: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in ["RUST_LOG", "NODE_NAME", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(variable);
    }
    command
}

pub struct Agent {
    url: String,
    server: Server,
}

impl Agent {
    pub fn start(site: &Site, arguments: &[&str]) -> Self {
        let main = site.main();
        let mut run = command();
        run.arg("run").arg("--config").arg(main).args(arguments).env("RUNTIME_DIRECTORY", site.run_dir());
        Self::answering(run, site)
    }

    /// Another build of the agent, with these variables.
    pub fn start_program(site: &Site, program: &Path, variables: &[(&str, &OsStr)]) -> Self {
        let mut run = command_of(program);
        run.arg("run").arg("--config").arg(site.main()).envs(variables.iter().copied());
        run.env("RUNTIME_DIRECTORY", site.run_dir());
        Self::answering(run, site)
    }

    /// Asks it from its start on, until it answers as wanted; returns how long that took. What it says is not waited for.
    pub fn start_timed(site: &Site, path: &str, wanted: impl Fn(&Answer) -> bool) -> (Self, Duration) {
        let mut run = command();
        run.arg("run").arg("--config").arg(site.main()).env("RUNTIME_DIRECTORY", site.run_dir());
        let begun = Instant::now();
        let server = Server::start("", &mut run, &site.log());
        let agent = Self { url: format!("http://127.0.0.1:{}", site.port()), server };
        loop {
            match agent.try_get(path) {
                Ok(answer) if wanted(&answer) => return (agent, begun.elapsed()),
                seen => assert!(begun.elapsed() < START, "not as wanted within {START:?}: {seen:?}"),
            }
            blink();
        }
    }

    /// `vitald demo`
    pub fn demo(site: &Site) -> Self {
        let mut demo = command();
        demo.arg("demo");
        Self::answering(demo, site)
    }

    /// Waits until it says where it answers (of all the agents that wrote to this log, the last), and does.
    fn answering(mut command: Command, site: &Site) -> Self {
        let before = std::fs::read_to_string(site.log()).unwrap_or_default().len();
        let mut server = Server::start("", &mut command, &site.log());
        let url = eventually("the agent says where it answers", START, || {
            if let Some(code) = server.ended() {
                panic!("the agent ended with {code}");
            }
            let log = server.log();
            let url =
                log[before..].split("answers at http").nth(1).and_then(|rest| rest.split([' ', ';', '\n', '"']).next());
            url.map(|rest| format!("http{rest}")).ok_or(log)
        });
        let agent = Self { url, server };
        eventually("the agent answers", START, || agent.try_get("/health/live").map(drop));
        agent
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// `VmRSS`: the memory that it has, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the agent lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a number");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    pub fn log(&self) -> String {
        self.server.log()
    }

    pub fn try_get(&self, path: &str) -> Result<Answer, String> {
        request("GET", &format!("{}{path}", self.url), &[])
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `/health/checks/{name}`
    pub fn check(&self, name: &str) -> Value {
        self.get(&format!("/health/checks/{name}")).json()
    }

    /// `/metrics`, no older than this call: a body may have been rendered 100 ms ago.
    pub fn metrics(&self) -> Metrics {
        let asked = Instant::now();
        while asked.elapsed() < RENDERED {
            pause();
        }
        Metrics::parse(&self.get("/metrics").body).unwrap_or_else(|error| panic!("/metrics cannot be parsed: {error}"))
    }

    /// A plugin in `/api/v1/plugins`.
    pub fn plugin(&self, name: &str) -> Option<Value> {
        let plugins = self.get("/api/v1/plugins").json();
        plugins["plugins"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == name).cloned()
    }

    /// Is `/health` this code now?
    pub fn answers(&self, path: &str, code: u16) -> Result<(), String> {
        let answer = self.try_get(path)?;
        that(answer.code == code, || format!("{path} {}: {}", answer.code, answer.body))
    }

    /// Has a check this status now?
    pub fn shows(&self, check: &str, status: &str) -> Result<(), String> {
        let seen = self.check(check);
        that(seen["status"] == status, || seen.to_string())
    }

    /// Is a check UNKNOWN for that reason now?
    pub fn unknown(&self, check: &str, reason: &str) -> Result<(), String> {
        let seen = self.check(check);
        that(seen["status"] == "UNKNOWN" && seen["reason"] == reason, || seen.to_string())
    }

    /// Waits for it.
    pub fn until(&self, check: &str, status: &str) {
        eventually(&format!("{check} is {status}"), SOON, || self.shows(check, status));
    }

    /// Waits for it; returns what is shown.
    pub fn until_unknown(&self, check: &str, reason: &str) -> Value {
        eventually(&format!("{check} is UNKNOWN ({reason})"), SOON, || self.unknown(check, reason));
        self.check(check)
    }

    /// Waits until `/health` has this code.
    pub fn until_health(&self, code: u16) {
        eventually(&format!("/health is {code}"), SOON, || self.answers("/health", code));
    }

    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Its exit code, once it has ended.
    pub fn end(&mut self, budget: Duration) -> i32 {
        self.server.end(budget)
    }

    /// Its exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.server.ended()
    }
}
