//! Running the tools of a language: compilers, package managers, tests. Each has a process group of its own, and nothing
//! of it is left when we are asked to end: Ctrl-C ends the group, not only the program that was started.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// What is kept of an output that is read: cargo writes a line for each crate.
const MAX_OUTPUT: u64 = 16 << 20;
/// For a tool that is asked to end, to remove what it has half done.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{program} is not installed: {}", install(program))]
    Missing { program: String },
    #[error("{} is gone", .0.display())]
    Gone(PathBuf),
    #[error("{program} cannot be run: {source}")]
    Run { program: String, source: io::Error },
    #[error("{program} {what}; see above")]
    Failed { program: String, what: String },
    #[error("interrupted")]
    Interrupted,
}

/// What ends us: Ctrl-C, SIGTERM, the end of the terminal.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    /// In a runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = self.hang_up.recv() => (),
        }
    }
}

/// How a tool ended, and what of its outputs was read.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs it to its end. Outputs that the command does not redirect are ours.
pub async fn run(command: &mut Command, signals: &mut Signals) -> Result<Ran, ToolError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let dir = command.as_std().get_current_dir().map(Path::to_owned);
    let failed = |source: io::Error| match (source.kind(), dir.as_ref().filter(|dir| !dir.is_dir())) {
        (_, Some(dir)) => ToolError::Gone(dir.clone()),
        (io::ErrorKind::NotFound, None) => ToolError::Missing { program: program.clone() },
        _ => ToolError::Run { program: program.clone(), source },
    };
    let mut child = command.spawn().map_err(failed)?;
    let mut group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::select! {
        (status, stdout, stderr) = async { tokio::join!(child.wait(), read(stdout), read(stderr)) } => {
            group.0 = None;
            Some(status.map(|status| Ran { status, stdout, stderr }))
        }
        () = signals.next() => None,
    };
    match ended {
        Some(ran) => ran.map_err(failed),
        None => {
            group.end(&mut child).await;
            Err(ToolError::Interrupted)
        }
    }
}

/// As [`run`]; that it failed is an error.
pub async fn succeed(command: &mut Command, signals: &mut Signals) -> Result<Ran, ToolError> {
    let ran = run(command, signals).await?;
    if ran.status.success() {
        return Ok(ran);
    }
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let what = ran.status.code().map_or_else(|| ran.status.to_string(), |code| format!("exited with {code}"));
    Err(ToolError::Failed { program, what })
}

/// Output that is not ours to read is none.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let kept = (&mut pipe).take(MAX_OUTPUT).read_to_end(&mut bytes).await;
        if kept.is_ok() {
            // Whoever writes more must not wait for us.
            let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
        }
    }
    bytes
}

/// The process group of a child that has not ended; killed when it is dropped.
#[derive(Debug)]
pub struct Group(Option<u32>);

impl Group {
    /// Of a child that was started as the first of its group.
    pub fn of(child: &Child) -> Self {
        Self(child.id())
    }

    async fn end(&mut self, child: &mut Child) {
        self.signal(Signal::TERM);
        // Late or not: what is left of the group goes when this is dropped.
        let _ = tokio::time::timeout(FAREWELL, child.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        let pid = self.0.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // Nobody may be left.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// How to have a program.
fn install(program: &str) -> &'static str {
    match program {
        "cargo" | "rustc" | "rustup" => {
            "get Rust from https://rustup.rs, or by `curl --proto '=https' -sSf https://sh.rustup.rs | sh`"
        }
        "npm" => "`apt-get install nodejs npm`, or see https://nodejs.org",
        "make" => "`apt-get install make`",
        _ => "its package is your system's to say",
    }
}
