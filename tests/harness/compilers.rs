//! The processes in which an agent compiles, and components that give them much to do.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::agent::Agent;
use super::guests::with_sin;
use super::wait::{eventually, that};

/// For a component to come to its turn, on a machine that others use too.
const TURN: Duration = Duration::from_secs(30);
/// Hundredths of a second of CPU, by which time everything ordinary is compiled.
const MUCH: u64 = 150;

/// A process in which an agent compiles. It is no child of ours: it may end at any time.
#[derive(Debug, Clone, Copy)]
pub struct Compiler(Pid);

impl Compiler {
    /// Those of an agent, now.
    pub fn all(agent: &Agent) -> Vec<Self> {
        let processes = fs::read_dir("/proc").expect("a /proc").flatten();
        let pids = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        pids.map(Self).filter(|process| process.is_of(agent.pid())).collect()
    }

    /// Waits for the only one.
    pub fn only(agent: &Agent) -> Self {
        eventually("the agent compiles one component", TURN, || {
            let all = Self::all(agent);
            that(all.len() == 1, || format!("{all:?}")).map(|()| all[0])
        })
    }

    /// Waits for one that has much to do, whatever the others have.
    pub fn busy(agent: &Agent) -> Self {
        eventually("the agent compiles what takes long", TURN, || {
            let all = Self::all(agent);
            all.iter().find(|compiler| compiler.cpu() >= MUCH).copied().ok_or_else(|| format!("{all:?}"))
        })
    }

    pub fn none(agent: &Agent) -> Result<(), String> {
        let all = Self::all(agent);
        that(all.is_empty(), || format!("{all:?}"))
    }

    pub fn signal(self, signal: Signal) {
        // Unless it has ended.
        let _ = kill_process(self.0, signal);
    }

    /// Keeps it from going on until it is let go.
    pub fn hold(self) -> Held {
        self.signal(Signal::STOP);
        Held(self)
    }

    pub fn has_ended(self) -> bool {
        self.stat().is_none_or(|fields| matches!(fields[0].as_str(), "Z" | "X"))
    }

    /// The most memory that it had, in bytes.
    pub fn peak(self) -> u64 {
        let status = self.read("status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// Hundredths of a second.
    pub fn cpu(self) -> u64 {
        let number = |text: &String| text.parse::<u64>().expect("a number");
        self.stat().map_or(0, |fields| fields[11..13].iter().map(number).sum())
    }

    /// Is it a child of that process that compiles?
    fn is_of(self, parent: u32) -> bool {
        self.stat().is_some_and(|fields| fields[1] == parent.to_string())
            && self.read("cmdline").is_some_and(|line| line.split('\0').any(|word| word == "compile"))
    }

    /// The fields of `/proc/PID/stat` from the state on.
    fn stat(self) -> Option<Vec<String>> {
        let text = self.read("stat")?;
        let (_, fields) = text.rsplit_once(") ")?;
        Some(fields.split(' ').map(str::to_owned).collect())
    }

    fn read(self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok()
    }
}

/// A compiler that stands still.
pub struct Held(Compiler);

impl Held {
    pub fn compiler(&self) -> Compiler {
        self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

/// A good checker of so many functions that take half a second each.
pub fn slow(functions: usize) -> Vec<u8> {
    knotty(functions, 1000, 100)
}

/// A checker whose compiler wants more memory than there is: a gigabyte within three seconds.
pub fn memory_bomb() -> Vec<u8> {
    knotty(1, 5000, 500)
}

/// A checker whose compiler has enough of memory, and works for minutes.
pub fn cpu_bomb() -> Vec<u8> {
    knotty(2, 400, 300)
}

/// A checker with functions whose variables all change in the innermost of loops within loops: a few bytes, for which
/// the compiler's work grows with the third power.
fn knotty(functions: usize, variables: usize, loops: usize) -> Vec<u8> {
    let mut function = format!("(func (local{})\n", " i32".repeat(variables));
    function.push_str(&"loop\n".repeat(loops));
    for n in 0..variables {
        writeln!(function, "local.get {n} i32.const 1 i32.add local.set {n}").expect("text");
    }
    function.push_str(&"local.get 0 br_if 0 end\n".repeat(loops));
    function.push_str(")\n");
    with_sin(&function.repeat(functions))
}
