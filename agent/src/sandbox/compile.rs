//! Compiles components, each in a process of its own: `vitald compile`, started from the file that this process runs.
//!
//! Who writes a component writes the compiler's input, and may make it need any time and any memory, or crash. It costs
//! that process, which has less of everything than we (see `child`), and is killed before us where memory runs out. How
//! it died is said in words (see `ending`). What this does not stop is a component that takes the compiler over: the code
//! that comes back is run.
//!
//! The bytes go in through a pipe, their length before them. The code comes back in a file in memory, so that none of it
//! is ever held twice, and a component cannot make us hold more than the file may have.

pub mod child;
mod ending;
mod turns;

use std::io::{self, Write as _};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};

use crate::model::checkset::LoadError;
use crate::supervise::Supervisor;

use self::ending::Inherited;
use self::turns::Turns;
use super::captured::one_line;
use super::code::Code;
use super::metrics::CompileMetrics;

/// Threads of a child, where there are as many cores.
const THREADS: usize = 4;
/// A child may be starved by everything else on the host, but not for ever.
const PATIENCE: Duration = Duration::from_secs(600);
/// A failure that took longer is worth remembering.
const COSTLY: Duration = Duration::from_secs(1);
/// What is kept of a child's words.
const WORDS: u64 = 16 << 10;

/// Does this program answer to `vitald compile`?
static CHILDREN: OnceLock<()> = OnceLock::new();

/// To be said by a program that answers to `vitald compile`. All others (tests, benches) compile in themselves.
pub fn in_children() {
    let _ = CHILDREN.set(());
}

/// What compiling a component may cost. It grows with the component, so that a small one cannot cost much: Python's,
/// of 18 MiB, needs 8 s and 400 MiB, and makes 33 MiB of code. One function of a few KiB can need 700 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Seconds, of all threads together.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub code: u64,
}

impl Caps {
    /// For a component of so many bytes.
    pub fn of(wasm: u64) -> Self {
        let mib = wasm.div_ceil(1 << 20);
        Self {
            cpu: mib.saturating_mul(5).saturating_add(30),
            memory: mib.saturating_mul(16 << 20).saturating_add(2 << 30),
            code: mib.saturating_mul(8 << 20).saturating_add(16 << 20),
        }
    }
}

/// Starts the children, few at once.
pub struct Compilers {
    turns: Turns,
    supervisor: Supervisor,
    metrics: CompileMetrics,
}

/// What came of compiling.
#[derive(Debug)]
pub struct Made {
    pub code: Result<Code, LoadError>,
    /// How long that took.
    pub took: Duration,
}

impl Made {
    /// Why it does not compile, if the same component should not cost that again. What took all the time there is may
    /// have been starved.
    pub fn costly_failure(&self) -> Option<&str> {
        let costly = self.took >= COSTLY && self.took < PATIENCE;
        match &self.code {
            Err(LoadError::Compile(why)) if costly => Some(why),
            _ => None,
        }
    }
}

impl Compilers {
    pub fn new(supervisor: Supervisor, metrics: CompileMetrics) -> Self {
        Self { turns: Turns::new(), supervisor, metrics }
    }

    /// Waits for its turn, then compiles. To be polled on the control runtime: the child dies with the thread that
    /// starts it.
    pub async fn compile(&self, engine: &wasmtime::Engine, bytes: Arc<[u8]>) -> Made {
        self.turns.take(|| self.attempt(engine, &bytes)).await
    }

    async fn attempt(&self, engine: &wasmtime::Engine, bytes: &Arc<[u8]>) -> Made {
        let _compiling = self.metrics.begin();
        let begun = Instant::now();
        let code = if CHILDREN.get().is_some() {
            in_child(bytes).await
        } else {
            let (engine, bytes) = (engine.clone(), bytes.clone());
            let made = self.supervisor.blocking(move || here(&engine, &bytes)).await;
            made.unwrap_or_else(|_| Err(LoadError::Compile("the compiler failed on it".into())))
        };
        let took = begun.elapsed();
        if code.is_ok() {
            self.metrics.seconds.observe(took.as_secs_f64());
        }
        Made { code, took }
    }
}

/// Compiles in this process. Blocking.
fn here(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<Code, LoadError> {
    let code = engine.precompile_component(bytes);
    let code = code.map_err(|error| LoadError::Compile(one_line(&format!("{error:#}"))))?;
    let written = Code::in_memory().and_then(|mut file| file.write_all(&code).map(|()| Code::new(file)));
    written.map_err(|error| no_compiler("no file in memory can be had for its code", &error))
}

async fn in_child(bytes: &[u8]) -> Result<Code, LoadError> {
    let no_memory = |error| no_compiler("no file in memory can be had for its code", &error);
    let file = Code::in_memory().map_err(no_memory)?;
    let mut child = command(file.try_clone().map_err(no_memory)?)
        .spawn()
        .map_err(|error| no_compiler("the compiler (/proc/self/exe) cannot be started", &error))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let all = async { tokio::join!(give(stdin, bytes), listen(stderr), child.wait()) };
    // Dropping the child kills it.
    let Ok(((), said, ended)) = tokio::time::timeout(PATIENCE, all).await else {
        return Err(LoadError::Compile(format!("compiling it took more than {} min", PATIENCE.as_secs() / 60)));
    };
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let ended = ended.map_err(|error| no_compiler("it cannot be waited for", &error))?;
    ending::judge(ended, &said, &Caps::of(size), &Inherited::now())?;
    Ok(Code::new(file))
}

fn no_compiler(what: &str, error: &io::Error) -> LoadError {
    LoadError::NoCompiler(format!("{what}: {error}"))
}

/// Nothing of ours goes with it: no environment, no directory, no open file, not the terminal's signals.
fn command(code: std::fs::File) -> Command {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    // What this process runs, also if another version was installed over it.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("vitald")
        .arg("compile")
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(code)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A child that does not take everything has died, and how is known from that.
async fn give(stdin: Option<ChildStdin>, bytes: &[u8]) {
    let Some(mut stdin) = stdin else { return };
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
    if stdin.write_all(&length).await.is_ok() {
        let _ = stdin.write_all(bytes).await;
    }
}

async fn listen(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(WORDS).read_to_end(&mut said).await;
    }
    one_line(&String::from_utf8_lossy(&said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_component_cannot_cost_much() {
        assert_eq!(Caps::of(1), Caps { cpu: 35, memory: 2064 << 20, code: 24 << 20 });
        assert_eq!(Caps::of(64 << 20), Caps { cpu: 350, memory: 3072 << 20, code: 528 << 20 });
        // Whatever length is told.
        let most = Caps::of(u64::MAX);
        assert!(most.cpu > 350 && most.memory > 3072 << 20 && most.code > 528 << 20);
    }
}
