//! A process with a log, killed when it is dropped; a test that fails shows the log's end.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// How much of a log a failing test shows.
const SHOWN: usize = 200;

pub struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it; both of its outputs are added to the log. `package` is what to install where it is missing.
    pub fn start(package: &str, command: &mut Command, log: &Path) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a second handle")).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{name} cannot be started: {error}; install it with `sudo apt-get install {package}`, or run tests/run"
            )
        });
        Self { name, child, log: log.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{} cannot be signalled: {error}", self.name));
    }

    /// SIGKILL: no farewell.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("a child can be waited for")?;
        Some(status.code().unwrap_or_else(|| panic!("{} was ended by a signal: {status}", self.name)))
    }

    /// Its exit code, once it has ended.
    pub fn end(&mut self, budget: Duration) -> i32 {
        let what = format!("{} ends", self.name);
        eventually(&what, budget, || self.ended().ok_or_else(|| "it runs".to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.lines().count().saturating_sub(SHOWN);
            let end = log.lines().skip(from).collect::<Vec<_>>().join("\n");
            eprintln!("---- the log of {} ----\n{end}\n----", self.name);
        }
    }
}
