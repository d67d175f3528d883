//! `vitald plugin dev`: builds a plugin, runs its check again and again, and builds anew whenever a file of the project
//! changes. A build that fails is shown, and the one before runs on. It ends with Ctrl-C, and leaves what was built.

mod rig;
mod runner;
mod sources;

use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::cli::EXIT_USAGE;
use crate::cli::ask::print;
use crate::cli::table::{coloured, one_line, wants_colour};
use crate::cli::trial::flags::Flags;
use crate::clock;
use crate::model::name::InvalidName;
use crate::model::time::rfc3339;

use self::rig::Rig;
use self::runner::{Runner, Verdict, next};
use self::sources::Sources;
use super::build::{Built, make, place};
use super::fault::Fault;
use super::inspect::size;
use super::project::Project;
use super::tools::{Signals, ToolError};
use super::work;

/// How often the project's files are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Runs are at least so far apart.
const SHORTEST: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// What wins over the project's check.toml.
    #[command(flatten)]
    flags: Flags,
    /// From run to run.
    #[arg(long, value_name = "LENGTH", default_value = "2s", value_parser = length)]
    interval: Duration,
    /// Also put each good build into this plugin directory.
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
}

impl Arguments {
    /// What is wrong with them would else be found after the first build, which takes its time.
    fn check(&self) -> Result<(), String> {
        let name = "dev".parse().map_err(|error: InvalidName| error.to_string())?;
        self.flags.definition(&name).map_err(|error| error.to_string())?;
        match self.install.as_deref().filter(|dir| !dir.is_dir()) {
            Some(dir) => Err(format!("--install {}: there is no such directory; make it first", dir.display())),
            None => Ok(()),
        }
    }
}

pub fn dev(arguments: &Arguments) -> u8 {
    if let Err(problem) = arguments.check() {
        let lines: Vec<String> = problem.lines().map(one_line).collect();
        eprintln!("vitald: {}", lines.join("\n"));
        return EXIT_USAGE;
    }
    let worked = work(async |signals| {
        let project = Project::at(&arguments.dir)?;
        match Session::new(arguments, project)?.go_on(signals).await {
            // It was asked to end: that is how this command ends.
            Err(Fault::Tool(ToolError::Interrupted)) => Ok(()),
            ended => ended,
        }
    });
    match worked {
        Ok(()) => 0,
        Err(fault) => fault.report(),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if length < SHORTEST { Err(format!("at least {SHORTEST:?}")) } else { Ok(length) }
}

struct Session<'a> {
    arguments: &'a Arguments,
    project: Project,
    rig: Rig,
    /// Of the last good build.
    runner: Option<Runner>,
    /// Of the last run.
    shown: Option<Verdict>,
    /// What the last build was made from.
    seen: Sources,
    colour: bool,
}

impl<'a> Session<'a> {
    fn new(arguments: &'a Arguments, project: Project) -> Result<Self, Fault> {
        let colour = wants_colour(std::io::stdout().is_terminal());
        Ok(Self { arguments, project, rig: Rig::new()?, runner: None, shown: None, seen: Sources::default(), colour })
    }

    /// For as long as nobody ends it.
    async fn go_on(&mut self, signals: &mut Signals) -> Result<(), Fault> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                verdict = next(&mut self.runner) => self.show(verdict),
                () = signals.next() => return Err(ToolError::Interrupted.into()),
                _ = looks.tick() => {
                    let found = Sources::of(&self.project.dir);
                    if found != self.seen {
                        self.seen = self.settled(found, signals).await?;
                        self.build(signals).await?;
                    }
                }
            }
        }
    }

    /// An editor may be writing several files: it has ended when nothing changes any more.
    async fn settled(&self, mut found: Sources, signals: &mut Signals) -> Result<Sources, Fault> {
        loop {
            rest(LOOK / 2, signals).await?;
            let again = Sources::of(&self.project.dir);
            if again == found {
                return Ok(found);
            }
            found = again;
        }
    }

    /// Runs go on meanwhile.
    async fn build(&mut self, signals: &mut Signals) -> Result<(), Fault> {
        let begun = Instant::now();
        print(&format!("{}  building\n", time()));
        let made = {
            let project = self.project.clone();
            let mut making = std::pin::pin!(make(&project, self.runner.is_some(), signals));
            loop {
                tokio::select! {
                    made = &mut making => break made,
                    verdict = next(&mut self.runner) => self.show(verdict),
                }
            }
        };
        match made.and_then(|built| self.take(&built).map(|()| built)) {
            Ok(built) => {
                let bytes = fs::metadata(&built.file).map_or(0, |meta| meta.len());
                print(&format!("{}  built in {:.1?}: {}\n", time(), begun.elapsed(), size(bytes)));
            }
            Err(fault @ Fault::Tool(ToolError::Interrupted | ToolError::Missing { .. } | ToolError::Gone(_))) => {
                return Err(fault);
            }
            Err(fault) => {
                let goes_on = if self.runner.is_some() { "the build before runs on" } else { "waiting for a change" };
                let fault = fault.to_string();
                let gap = if fault.contains('\n') { "\n           " } else { "; " };
                eprintln!("{}  not built: {fault}{gap}{goes_on}", time());
            }
        }
        Ok(())
    }

    fn take(&mut self, built: &Built) -> Result<(), Fault> {
        if let Some(choice) = self.rig.take(built, &self.project.dir)? {
            print(&format!("{}  {choice}\n", time()));
        }
        if let Some(dir) = &self.arguments.install {
            place(&built.file, &dir.join(format!("{}.wasm", built.name)))?;
        }
        // The old one ends here. What the new one says is news.
        self.shown = None;
        let arguments = self.arguments.flags.again();
        self.runner = Some(Runner::start(&self.rig.main(), self.rig.check(), self.arguments.interval, &arguments)?);
        Ok(())
    }

    /// What stands beside the verdict is said again when something is new in it.
    fn show(&mut self, verdict: Verdict) {
        let padding = " ".repeat(8_usize.saturating_sub(verdict.status.len()));
        let status = if self.colour { coloured(&verdict.status) } else { verdict.status.clone() };
        let took = verdict.took_ms.map(|took| format!("  ({took:.1} ms)")).unwrap_or_default();
        let known = self.shown.as_ref().is_some_and(|shown| shown.says_the_same(&verdict));
        let beside = verdict.beside.iter().filter(|_| !known);
        let beside: String = beside.map(|line| format!("           {line}\n")).collect();
        print(&format!("{}  {status}{padding}  {}{took}\n{beside}", time(), verdict.message));
        self.shown = Some(verdict);
    }
}

async fn rest(length: Duration, signals: &mut Signals) -> Result<(), Fault> {
    tokio::select! {
        () = sleep(length) => Ok(()),
        () = signals.next() => Err(ToolError::Interrupted.into()),
    }
}

/// `12:00:01Z`
fn time() -> String {
    let now = rfc3339(clock::now().wall);
    now.split_once('T').and_then(|(_, time)| time.get(..8)).map(|time| format!("{time}Z")).unwrap_or(now)
}
