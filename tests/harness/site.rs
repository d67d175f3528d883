//! A host as an agent sees it: its configuration, its plugins, its secrets and its state, in a directory.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tempfile::TempDir;

use super::agent::Agent;
use super::etcd::Etcd;
use super::ports::free_port;
use super::toml::Table;
use super::wait::{Hold, beside_others};

const AGENT_ID: &str = "host-1";

/// Fast enough for a test, slow enough for a busy machine.
const DEFAULTS: &str = r#"
[defaults]
interval = "400ms"
timeout = "300ms"
fall = 2
rise = 2
stale_after = "20s"
"#;

pub struct Site {
    id: String,
    dir: TempDir,
    port: u16,
    extra: Vec<(&'static str, String)>,
    defaults: String,
    _machine: Option<Rc<Hold>>,
}

impl Site {
    /// A host whose agent stands alone.
    pub fn new() -> Self {
        Self::holding(Some(beside_others()))
    }

    /// The same for a test of minutes that uses no CPU: who wants the machine alone does not wait for it.
    pub fn aside() -> Self {
        Self::holding(None)
    }

    fn holding(machine: Option<Rc<Hold>>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["plugins", "conf.d", "secrets"] {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("a directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        let site = Self {
            id: AGENT_ID.to_owned(),
            dir,
            port: free_port(),
            extra: Vec::new(),
            defaults: DEFAULTS.to_owned(),
            _machine: machine,
        };
        site.write_main();
        site
    }

    /// Gives the agent another id than that of all the others.
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self.write_main();
        self
    }

    /// Lets the agent register there.
    pub fn registered_at(self, etcd: &Etcd) -> Self {
        self.registered_at_all(&[etcd.url()])
    }

    /// The same, where etcd has several members.
    pub fn registered_at_all(self, urls: &[String]) -> Self {
        let registry = format!("endpoints = {urls:?}\nttl = \"5s\"\nrequest_timeout = \"2s\"\n");
        self.with("registry", &registry)
    }

    /// Adds lines to a table of the main file.
    pub fn with(mut self, table: &'static str, lines: &str) -> Self {
        self.extra.push((table, lines.to_owned()));
        self.write_main();
        self
    }

    /// Takes the place of `[defaults]`.
    pub fn with_defaults(mut self, lines: &str) -> Self {
        self.defaults = format!("[defaults]\n{lines}\n");
        self.write_main();
        self
    }

    fn write_main(&self) {
        let mut text = format!(
            "[agent]\nid = {:?}\nlisten = [\"127.0.0.1:{}\"]\nplugin_dirs = [\"plugins\"]\n\
             conf_dirs = [\"conf.d\"]\nsecret_dirs = [\"secrets\"]\nstate_dir = \"state\"\n",
            self.id, self.port
        );
        let mut tables: Vec<&str> = self.extra.iter().map(|(table, _)| *table).filter(|t| *t != "agent").collect();
        tables.dedup();
        for table in std::iter::once("agent").chain(tables) {
            if table != "agent" {
                writeln!(text, "\n[{table}]").expect("text");
            }
            for (_, lines) in self.extra.iter().filter(|(own, _)| *own == table) {
                writeln!(text, "{lines}").expect("text");
            }
        }
        write(&self.main(), text + &self.defaults);
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn main(&self) -> PathBuf {
        self.path().join("vitald.toml")
    }

    /// Where its agent's control socket is: the real one belongs to the machine's own agents.
    pub fn run_dir(&self) -> PathBuf {
        self.path().join("run")
    }

    pub fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn plugin_path(&self, name: &str) -> PathBuf {
        self.path().join("plugins").join(format!("{name}.wasm"))
    }

    /// Puts a plugin into place, whole.
    pub fn plugin(&self, name: &str, bytes: impl AsRef<[u8]>) {
        write(&self.plugin_path(name), bytes);
    }

    pub fn drop_in_path(&self, name: &str) -> PathBuf {
        self.path().join("conf.d").join(format!("{name}.toml"))
    }

    /// Puts a drop-in into place, whole.
    pub fn drop_in(&self, name: &str, tables: impl IntoIterator<Item = Table>) {
        self.drop_in_text(name, &tables.into_iter().map(|table| table.to_string()).collect::<String>());
    }

    pub fn drop_in_text(&self, name: &str, text: &str) {
        write(&self.drop_in_path(name), text);
    }

    pub fn remove_drop_in(&self, name: &str) {
        fs::remove_file(self.drop_in_path(name)).expect("the drop-in is there");
    }

    pub fn secret(&self, name: &str, text: &str) {
        write(&self.path().join("secrets").join(name), text);
    }

    /// Starts the agent, and waits until it answers.
    pub fn start(&self) -> Agent {
        Agent::start(self, &[])
    }

    pub fn start_with(&self, arguments: &[&str]) -> Agent {
        Agent::start(self, arguments)
    }
}

/// Writes a file beside its place and renames it into it: nobody sees half of it.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    let dir = path.parent().expect("a file in a directory");
    let name = path.file_name().expect("a file").to_string_lossy();
    let temporary = dir.join(format!(".{name}.new"));
    fs::write(&temporary, bytes)
        .and_then(|()| fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&temporary, path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
