//! `vitald plugin inspect`: what a plugin is, said without an agent and as an agent would say it: the plugin is compiled,
//! linked and asked in the same sandbox.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::files::FileError;
use crate::model::checkset::{LoadError, Power, Scheme};
use crate::model::name::{InvalidName, Name};
use crate::plugins::schema::{ParamsSchema, SchemaError};
use crate::plugins::{Found, bundled_names, is_bundled};
use crate::sandbox::Inspected;

use super::super::alone::{self, AloneError};
use super::super::ask::say;
use super::super::table::{Table, one_line};
use super::EXIT_FAILED;
use super::params::{MAX_PARAMS, Param, params};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .wasm file, or the name of a bundled checker.
    #[arg(value_name = "FILE|NAME")]
    plugin: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to say.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("there is neither a file nor a bundled checker {}; bundled are {}", plugin.display(), bundled_names().join(", "))]
    Unknown { plugin: PathBuf },
    #[error("{plugin}: {source}")]
    Load { plugin: String, source: LoadError },
    #[error("{plugin}: its params-schema is not usable: {source}")]
    Schema { plugin: String, source: SchemaError },
    #[error(transparent)]
    Alone(#[from] AloneError),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("what there is to say cannot be written: {0}")]
    Output(io::Error),
}

/// What is looked at.
struct Subject {
    name: String,
    found: Found,
    /// Why no agent takes a file of this name.
    misnamed: Option<InvalidName>,
}

impl Subject {
    /// Does it have the name of a bundled checker, and is another? Agents take it only where they are told to.
    fn shadows(&self) -> bool {
        self.found.path().is_some() && is_bundled(&self.name)
    }
}

pub fn inspect(arguments: &Arguments) -> u8 {
    let looked = subject(&arguments.plugin).and_then(|subject| {
        let (inspected, schema) = look(&subject)?;
        let facts = if arguments.json { facts } else { text };
        show(&facts(&subject, &inspected, &schema))?;
        Ok(if subject.misnamed.is_some() { EXIT_FAILED } else { 0 })
    });
    match looked {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("vitald: {}", one_line(&failure.to_string()));
            EXIT_FAILED
        }
    }
}

/// Whoever reads it may stop when they have seen enough.
fn show(text: &str) -> Result<(), Failure> {
    match say(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

fn subject(plugin: &Path) -> Result<Subject, Failure> {
    match Found::file(plugin) {
        Ok(found) => {
            let name = plugin.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let misnamed = name.parse::<Name>().err();
            Ok(Subject { name, found, misnamed })
        }
        Err(error) => match plugin.to_str().and_then(|name| Some((name.to_owned(), Found::bundled(name)?))) {
            Some((name, found)) => Ok(Subject { name, found, misnamed: None }),
            None if error.is_missing() => Err(Failure::Unknown { plugin: plugin.to_owned() }),
            None => Err(error.into()),
        },
    }
}

/// As an agent does it, but for the cache.
fn look(subject: &Subject) -> Result<(Inspected, Value), Failure> {
    let inspected = alone::alone(&alone::config("inspect".parse()?), None, |alone| {
        alone.wait_for(alone.sandbox().inspect(&subject.found.digest, subject.found.bytes.clone()))
    })?;
    let plugin = || subject.found.called(&subject.name);
    let inspected = inspected.map_err(|source| Failure::Load { plugin: plugin(), source })?;
    let schema = &inspected.description.params_schema;
    ParamsSchema::parse(schema).map_err(|source| Failure::Schema { plugin: plugin(), source })?;
    let schema = serde_json::from_str(schema).unwrap_or_default();
    Ok((inspected, schema))
}

/// Keys that `/api/v1/plugins` has too mean the same.
fn facts(subject: &Subject, inspected: &Inspected, schema: &Value) -> String {
    let description = &inspected.description;
    let facts = json!({
        "name": subject.name,
        "source": subject.found.source,
        "version": description.version,
        "summary": description.summary,
        "digest": subject.found.digest,
        "size_bytes": subject.found.bytes.len(),
        "code_bytes": inspected.code_bytes,
        "compile_ms": u64::try_from(inspected.compiled_in.as_millis()).unwrap_or(u64::MAX),
        "schemes": description.schemes,
        "powers": inspected.powers,
        "imports": inspected.imports,
        "params": params(schema),
        "params_schema": schema,
        "misnamed": subject.misnamed.as_ref().map(ToString::to_string),
        "needs_override": subject.shadows(),
    });
    format!("{}\n", serde_json::to_string_pretty(&facts).unwrap_or_default())
}

fn text(subject: &Subject, inspected: &Inspected, schema: &Value) -> String {
    let description = &inspected.description;
    let mut lines = vec![
        format!("{}: {}", one_line(&subject.name), description.summary),
        String::new(),
        format!("version:  {}", description.version),
        format!("file:     {}", one_line(&subject.found.source)),
        format!("digest:   sha256:{}", subject.found.digest),
        format!("size:     {}", size(u64::try_from(subject.found.bytes.len()).unwrap_or(u64::MAX))),
        format!("compiled: in {} ms, to {}", inspected.compiled_in.as_millis(), size(inspected.code_bytes)),
        format!("targets:  {}", targets(&description.schemes)),
        String::new(),
    ];
    lines.extend(access(inspected));
    if let Some(error) = &subject.misnamed {
        lines.extend([String::new(), format!("no agent takes a file of this name: {error}")]);
    }
    if subject.shadows() {
        let name = &subject.name;
        lines.push(String::new());
        lines.push(format!(
            "a bundled checker has this name; to take this file, an agent needs override = [\"{name}\"] in [plugins]"
        ));
    }
    lines.push(String::new());
    format!("{}\n{}", lines.join("\n"), parameters(&params(schema)))
}

fn targets(schemes: &[Scheme]) -> String {
    let scheme = |scheme: &Scheme| {
        let port = scheme.default_port.map(|port| format!(" (port {port})")).unwrap_or_default();
        format!("{}://{port}", one_line(&scheme.name))
    };
    let schemes: Vec<String> = schemes.iter().map(scheme).collect();
    if schemes.is_empty() { "takes none".to_owned() } else { schemes.join(", ") }
}

/// What it asks for, and what of that it gets.
fn access(inspected: &Inspected) -> Vec<String> {
    let imports = |start: &str| inspected.imports.iter().any(|import| import.starts_with(start));
    let has = |power| inspected.powers.contains(&power);
    let asked = [
        (
            has(Power::Network),
            "network",
            "can reach: network, as granted (its target, and what the check's allow lists)",
        ),
        (has(Power::HostNumbers), "host numbers", "reads: host numbers, where granted (allow = [\"host\"])"),
        (has(Power::Files), "files", "asks for: files, and is given none"),
        (imports("wasi:cli/environment"), "environment", "environment: is empty"),
    ];
    let unused: Vec<&str> = asked.iter().filter(|(uses, ..)| !uses).map(|(_, what, _)| *what).collect();
    let mut lines: Vec<String> = asked.iter().filter(|(uses, ..)| *uses).map(|(.., line)| (*line).to_owned()).collect();
    if !unused.is_empty() {
        lines.push(format!("does not use: {}", unused.join(", ")));
    }
    let common = [
        ("wasi:clocks/", "clocks"),
        ("wasi:random/", "random numbers"),
        ("vitald:check/log", "log"),
        ("wasi:cli/stdout", "standard output"),
    ];
    let common: Vec<&str> = common.into_iter().filter(|(start, _)| imports(start)).map(|(_, what)| what).collect();
    if !common.is_empty() {
        lines.push(format!("as every plugin may: {}", common.join(", ")));
    }
    lines
}

fn parameters(params: &[Param]) -> String {
    if params.is_empty() {
        return "It takes no parameters.\n".to_owned();
    }
    let mut table = Table::new(["PARAMETER", "TYPE", "DEFAULT", "DESCRIPTION"]);
    for param in params {
        let default = match &param.default {
            _ if param.required => "required".to_owned(),
            Some(default) => one_line(&default.to_string()),
            None => "none".to_owned(),
        };
        table.row([param.name.clone(), param.kind.clone(), default, param.description.clone()]);
    }
    // Nothing is cut off: a description is what this is read for.
    let more = if params.len() < MAX_PARAMS { "" } else { "and maybe more: --json has the whole schema\n" };
    format!("{}{more}", table.render(None, false))
}

/// In KiB or MiB.
#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
pub fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.0} KiB") } else { format!("{:.1} MiB", kib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use crate::model::checkset::{Description, Powers};

    use super::*;

    fn inspected(powers: &[Power], imports: &[&str]) -> Inspected {
        Inspected {
            description: Description::default(),
            powers: powers.iter().copied().collect::<Powers>(),
            imports: imports.iter().map(|import| (*import).to_owned()).collect::<BTreeSet<_>>(),
            code_bytes: 1 << 20,
            compiled_in: Duration::from_millis(640),
        }
    }

    #[test]
    fn what_it_asks_for_is_said_in_words() {
        let lines = access(&inspected(&[Power::Network], &["wasi:clocks/wall-clock@0.2.9", "vitald:check/net@0.1.0"]));
        assert!(lines[0].starts_with("can reach: network, as granted"), "{lines:?}");
        assert_eq!(lines[1..], ["does not use: host numbers, files, environment", "as every plugin may: clocks"]);
        let lines = access(&inspected(&[Power::HostNumbers, Power::Files], &["wasi:cli/environment@0.2.0"]));
        assert_eq!(
            lines,
            [
                "reads: host numbers, where granted (allow = [\"host\"])",
                "asks for: files, and is given none",
                "environment: is empty",
                "does not use: network"
            ]
        );
    }

    #[test]
    fn targets_have_their_ports() {
        let scheme = |name: &str, default_port| Scheme { name: name.into(), default_port };
        assert_eq!(targets(&[scheme("tcp", None), scheme("smtp", Some(25))]), "tcp://, smtp:// (port 25)");
        assert_eq!(targets(&[]), "takes none");
    }
}
