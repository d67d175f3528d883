//! `vitald services`: who is registered, from etcd itself; no agent needs to run.
//!
//! With `--watch` it goes on whatever etcd does, and says how old it is what it shows. What others wrote into the
//! registry is printed without its control characters.

mod place;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::sleep;

use crate::clock;
use crate::discovery::{Config, Discovery, DiscoveryError, Found, Set};
use crate::http::registry::{Filter, listing};
use crate::model::name::Name;
use crate::model::time::{Moment, brief, rfc3339};

use super::table::Table;

use self::place::{Refusal, config_of};

/// There is no instance of the service that was asked for.
const EXIT_UNKNOWN: u8 = 1;
/// etcd cannot be read (`EX_UNAVAILABLE` of sysexits.h).
const EXIT_UNAVAILABLE: u8 = 69;
/// As a shell has it for what Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;
/// While etcd is away it is said this often how old everything is.
const REMINDER: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this service.
    name: Option<Name>,
    /// Go on: print everything again when something changes. Ctrl-C ends it.
    #[arg(long)]
    watch: bool,
    /// Print one JSON object; with --watch one on a line of its own for each change.
    #[arg(long)]
    json: bool,
    /// Take endpoints, credentials, TLS and prefix from the [registry] of this main file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask these endpoints, such as http://127.0.0.1:2379, instead of those of the main file.
    #[arg(long, value_name = "URL,..", value_delimiter = ',')]
    endpoints: Vec<String>,
    /// Where the keys begin, if not as the main file has it or at /services.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// etcd's user, if not that of the main file.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// A file with that user's password.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

/// How it ends other than by being asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("etcd cannot be read: {0}")]
    Etcd(Arc<str>),
    #[error("nothing can be printed: {0}")]
    Output(#[from] io::Error),
}

impl From<DiscoveryError> for Failure {
    fn from(error: DiscoveryError) -> Self {
        Self::Etcd(error.to_string().into())
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    let config = match config_of(arguments) {
        Ok(config) => config,
        Err(Refusal(code, problem)) => {
            eprintln!("vitald: {problem}");
            return code;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vitald: a runtime cannot be started: {error}");
            return EXIT_UNAVAILABLE;
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = show(arguments, config) => ended,
            // What was wanted of a watch has been printed; a list has not.
            _ = tokio::signal::ctrl_c() => Ok(if arguments.watch { 0 } else { EXIT_INTERRUPTED }),
        }
    });
    // A name that is being looked up is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        // Whoever read it has seen enough: `vitald services --watch | head`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(failure) => {
            eprintln!("vitald: {failure}");
            EXIT_UNAVAILABLE
        }
    }
}

async fn show(arguments: &Arguments, config: Config) -> Result<u8, Failure> {
    let below = config.prefix.clone();
    let discovery = Discovery::new(config);
    let mut printer = Printer { arguments, out: io::stdout().lock() };
    if arguments.watch {
        return follow(&discovery, &mut printer).await;
    }
    let set = discovery.list().await?;
    printer.set(&set)?;
    match &arguments.name {
        Some(name) if set.services.is_empty() => {
            eprintln!("vitald: no instance of {name} is registered below {below}");
            Ok(EXIT_UNKNOWN)
        }
        _ => Ok(0),
    }
}

/// Goes on for ever once there was a list.
async fn follow<W: Write>(discovery: &Discovery, printer: &mut Printer<'_, W>) -> Result<u8, Failure> {
    let mut sets = pin!(discovery.watch());
    let mut last = Set::default();
    loop {
        let next = tokio::select! {
            set = sets.next() => set,
            () = sleep(REMINDER), if last.unconfirmed.is_some() => None,
        };
        match next {
            Some(Set { revision: 0, unconfirmed: Some(away), .. }) => return Err(Failure::Etcd(away.why)),
            Some(set) => {
                printer.change(&last, &set)?;
                last = set;
            }
            None => printer.reminder(&last)?,
        }
    }
}

struct Printer<'a, W> {
    arguments: &'a Arguments,
    out: W,
}

impl<W: Write> Printer<'_, W> {
    fn set(&mut self, set: &Set) -> io::Result<()> {
        if self.arguments.json {
            return self.json(set);
        }
        self.out.write_all(table(set, clock::now()).as_bytes())?;
        self.out.flush()
    }

    fn change(&mut self, last: &Set, set: &Set) -> io::Result<()> {
        if self.arguments.json {
            return self.json(set);
        }
        if set.unconfirmed.is_some() && set.services == last.services {
            return self.reminder(set);
        }
        let now = clock::now();
        let count: usize = set.services.values().map(|found| found.len()).sum();
        let (services, revision, time) = (set.services.len(), set.revision, rfc3339(now.wall));
        let table = table(set, now);
        writeln!(self.out, "{time}  instances: {count}, services: {services}, revision: {revision}\n{table}")?;
        self.out.flush()
    }

    /// etcd is away: how old is what was printed last? A reader of JSON was told when it began.
    fn reminder(&mut self, set: &Set) -> io::Result<()> {
        let Some(away) = set.unconfirmed.as_ref().filter(|_| !self.arguments.json) else { return Ok(()) };
        let now = clock::now();
        let (time, age) = (rfc3339(now.wall), brief(set.age(now)));
        writeln!(self.out, "{time}  etcd is away, this is {age} old: {}", away.why)?;
        self.out.flush()
    }

    fn json(&mut self, set: &Set) -> io::Result<()> {
        let mut body = listing(set, Filter::default(), clock::now());
        if let (Some(body), Some(away)) = (body.as_object_mut(), &set.unconfirmed) {
            body.insert("error".into(), (*away.why).into());
        }
        writeln!(self.out, "{body}")?;
        self.out.flush()
    }
}

fn table(set: &Set, now: Moment) -> String {
    if set.services.values().all(|found| found.is_empty()) {
        return "no instance is registered\n".to_owned();
    }
    let mut table = Table::new(["SERVICE", "INSTANCE", "STATUS", "ADDRESS", "AGE", "AGENT", "TAGS"]);
    for (service, found) in set.services.iter() {
        found.iter().for_each(|found| table.row(row(service, found, now)));
    }
    table.render(None, false)
}

fn row(service: &Name, found: &Found, now: Moment) -> [String; 7] {
    let instance = &found.instance;
    let mark = match (found.suspect, instance.held) {
        (Some(_), _) => " (suspect)",
        (None, true) => " (held)",
        (None, false) => "",
    };
    let cells = [
        service.to_string(),
        instance.id.clone(),
        format!("{}{mark}", instance.status),
        instance.endpoint(),
        age(&instance.since, now),
        instance.agent.clone(),
        instance.tags.join(","),
    ];
    cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { printable(&cell) })
}

/// Since when the status is what it is; nothing where nobody said.
fn age(since: &str, now: Moment) -> String {
    let Ok(since) = since.parse::<jiff::Timestamp>() else { return String::new() };
    let since = u64::try_from(since.as_millisecond()).map(Duration::from_millis).unwrap_or_default();
    brief(now.wall.saturating_sub(since))
}

/// A terminal obeys control characters, and anybody may have written these.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    pub fn arguments(words: &str) -> Arguments {
        Line::try_parse_from(std::iter::once("services").chain(words.split_whitespace())).expect(words).arguments
    }

    fn found(text: &str, suspect: bool) -> Found {
        let instance = Arc::new(serde_json::from_str(text).expect("an instance"));
        Found { instance, suspect: suspect.then(Moment::default) }
    }

    fn set() -> Set {
        let name = |text: &str| text.parse::<Name>().expect("a name");
        let shop = [
            found(
                r#"{"id":"shop-1","service":"shop","address":"10.0.0.5","port":80,"since":"1970-01-01T00:00:30Z",
                    "agent":"host-1","tags":["v2","a"]}"#,
                false,
            ),
            found(
                r#"{"id":"shop-2","service":"shop","address":"fd00::1","port":80,"status":"DOWN","held":true}"#,
                false,
            ),
        ];
        let web = [found(
            r#"{"id":"w","service":"web","address":"h","port":1,"status":"UP\u001b[2J","since":"no time"}"#,
            true,
        )];
        let services = [(name("shop"), Arc::from(shop)), (name("web"), Arc::from(web))].into();
        Set { services: Arc::new(services), revision: 7, unconfirmed: None }
    }

    #[test]
    fn a_table() {
        let now = Moment { boot: Duration::ZERO, wall: Duration::from_secs(95) };
        let expected = "\
SERVICE  INSTANCE  STATUS            ADDRESS       AGE   AGENT   TAGS
shop     shop-1    UP                10.0.0.5:80   1m5s  host-1  v2,a
shop     shop-2    DOWN (held)       [fd00::1]:80  -     -       -
web      w         UP\u{fffd}[2J (suspect)  h:1           -     -       -
";
        assert_eq!(table(&set(), now), expected);
        assert_eq!(table(&Set::default(), now), "no instance is registered\n");
    }

    fn printed(words: &str, print: impl FnOnce(&mut Printer<'_, Vec<u8>>) -> io::Result<()>) -> String {
        let arguments = arguments(words);
        let mut printer = Printer { arguments: &arguments, out: Vec::new() };
        print(&mut printer).expect("printed");
        String::from_utf8(printer.out).expect("text")
    }

    #[test]
    fn what_is_not_confirmed_has_an_age() {
        let now = clock::now();
        let since = Moment { boot: now.boot.saturating_sub(Duration::from_secs(62)), wall: now.wall };
        let away =
            |set| Set { unconfirmed: Some(crate::discovery::Unconfirmed { since, why: "refused".into() }), ..set };
        let text = printed("--watch", |printer| printer.change(&set(), &away(set())));
        assert!(text.ends_with("Z  etcd is away, this is 1m2s old: refused\n") && text.lines().count() == 1, "{text}");
        let text = printed("--watch", |printer| printer.change(&away(set()), &set()));
        assert!(text.contains("Z  instances: 3, services: 2, revision: 7\nSERVICE "), "{text}");
        let text = printed("--watch --json", |printer| {
            printer.change(&set(), &away(set())).and_then(|()| printer.reminder(&away(set())))
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!((&line["error"], &line["services"][0]["name"]), (&"refused".into(), &"shop".into()));
        assert!(line["age_ms"].as_f64().is_some_and(|age| age >= 62_000.0), "{line}");
    }
}
