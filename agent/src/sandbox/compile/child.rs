//! The process that compiles: `vitald compile`. A component from standard input, its code to standard output; what is
//! wrong with it in one line to standard error.
//!
//! Before it reads the component it gives up what it does not need. Memory is capped by RLIMIT_DATA, which counts what
//! is private and can be written: stacks, heaps and nothing that is only reserved, as allocators do with 64 MiB for each
//! thread. RLIMIT_AS behind it holds what that does not count. The kernel ends a process that takes more CPU or writes
//! more code than it may; where there is no more memory, Rust ends it.

use std::io::{self, Read as _, Write as _};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::super::captured::one_line;
use super::super::engine;
use super::Caps;

/// The component does not compile; standard error says why (`EX_DATAERR` of sysexits.h).
pub const EXIT_REFUSED: u8 = 65;
/// Says nothing of the component (`EX_OSERR`).
pub const EXIT_UNABLE: u8 = 71;

/// Address space beyond what is memory: the program itself, and what allocators reserve.
const RESERVED: u64 = 4 << 30;
/// It opens nothing.
const FILES: u64 = 32;
/// Behind everything else that wants the processor.
const NICE: i32 = 5;
/// Until the kernel kills what is told that its CPU time is over.
const GRACE: u64 = 5;

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error("it cannot limit itself: {0}")]
    Limits(rustix::io::Errno),
    #[error("the component did not come whole: {0}")]
    Input(io::Error),
    #[error("its code cannot be handed over: {0}")]
    Output(io::Error),
    #[error("there is no engine: {0:#}")]
    Engine(wasmtime::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        if matches!(self, Self::Refused(_)) { EXIT_REFUSED } else { EXIT_UNABLE }
    }
}

/// Returns the exit code.
pub fn main() -> u8 {
    match compile() {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", one_line(&failure.to_string()));
            failure.code()
        }
    }
}

fn compile() -> Result<(), Failure> {
    give_up().map_err(Failure::Limits)?;
    let mut stdin = io::stdin().lock();
    let mut length = [0; 8];
    stdin.read_exact(&mut length).map_err(Failure::Input)?;
    let length = u64::from_le_bytes(length);
    limit(&Caps::of(length)).map_err(Failure::Limits)?;
    let mut bytes = Vec::new();
    stdin.take(length).read_to_end(&mut bytes).map_err(Failure::Input)?;
    // Who gives it has died.
    if u64::try_from(bytes.len()).ok() != Some(length) {
        return Err(Failure::Input(io::ErrorKind::UnexpectedEof.into()));
    }
    let engine = engine::to_compile().map_err(Failure::Engine)?;
    let code = engine.precompile_component(&bytes).map_err(|error| Failure::Refused(format!("{error:#}")))?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code).and_then(|()| stdout.flush()).map_err(Failure::Output)
}

fn give_up() -> rustix::io::Result<()> {
    close_inherited();
    // What is run is `/proc/self/exe`, and would be named so.
    rustix::thread::set_name(c"vitald-compile")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    cap(Resource::Core, 0, 0)?;
    cap(Resource::Nofile, FILES, FILES)?;
    be_nice();
    // Killed first where memory runs out. If it cannot be said, the caps are there.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// What was left open for the agent by whoever started it is nothing for a compiler. Linux before 5.9 does not know how.
#[expect(unsafe_code, reason = "no safe function closes what nobody has opened here")]
fn close_inherited() {
    // SAFETY: this process has opened nothing yet, so nothing owns a descriptor from 3 on.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// A process may be nicer already, and then may not be less so. None of it is worth failing for.
fn be_nice() {
    if rustix::process::getpriority_process(None).is_ok_and(|now| now < NICE) {
        let _ = rustix::process::setpriority_process(None, NICE);
    }
}

fn limit(caps: &Caps) -> rustix::io::Result<()> {
    cap(Resource::Cpu, caps.cpu, caps.cpu.saturating_add(GRACE))?;
    cap(Resource::Data, caps.memory, caps.memory)?;
    let space = address_space(caps);
    cap(Resource::As, space, space)?;
    cap(Resource::Fsize, caps.code, caps.code)
}

pub fn address_space(caps: &Caps) -> u64 {
    caps.memory.saturating_add(RESERVED)
}

/// Never raises what is lower already: what is compiled may do with less. If it does not, see `ending`.
fn cap(resource: Resource, soft: u64, hard: u64) -> rustix::io::Result<()> {
    let now = getrlimit(resource);
    let lower = |now: Option<u64>, cap: u64| Some(now.map_or(cap, |now| now.min(cap)));
    setrlimit(resource, Rlimit { current: lower(now.current, soft), maximum: lower(now.maximum, hard) })
}
