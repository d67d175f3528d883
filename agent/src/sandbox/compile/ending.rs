//! How a compiler's process ended, in words: whether it says something of the component, and what.
//!
//! A limit that the agent itself was started with may be lower than what a compiler is given. Who then exceeds it is not
//! to blame.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Resource, getrlimit};

use crate::model::checkset::LoadError;

use super::super::captured::truncated;
use super::Caps;
use super::child::{EXIT_REFUSED, EXIT_UNABLE, address_space};

/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;
/// Of what the child said.
const WORDS: usize = 1024;

/// What a main thread has where nobody says otherwise, in bytes.
const STACK: u64 = 8 << 20;

/// The limits that this process was started with, and so its children. None: there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inherited {
    cpu: Option<u64>,
    data: Option<u64>,
    space: Option<u64>,
    file: Option<u64>,
    stack: Option<u64>,
}

impl Inherited {
    pub fn now() -> Self {
        let of = |resource| getrlimit(resource).current;
        Self {
            cpu: of(Resource::Cpu),
            data: of(Resource::Data),
            space: of(Resource::As),
            file: of(Resource::Fsize),
            stack: of(Resource::Stack),
        }
    }
}

/// `said` is its standard error, on one line.
pub fn judge(ended: ExitStatus, said: &str, caps: &Caps, inherited: &Inherited) -> Result<(), LoadError> {
    let text = truncated(said.to_owned(), WORDS);
    match (ended.code(), ended.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(exited(code, text, caps, inherited)),
        (None, signal) => Err(killed(signal.unwrap_or_default(), &text, caps, inherited)),
    }
}

fn exited(code: i32, said: String, caps: &Caps, inherited: &Inherited) -> LoadError {
    // The kernel may have refused memory where the compiler could still say so.
    let no_memory = said.contains("Cannot allocate memory") || said.contains("out of memory");
    match code {
        _ if code == i32::from(EXIT_UNABLE) => LoadError::NoCompiler(said),
        _ if no_memory => memory(caps, inherited),
        _ if code == i32::from(EXIT_REFUSED) => LoadError::Compile(said),
        // As many tasks as the host or the unit may have.
        PANICKED if said.contains("ThreadPoolBuildError") => LoadError::NoCompiler("it got no threads".into()),
        PANICKED => LoadError::Compile(format!("the compiler failed on it: {said}")),
        code => LoadError::NoCompiler(format!("it ended with code {code}: {said}")),
    }
}

fn killed(signal: i32, said: &str, caps: &Caps, inherited: &Inherited) -> LoadError {
    let exceeded = |limit, least, name, or| host_limit(limit, least, name).unwrap_or(LoadError::Compile(or));
    match signal {
        libc::SIGXCPU => {
            let ours = format!("compiling it took more than {} s of CPU", caps.cpu);
            exceeded(inherited.cpu, caps.cpu, "CPU (ulimit -t)", ours)
        }
        libc::SIGXFSZ => {
            let ours = format!("its code has more than {} MiB", caps.code >> 20);
            exceeded(inherited.file, caps.code, "FSIZE (ulimit -f)", ours)
        }
        // What Rust says and does when an allocation fails.
        libc::SIGABRT if said.contains("memory allocation of") => memory(caps, inherited),
        libc::SIGABRT if said.contains("overflowed its stack") => {
            let ours = "it is nested too deep for the compiler".to_owned();
            exceeded(inherited.stack, STACK, "STACK (ulimit -s)", ours)
        }
        libc::SIGABRT => crashed("SIGABRT"),
        libc::SIGSEGV => crashed("SIGSEGV"),
        libc::SIGBUS => crashed("SIGBUS"),
        libc::SIGILL => crashed("SIGILL"),
        libc::SIGFPE => crashed("SIGFPE"),
        libc::SIGTRAP => crashed("SIGTRAP"),
        // That says nothing of the component: others may have used the memory.
        libc::SIGKILL => LoadError::NoCompiler(
            "it was killed (SIGKILL), as the kernel does where the memory of a host or container runs out".into(),
        ),
        libc::SIGSYS => LoadError::NoCompiler("a filter of system calls stopped it (SIGSYS)".into()),
        signal => LoadError::NoCompiler(format!("signal {signal} ended it")),
    }
}

fn memory(caps: &Caps, inherited: &Inherited) -> LoadError {
    host_limit(inherited.data, caps.memory, "DATA (ulimit -d)")
        .or_else(|| host_limit(inherited.space, address_space(caps), "AS (ulimit -v)"))
        .unwrap_or_else(|| {
            LoadError::Compile(format!("compiling it took more than {} MiB of memory", caps.memory >> 20))
        })
}

/// What the agent has is less than a compiler may take.
fn host_limit(limit: Option<u64>, least: u64, name: &str) -> Option<LoadError> {
    let limit = limit.filter(|limit| *limit < least)?;
    let text = format!("the agent was started with the limit {name} at {limit}, and compiling it takes more; raise it");
    Some(LoadError::NoCompiler(text))
}

fn crashed(signal: &str) -> LoadError {
    LoadError::Compile(format!("the compiler crashed on it ({signal})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As waitpid(2) tells them.
    fn exit(code: u8, said: &str) -> Result<(), LoadError> {
        judge(ExitStatus::from_raw(i32::from(code) << 8), said, &Caps::of(1 << 20), &Inherited::default())
    }

    fn signal(signal: i32, said: &str) -> Result<(), LoadError> {
        judge(ExitStatus::from_raw(signal), said, &Caps::of(1 << 20), &Inherited::default())
    }

    fn compile(text: &str) -> Result<(), LoadError> {
        Err(LoadError::Compile(text.into()))
    }

    #[test]
    fn what_the_component_did_is_said_of_the_component() {
        assert_eq!(exit(0, "whatever"), Ok(()));
        assert_eq!(exit(EXIT_REFUSED, "unexpected end"), compile("unexpected end"));
        assert_eq!(signal(libc::SIGXCPU, ""), compile("compiling it took more than 35 s of CPU"));
        let memory = compile("compiling it took more than 2064 MiB of memory");
        assert_eq!(signal(libc::SIGABRT, "memory allocation of 1073741824 bytes failed"), memory);
        assert_eq!(exit(EXIT_REFUSED, "mmap: Cannot allocate memory (os error 12)"), memory);
        assert_eq!(signal(libc::SIGXFSZ, ""), compile("its code has more than 24 MiB"));
        assert!(matches!(signal(libc::SIGKILL, ""), Err(LoadError::NoCompiler(text)) if text.contains("memory")));
        assert_eq!(signal(libc::SIGSEGV, ""), compile("the compiler crashed on it (SIGSEGV)"));
        let deep = "thread 'main' (7) has overflowed its stack fatal runtime error: stack overflow, aborting";
        assert_eq!(signal(libc::SIGABRT, deep), compile("it is nested too deep for the compiler"));
        assert_eq!(exit(101, "thread panicked: x"), compile("the compiler failed on it: thread panicked: x"));
    }

    #[test]
    fn what_the_host_did_is_not() {
        let host = |ended: Result<(), LoadError>| matches!(ended, Err(LoadError::NoCompiler(_)));
        assert!(host(exit(EXIT_UNABLE, "it cannot limit itself: Operation not permitted")));
        assert!(host(exit(EXIT_UNABLE, "its code cannot be handed over: Cannot allocate memory (os error 12)")));
        assert!(host(exit(101, "ThreadPoolBuildError { kind: IOError(Os { code: 11 }) }")));
        for number in [libc::SIGTERM, libc::SIGSYS, libc::SIGHUP] {
            assert!(host(signal(number, "")), "signal {number}");
        }
    }

    #[test]
    fn nor_what_exceeds_the_limits_of_the_host() {
        let caps = Caps::of(1 << 20);
        let ended = |number, said, inherited: Inherited| judge(ExitStatus::from_raw(number), said, &caps, &inherited);
        let allocation = "memory allocation of 7 bytes failed";
        let low = Some(1 << 20);
        for (number, said, inherited, name) in [
            (libc::SIGXFSZ, "", Inherited { file: low, ..Inherited::default() }, "ulimit -f"),
            (libc::SIGXCPU, "", Inherited { cpu: Some(1), ..Inherited::default() }, "ulimit -t"),
            (libc::SIGABRT, allocation, Inherited { data: low, ..Inherited::default() }, "ulimit -d"),
            (libc::SIGABRT, allocation, Inherited { space: low, ..Inherited::default() }, "ulimit -v"),
            (libc::SIGABRT, "overflowed its stack", Inherited { stack: low, ..Inherited::default() }, "ulimit -s"),
        ] {
            let ended = ended(number, said, inherited);
            assert!(matches!(&ended, Err(LoadError::NoCompiler(text)) if text.contains(name)), "{ended:?}");
        }
        // A limit that leaves room for the cap is not what was exceeded.
        let wide = Inherited { file: Some(caps.code), data: Some(caps.memory), ..Inherited::default() };
        assert!(matches!(ended(libc::SIGXFSZ, "", wide), Err(LoadError::Compile(_))));
        assert!(matches!(ended(libc::SIGABRT, allocation, wide), Err(LoadError::Compile(_))));
    }

    #[test]
    fn words_are_capped() {
        let Err(LoadError::Compile(text)) = exit(EXIT_REFUSED, &"x".repeat(100_000)) else { panic!("refused") };
        assert!(text.len() < WORDS + 8);
    }
}
