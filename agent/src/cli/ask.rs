//! Finding the agent that a command means, and asking it.
//!
//! It is found by its socket, by its main file (which may be broken), or, where there is no such file, by being the
//! only one on the host. An agent that is another than the file's is not asked, nor anybody who is neither root nor the
//! owner of the agent's state: in a hook's environment a stranger may have made the socket.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::config::{DEFAULT_FILE, whereabouts_of};
use crate::control::client::Client;
use crate::control::protocol::{Answer, Ask, Request};
use crate::control::{RUN_DIR, run_dir};

use super::table::one_line;

/// The exit code where no agent answers (`EX_UNAVAILABLE` of sysexits.h).
const EXIT_UNAVAILABLE: u8 = 69;
/// The exit code of what was refused or has failed.
pub const EXIT_REFUSED: u8 = 1;

/// Which agent is meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Where {
    /// The agent of this main file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent that answers at this control socket.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    NoAgent(String),
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Self::NoAgent(_) => EXIT_UNAVAILABLE,
            Self::Refused(_) => EXIT_REFUSED,
        }
    }

    /// Says it; returns the exit code.
    pub fn report(&self) -> u8 {
        eprintln!("vitald: {self}");
        self.code()
    }

    /// What the agent said, which may have it from a server.
    fn refused(why: &str) -> Self {
        Self::Refused(one_line(why))
    }
}

/// A socket that may be the one.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    path: PathBuf,
    /// Its agent must keep its state there.
    state_dir: Option<PathBuf>,
    /// Or it must run from that file.
    main: Option<PathBuf>,
    /// Beside root and ourselves, whose word it may be.
    owner: Owner,
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// Somebody named the socket.
    Anybody,
    Uid(Option<u32>),
}

impl Candidate {
    fn connect(&self) -> io::Result<Client> {
        let client = Client::connect(&self.path)?;
        // Whoever made the socket, where the kernel does not say who listens: of a process that we cannot see.
        let peer = client.peer().or_else(|_| owner_of(&self.path).ok_or(io::ErrorKind::NotFound))?;
        let own = rustix::process::geteuid().as_raw();
        match &self.owner {
            Owner::Uid(owner) if peer != 0 && peer != own && *owner != Some(peer) => {
                Err(io::Error::other(format!("uid {peer} listens there, who is not the agent's user")))
            }
            _ => Ok(client),
        }
    }
}

fn owner_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|meta| meta.uid())
}

/// Where sockets lie.
struct Places {
    /// Of every agent that was not told otherwise.
    usual: PathBuf,
    /// Of the agent if the command has its environment. In a hook of another unit this is that unit's directory, where
    /// only a socket of the agent's name may be an agent's.
    own: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { usual: RUN_DIR.into(), own: run_dir() }
    }
}

impl Where {
    /// Asks the agent; what it says on the way goes to standard error.
    pub fn ask(&self, ask: Ask) -> Result<(Client, Answer), Failure> {
        let places = Places::default();
        let (candidates, mut tried) = self.candidates(Path::new(DEFAULT_FILE), &places);
        let strangers = self.strangers(Path::new(DEFAULT_FILE), &places, &candidates);
        let mut denied = false;
        for candidate in candidates.into_iter().chain(strangers) {
            let connected = candidate.connect();
            let Candidate { path, state_dir, main, .. } = candidate;
            let is_stranger = main.is_some();
            let mut client = match connected {
                Ok(client) => client,
                Err(_) if is_stranger => continue,
                Err(error) => {
                    denied |= error.kind() == io::ErrorKind::PermissionDenied;
                    tried.push(format!("{}: {}", path.display(), why(&error)));
                    continue;
                }
            };
            let request = Request { state_dir, main, ..Request::new(ask.clone()) };
            match client.ask(&request, |text| eprintln!("{}", one_line(text))) {
                Ok(Answer::NotMeant(_)) if is_stranger => {}
                Ok(Answer::NotMeant(other)) => tried.push(format!("{}: {}", path.display(), one_line(&other))),
                Ok(Answer::Refused(why)) => return Err(Failure::refused(&why)),
                Ok(answer) => return Ok((client, answer)),
                Err(error) => return Err(Failure::refused(&format!("{}: {error}", path.display()))),
            }
        }
        let tried = tried.join("\n  ");
        Err(match denied {
            true => Failure::Refused(format!("only root and the agent's own user may ask it\n  {tried}")),
            false => Failure::NoAgent(format!("no agent answers\n  {tried}")),
        })
    }

    /// The other agents of the host: one of them may run from the file, which says by now that its agent is called
    /// otherwise or keeps its state elsewhere. They are asked whether they do.
    fn strangers(&self, default_file: &Path, places: &Places, known: &[Candidate]) -> Vec<Candidate> {
        let file = match (&self.socket, &self.config) {
            (None, Some(file)) => file,
            (None, None) if default_file.exists() => default_file,
            _ => return Vec::new(),
        };
        let owner = owner_of(&places.usual);
        let stranger = |path| Candidate {
            path,
            // Nobody's.
            state_dir: Some("/".into()),
            main: Some(std::path::absolute(file).unwrap_or_else(|_| file.to_owned())),
            owner: Owner::Uid(owner),
        };
        others_in(&places.usual, known).into_iter().map(stranger).collect()
    }

    /// Where to ask, in order, and what is to be said of places that cannot be asked.
    fn candidates(&self, default_file: &Path, places: &Places) -> (Vec<Candidate>, Vec<String>) {
        if let Some(path) = &self.socket {
            return (
                vec![Candidate { path: path.clone(), state_dir: None, main: None, owner: Owner::Anybody }],
                Vec::new(),
            );
        }
        if let Some(file) = &self.config {
            return of_file(file, places);
        }
        let others = |known: &[Candidate]| others_in(&places.usual, known);
        if default_file.exists() {
            let (candidates, mut notes) = of_file(default_file, places);
            let others = others(&candidates).into_iter().map(|other| {
                format!(
                    "{}: another agent than that of {}: name it with --socket",
                    other.display(),
                    default_file.display()
                )
            });
            notes.extend(others);
            return (candidates, notes);
        }
        match others(&[]).as_slice() {
            [only] => {
                let owner = Owner::Uid(owner_of(&places.usual));
                (vec![Candidate { path: only.clone(), state_dir: None, main: None, owner }], Vec::new())
            }
            [] => (
                Vec::new(),
                vec![format!(
                    "there is no {} and no agent in {}: name one with --config or --socket",
                    default_file.display(),
                    places.usual.display()
                )],
            ),
            many => {
                let many: Vec<String> = many.iter().map(|path| path.display().to_string()).collect();
                (Vec::new(), vec![format!("there are several agents; name one with --socket: {}", many.join(", "))])
            }
        }
    }
}

/// The sockets of other agents in a directory. Those that killed agents left behind are none.
fn others_in(run_dir: &Path, known: &[Candidate]) -> Vec<PathBuf> {
    let left_behind = |path: &Path| {
        let connected = UnixStream::connect(path);
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    let mut sockets = sockets_in(run_dir);
    sockets.retain(|path| known.iter().all(|other| other.path != *path) && !left_behind(path));
    sockets
}

/// The state directory first: its agent is the file's for certain.
fn of_file(file: &Path, places: &Places) -> (Vec<Candidate>, Vec<String>) {
    let found = whereabouts_of(file);
    if let Some(problem) = found.unreadable {
        return (Vec::new(), vec![problem]);
    }
    // The default one depends on an environment that may not be the agent's.
    let state_dir = found.state_dir.canonicalize().unwrap_or_else(|_| found.state_dir.clone());
    let state_dir = found.state_dir_is_given.then_some(state_dir);
    let owner = found.state_dir_is_given.then(|| owner_of(&found.state_dir)).flatten();
    let mut paths = vec![(found.state_dir.join("control.sock"), owner)];
    if let Some(id) = found.agent_id {
        let socket = |dir: &Path| dir.join(format!("{id}.sock"));
        paths.push((socket(&places.own), owner));
        if places.usual != places.own {
            paths.push((socket(&places.usual), owner.or_else(|| owner_of(&places.usual))));
        }
    }
    let candidate =
        |(path, owner)| Candidate { path, state_dir: state_dir.clone(), main: None, owner: Owner::Uid(owner) };
    (paths.into_iter().map(candidate).collect(), Vec::new())
}

fn sockets_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sockets: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "sock")).collect();
    sockets.sort();
    sockets
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Writes to standard output; whoever reads it may stop when they have seen enough.
pub fn print(text: &str) {
    let _ = say(text);
}

/// The same, for who wants to know whether anybody does read it.
pub fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// What an agent of another version may answer.
pub fn unexpected() -> Failure {
    Failure::Refused("the agent answered something else than was asked".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Host {
        dir: tempfile::TempDir,
        agents: Vec<UnixListener>,
    }

    impl Host {
        fn new() -> Self {
            let host = Self { dir: tempfile::tempdir().expect("tempdir"), agents: Vec::new() };
            std::fs::create_dir(host.run()).expect("mkdir");
            host
        }

        fn run(&self) -> PathBuf {
            self.dir.path().join("run")
        }

        fn places(&self) -> Places {
            Places { usual: self.run(), own: self.dir.path().join("own") }
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("vitald.toml")
        }

        fn agent(&mut self, name: &str) -> PathBuf {
            let path = self.run().join(name);
            self.agents.push(UnixListener::bind(&path).expect("binds"));
            path
        }

        fn candidates(&self, place: &Where) -> (Vec<PathBuf>, Vec<String>) {
            let (candidates, notes) = place.candidates(&self.file(), &self.places());
            (candidates.into_iter().map(|candidate| candidate.path).collect(), notes)
        }
    }

    #[test]
    fn a_named_socket_is_the_only_one() {
        let mut host = Host::new();
        host.agent("web-1.sock");
        let place = Where { socket: Some("/x.sock".into()), config: None };
        assert_eq!(host.candidates(&place), (vec!["/x.sock".into()], vec![]));
    }

    #[test]
    fn a_file_leads_to_its_own_agent_alone() {
        let mut host = Host::new();
        host.agent("other.sock");
        std::fs::write(host.file(), "[agent]\nid = \"web-1\"\nstate_dir = \"state\"\nbroken = \n").expect("write");
        let place = Where { config: Some(host.file()), socket: None };
        let own = host.dir.path().join("state/control.sock");
        let public = [host.places().own, host.run()].map(|dir| dir.join("web-1.sock"));
        let all = std::iter::once(own.clone()).chain(public).collect();
        assert_eq!(host.candidates(&place), (all, vec![]));
        let (candidates, _) = place.candidates(&host.file(), &host.places());
        assert!(candidates.iter().all(|c| c.state_dir.as_deref() == own.parent()), "{candidates:?}");
    }

    #[test]
    fn without_a_file_it_is_the_only_one_on_the_host() {
        let mut host = Host::new();
        let (none, notes) = host.candidates(&Where::default());
        assert!(none.is_empty() && notes[0].contains("--config"), "{notes:?}");
        let only = host.agent("web-1.sock");
        std::fs::write(host.run().join("web-1.lock"), "").expect("write");
        drop(UnixListener::bind(host.run().join("killed.sock")).expect("binds"));
        assert_eq!(host.candidates(&Where::default()), (vec![only], vec![]));
        host.agent("web-2.sock");
        let (none, notes) = host.candidates(&Where::default());
        assert!(none.is_empty() && notes[0].contains("web-1.sock") && notes[0].contains("web-2.sock"), "{notes:?}");
    }

    #[test]
    fn the_default_file_leads_to_no_other_agent() {
        let mut host = Host::new();
        let other = host.agent("other.sock");
        std::fs::write(host.file(), "[agent]\nid = \"web-1\"\nstate_dir = \"state\"\n").expect("write");
        let (candidates, notes) = host.candidates(&Where::default());
        assert!(!candidates.contains(&other) && candidates.contains(&host.run().join("web-1.sock")), "{candidates:?}");
        assert!(notes[0].contains("other.sock") && notes[0].contains("--socket"), "{notes:?}");
    }

    #[test]
    fn a_file_that_is_named_and_not_there_leads_nowhere() {
        let mut host = Host::new();
        host.agent("web-1.sock");
        let place = Where { config: Some("/no/such/file.toml".into()), socket: None };
        let (none, notes) = host.candidates(&place);
        assert!(none.is_empty() && notes[0].contains("/no/such/file.toml"), "{notes:?}");
    }
}
