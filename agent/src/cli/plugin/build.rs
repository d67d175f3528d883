//! `vitald plugin build`: runs the language's own tools, puts `NAME.wasm` into the project's directory, and looks at it
//! as an agent would. A file is replaced as a whole, so that an agent that watches the directory never sees half of one.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::cli::ask::print;
use crate::cli::table::one_line;

use super::fault::Fault;
use super::inspect::size;
use super::project::{Kind, Project, TARGET, called, quoted};
use super::tools::{Signals, ToolError, run, succeed};
use super::work;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// What came out of a build.
#[derive(Debug)]
pub struct Built {
    pub name: String,
    pub file: PathBuf,
}

pub fn build(arguments: &Arguments) -> u8 {
    let built = work(async |signals| {
        let project = Project::at(&arguments.dir)?;
        let built = make(&project, false, signals).await?;
        Ok(farewell(&built, &look(&built.file, signals).await?))
    });
    match built {
        Ok(text) => {
            print(&text);
            0
        }
        Err(fault) => fault.report(),
    }
}

fn farewell(built: &Built, facts: &str) -> String {
    let (file, vitald) = (shown(&built.file), called());
    let (try_it, copied) = (quoted(&with_slash(&file)), quoted(&file));
    format!(
        "{file}: {facts}\n\nNext:\n  {vitald} try {try_it} --target URL  # one run, now\n  cp {copied} \
         /etc/vitald/plugins/  # an agent takes it over within a second\n"
    )
}

/// As short as it can be from here.
fn shown(file: &Path) -> String {
    let here = std::env::current_dir().and_then(|dir| dir.canonicalize()).unwrap_or_default();
    file.strip_prefix(here).unwrap_or(file).display().to_string()
}

/// Without one it would be a plugin's name.
fn with_slash(file: &str) -> String {
    if file.contains('/') { file.to_owned() } else { format!("./{file}") }
}

/// Builds. `quiet`: not each command, where that hides no warning.
pub async fn make(project: &Project, quiet: bool, signals: &mut Signals) -> Result<Built, Fault> {
    if !project.dir.is_dir() {
        return Err(ToolError::Gone(project.dir.clone()).into());
    }
    project.prepare(signals).await?;
    let file = match project.kind {
        Kind::Cargo => cargo(project, signals).await?,
        Kind::Npm => {
            let silent: &[&str] = if quiet { &["run", "--silent", "build"] } else { &["run", "build"] };
            succeed(&mut project.command("npm", silent), signals).await?;
            newest(&project.dir)?
        }
        Kind::Make => {
            let silent: &[&str] = if quiet { &["--silent"] } else { &[] };
            succeed(&mut project.command("make", silent), signals).await?;
            newest(&project.dir)?
        }
    };
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Built { name, file })
}

async fn cargo(project: &Project, signals: &mut Signals) -> Result<PathBuf, Fault> {
    let manifest = project.dir.join("Cargo.toml");
    let name = package(&manifest)?;
    project.ensure_target(signals).await?;
    let mut command = project.command("cargo", &["build", "--lib", "--release", "--target", TARGET]);
    // Where the file lies is cargo's to say: a workspace or a variable may have it anywhere.
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let ran = succeed(&mut command, signals).await?;
    let made = artifact(&ran.stdout, &manifest).ok_or_else(|| Fault::NoArtifact(project.dir.clone()))?;
    let file = project.dir.join(format!("{name}.wasm"));
    place(&made, &file)?;
    Ok(file)
}

fn package(manifest: &Path) -> Result<String, Fault> {
    let wrong = |what: String| Fault::Wrong { path: manifest.to_owned(), what };
    let text = fs::read_to_string(manifest).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    name.map(str::to_owned)
        .ok_or_else(|| wrong("it has no [package] with a name; which directory is the plugin's?".into()))
}

/// The last component that this manifest's package was made into.
fn artifact(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let ours = messages.filter(|message| {
        let path = message.get("manifest_path").and_then(Value::as_str);
        let same = path.is_some_and(|path| Path::new(path) == manifest);
        same && message.get("reason").and_then(Value::as_str) == Some("compiler-artifact")
    });
    let files =
        ours.flat_map(|message| message.get("filenames").and_then(Value::as_array).cloned().unwrap_or_default());
    files.filter_map(|file| file.as_str().map(PathBuf::from)).rfind(|file| is_wasm(file))
}

fn is_wasm(file: &Path) -> bool {
    file.extension() == Some(OsStr::new("wasm"))
}

/// What the build has just made, or left because it was up to date.
fn newest(dir: &Path) -> Result<PathBuf, Fault> {
    let entries = fs::read_dir(dir).map_err(Fault::file(dir))?;
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| is_wasm(path));
    let time = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    files.max_by_key(time).ok_or_else(|| Fault::NoFile(dir.to_owned()))
}

/// Copies a plugin to where others read it: at once, and readable for all.
pub fn place(from: &Path, to: &Path) -> Result<(), Fault> {
    let bytes = fs::read(from).map_err(Fault::file(from))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let dir = to.parent().unwrap_or(Path::new("/"));
    let mut file = NamedTempFile::new_in(dir).map_err(Fault::file(dir))?;
    file.write_all(&bytes).map_err(Fault::file(to))?;
    file.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(Fault::file(to))?;
    file.persist(to).map_err(|error| Fault::File { path: to.to_owned(), source: error.error })?;
    Ok(())
}

/// What `vitald plugin inspect` says, in one line.
async fn look(file: &Path, signals: &mut Signals) -> Result<String, Fault> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["plugin", "inspect", "--json"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = run(&mut command, signals).await?;
    let facts: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    if ran.status.success() && facts.is_object() {
        return Ok(in_one_line(&facts));
    }
    let said = if facts.is_object() { text(&facts, "misnamed").to_owned() } else { last_line(&ran.stderr) };
    let why = said.strip_prefix("vitald: ").unwrap_or(&said);
    let why = why.strip_prefix(&format!("{}: ", file.display())).unwrap_or(why);
    let is_rust = file.parent().is_some_and(|dir| dir.join("Cargo.toml").is_file());
    let exports_nothing = why.contains("export") || why.contains("not a component");
    let hint = if is_rust && exports_nothing { "; is there a `#[checker]` function?" } else { "" };
    let why = format!("{why}{hint}");
    Err(Fault::Unusable { file: shown(file), why: one_line(&why) })
}

fn last_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().last().unwrap_or("it cannot be looked at").to_owned()
}

fn text<'a>(facts: &'a Value, key: &str) -> &'a str {
    facts.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn in_one_line(facts: &Value) -> String {
    let list = |key: &str, name: &dyn Fn(&Value) -> String| -> String {
        let items = facts.get(key).and_then(Value::as_array);
        items.map(|items| items.iter().map(name).collect::<Vec<_>>().join(", ")).unwrap_or_default()
    };
    let targets = list("schemes", &|scheme| format!("{}://", text(scheme, "name")));
    let params = list("params", &|param| text(param, "name").to_owned());
    let powers = list("powers", &|power| power.as_str().unwrap_or_default().to_owned());
    let bytes = facts.get("size_bytes").and_then(Value::as_u64).unwrap_or(0);
    let said = [("targets", targets), ("parameters", params), ("uses", powers)];
    let said = said.iter().filter(|(_, what)| !what.is_empty()).map(|(head, what)| format!("; {head} {what}"));
    let line = format!("{}, version {}{}", size(bytes), text(facts, "version"), said.collect::<String>());
    let override_needed = facts.get("needs_override").and_then(Value::as_bool) == Some(true);
    one_line(&if override_needed { format!("{line}; needs override in [plugins]") } else { line })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_component_is_what_cargo_says_of_the_package() {
        let messages = [
            json!({"reason": "compiler-artifact", "manifest_path": "/dep/Cargo.toml", "filenames": ["/t/libdep.rlib"]}),
            json!({"reason": "compiler-artifact", "manifest_path": "/p/Cargo.toml", "filenames": ["/t/my_check.wasm"]}),
            json!({"reason": "build-finished", "success": true}),
        ];
        let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
        let text = format!("{}\nnot JSON\n", lines.join("\n"));
        assert_eq!(artifact(text.as_bytes(), Path::new("/p/Cargo.toml")), Some("/t/my_check.wasm".into()));
        assert_eq!(artifact(text.as_bytes(), Path::new("/dep/Cargo.toml")), None, "an rlib is no plugin");
        assert_eq!(artifact(b"", Path::new("/p/Cargo.toml")), None);
    }

    #[test]
    fn what_a_plugin_is_fits_in_a_line() {
        let facts = json!({
            "version": "0.1.0", "size_bytes": 174_000, "powers": ["network"], "needs_override": false,
            "schemes": [{"name": "tcp", "default_port": null}, {"name": "smtp", "default_port": 25}],
            "params": [{"name": "starts_with"}],
        });
        let line = in_one_line(&facts);
        assert_eq!(line, "170 KiB, version 0.1.0; targets tcp://, smtp://; parameters starts_with; uses network");
        assert_eq!(in_one_line(&json!({"version": "1", "size_bytes": 1})), "0 KiB, version 1");
    }

    #[test]
    fn a_plugin_is_placed_whole_and_readable() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("a"), dir.path().join("b.wasm"));
        fs::write(&from, "one").expect("written");
        place(&from, &to).expect("placed");
        assert_eq!(fs::read(&to).expect("it is there"), b"one");
        assert_eq!(fs::metadata(&to).expect("it is there").permissions().mode() & 0o777, 0o644);
        assert_eq!(newest(dir.path()).expect("one"), to);
        let missing = place(&dir.path().join("no"), &to);
        assert!(matches!(missing, Err(Fault::File { .. })), "{missing:?}");
    }
}
