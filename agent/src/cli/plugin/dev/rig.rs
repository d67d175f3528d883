//! What `plugin dev` runs: the last good build, and the check of the project's `check.toml` as a configuration of its
//! own, in a directory that is removed with it. The project's own file may be copied into a `conf.d` as it is.

use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;
use toml::Table;

use crate::cli::table::one_line;
use crate::plugins::is_bundled;

use super::super::build::{Built, place};
use super::super::fault::Fault;

/// The project's check, to be copied into a `conf.d`.
const CHECK_FILE: &str = "check.toml";
/// Of the configuration.
const MAIN_FILE: &str = "vitald.toml";

#[derive(Debug)]
pub struct Rig {
    dir: TempDir,
    /// Of the check.
    name: String,
}

impl Rig {
    /// In the system's folder for temporary files, for nobody else to read.
    pub fn new() -> Result<Self, Fault> {
        let dir = tempfile::Builder::new().prefix("vitald-dev-").tempdir();
        let dir = dir.map_err(Fault::file(&std::env::temp_dir()))?;
        let plugins = dir.path().join("plugins");
        fs::create_dir(&plugins).map_err(Fault::file(&plugins))?;
        Ok(Self { dir, name: String::new() })
    }

    /// Takes a good build, and the check as it is now. Gives what is to be said of the choice, where there was one.
    pub fn take(&mut self, built: &Built, project: &Path) -> Result<Option<String>, Fault> {
        let path = project.join(CHECK_FILE);
        let wrong = |what: String| Fault::Wrong { path: path.clone(), what };
        let (check, count) = match fs::read_to_string(&path) {
            Ok(text) => check_for(&built.name, &text).map_err(wrong)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Table::new(), 0),
            Err(source) => return Err(Fault::File { path, source }),
        };
        let check = adapted(check, &built.name, project);
        self.name = check.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        place(&built.file, &self.dir.path().join("plugins").join(format!("{}.wasm", built.name)))?;
        let main = self.main();
        let text = configuration(self.dir.path(), &built.name, check).to_string();
        fs::write(&main, text).map_err(Fault::file(&main))?;
        let name = one_line(&self.name);
        Ok((count > 1).then(|| format!("{CHECK_FILE} has {count} checks; this runs {name}")))
    }

    /// The configuration's main file.
    pub fn main(&self) -> PathBuf {
        self.dir.path().join(MAIN_FILE)
    }

    /// What the check is called there.
    pub fn check(&self) -> &str {
        &self.name
    }
}

/// The check of that checker in a drop-in, else the first one; and how many there are.
fn check_for(checker: &str, text: &str) -> Result<(Table, usize), String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| lines(&error))?;
    let checks = table.get("check").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let checks: Vec<Table> = checks.into_iter().filter_map(|check| check.as_table().cloned()).collect();
    let own = checks.iter().find(|check| check.get("checker").and_then(toml::Value::as_str) == Some(checker));
    let check = own.or(checks.first()).cloned().ok_or_else(|| "it has no [[check]]".to_owned())?;
    Ok((check, checks.len()))
}

/// Where it stands, as TOML's parser draws it.
fn lines(error: &toml::de::Error) -> String {
    error.to_string().trim_end().lines().map(drawn).collect::<Vec<_>>().join("\n")
}

/// A line that keeps its columns.
fn drawn(line: &str) -> String {
    line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// As it runs here, where there are no services and relative paths would begin elsewhere.
fn adapted(mut check: Table, checker: &str, project: &Path) -> Table {
    check.insert("checker".into(), checker.into());
    check.entry("name").or_insert_with(|| checker.into());
    check.remove("service");
    if let Some(tls) = check.get_mut("tls").and_then(toml::Value::as_table_mut) {
        for (_, path) in tls.iter_mut().filter(|(key, _)| key.ends_with("_file")) {
            let absolute = path.as_str().map(|path| project.join(path).display().to_string());
            absolute.into_iter().for_each(|absolute| *path = absolute.into());
        }
    }
    check
}

/// A main file around it.
fn configuration(dir: &Path, checker: &str, check: Table) -> Table {
    let path = |name: &str| toml::Value::from(dir.join(name).display().to_string());
    let mut agent = Table::new();
    agent.insert("id".into(), "dev".into());
    agent.insert("state_dir".into(), path("state"));
    agent.insert("plugin_dirs".into(), vec![path("plugins")].into());
    agent.insert("conf_dirs".into(), toml::Value::Array(Vec::new()));
    let mut main = Table::new();
    main.insert("agent".into(), agent.into());
    if is_bundled(checker) {
        let mut plugins = Table::new();
        plugins.insert("override".into(), vec![toml::Value::from(checker)].into());
        main.insert("plugins".into(), plugins.into());
    }
    main.insert("check".into(), vec![toml::Value::from(check)].into());
    main
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_projects() {
        let text = "[[check]]\nname = \"a\"\nchecker = \"x\"\n[[check]]\nname = \"mail\"\nchecker = \"banner\"\n\
                    service = \"s\"\ntarget = \"tcp://a:1\"\ntls = { ca_file = \"ca.pem\", server_name = \"n\" }\n\
                    params = { a = 1 }";
        let (check, count) = check_for("banner", text).expect("one");
        assert_eq!(count, 2);
        let check = adapted(check, "banner", Path::new("/p"));
        assert_eq!(check["name"].as_str(), Some("mail"));
        assert_eq!(check["target"].as_str(), Some("tcp://a:1"));
        assert_eq!(check["tls"].to_string(), "{ ca_file = \"/p/ca.pem\", server_name = \"n\" }");
        assert!(!check.contains_key("service"));
        for wrong in ["", "check = 3", "[[check]", "[check]\nname = \"a\""] {
            assert!(check_for("banner", wrong).is_err(), "{wrong}");
        }
        let drawn = check_for("banner", "a = 1\nb = = 2\n").expect_err("no TOML");
        assert!(drawn.lines().any(|line| line.contains("b = = 2")) && drawn.lines().count() > 2, "{drawn}");
    }

    #[test]
    fn the_configuration_is_one() {
        let check = adapted(Table::new(), "tcp", Path::new("/p"));
        let text = configuration(Path::new("/t"), "tcp", check).to_string();
        let read: Table = text.parse().expect("TOML");
        assert_eq!(read["check"][0]["checker"].as_str(), Some("tcp"));
        assert_eq!(read["plugins"]["override"][0].as_str(), Some("tcp"));
    }
}
