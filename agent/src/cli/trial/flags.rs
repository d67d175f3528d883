//! What of a check is said on the command line. It is read as the table of a `[[check]]` would be, so that every value is
//! held against the same rules, in the same words, and secrets may be named in it as there: `${env:NAME}`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};

use crate::config::one::{One, check_from};
use crate::config::{Mistake, Mistakes};
use crate::model::check::{CheckDef, Written};
use crate::model::name::Name;

use super::super::plugin::params::is_text;

/// As `[defaults] interval`: a timeout may not be longer.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default, clap::Args)]
pub struct Flags {
    /// What is checked: `redis://127.0.0.1:6379`. Secrets may be named: `redis://:${env:PASSWORD}@cache`.
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// A parameter of the checker. The value is one of TOML, else a text, and a text where the checker wants nothing
    /// else; `a.b=1` sets b in the table a.
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Until when it must have judged [default: 1s, or what the configuration says].
    #[arg(long, value_name = "LENGTH")]
    timeout: Option<String>,
    /// A grant beside the target: `tcp://db.internal:5432`, or `host` for the host's numbers.
    #[arg(long, value_name = "GRANT")]
    allow: Vec<String>,
    /// PEM file of the certificate authorities to trust, in place of the system's.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file of the certificate to show.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name to ask for and to verify, in place of the target's.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Go on with a peer that does not verify.
    #[arg(long)]
    tls_insecure: bool,
    /// The most memory it may have [default: 64MiB, or what the configuration says].
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
}

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    #[error("-p {0:?}: write KEY=VALUE")]
    NoValue(String),
    #[error("-p {0}: a key is empty; write KEY=VALUE, or A.B=VALUE for b in the table a")]
    NoKey(String),
    #[error("-p {0}: it is given twice")]
    Twice(String),
    #[error("-p {key}: {part} is given as a value, not as a table")]
    NoTable { key: String, part: String },
    /// One that cannot be had.
    #[error("{0}")]
    Secret(String),
    #[error("{}", words(.0))]
    Mistakes(Mistakes),
}

impl Flags {
    /// As they were typed, for a `vitald try` that is to be told the same.
    pub fn again(&self) -> Vec<String> {
        // All by name: a flag that is new is not to be forgotten here.
        let Self { target, param, timeout, allow, tls_ca, tls_cert, tls_key, tls_server_name, tls_insecure, memory } =
            self;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let one = |flag: &'static str, value: Option<String>| value.map(|value| (flag, value));
        let single = [
            one("--target", target.clone()),
            one("--timeout", timeout.clone()),
            one("--tls-ca", path(tls_ca)),
            one("--tls-cert", path(tls_cert)),
            one("--tls-key", path(tls_key)),
            one("--tls-server-name", tls_server_name.clone()),
            one("--memory", memory.clone()),
        ];
        let each = |flag: &'static str, values: &[String]| {
            values.iter().map(|value| (flag, value.clone())).collect::<Vec<_>>()
        };
        let all = single.into_iter().flatten().chain(each("--param", param)).chain(each("--allow", allow));
        let insecure = tls_insecure.then(|| "--tls-insecure".to_owned());
        all.map(|(flag, value)| format!("{flag}={value}")).chain(insecure).collect()
    }

    /// A check of its own.
    pub fn definition(&self, name: &Name) -> Result<One, FlagError> {
        let mut table = self.table()?;
        table.insert("checker".into(), name.to_string().into());
        let one = check_from(name, table).map_err(FlagError::Mistakes)?;
        match &one.definition.problem {
            Some(problem) => Err(FlagError::Secret(without_place(problem, name))),
            None => Ok(one),
        }
    }

    /// A configured check, changed by what is given.
    pub fn over(&self, own: &Arc<CheckDef>) -> Result<Arc<CheckDef>, FlagError> {
        let given = self.definition(&own.name)?.definition;
        let CheckDef { target, policy, allow, params, tls, limits, masker, written, .. } = (*given).clone();
        let mut changed = (**own).clone();
        if target.is_some() {
            (changed.target, changed.written) = (target, Written { target: written.target, ..changed.written });
            changed.problem = changed.problem.and_then(|problem| without_target(&problem, &own.name));
        }
        if self.timeout.is_some() {
            changed.policy.timeout = policy.timeout;
        }
        changed.allow.extend(allow);
        merge(&mut changed.params, params);
        changed.tls.ca_file = tls.ca_file.or(changed.tls.ca_file);
        changed.tls.identity = tls.identity.or(changed.tls.identity);
        changed.tls.server_name = tls.server_name.or(changed.tls.server_name);
        changed.tls.insecure |= tls.insecure;
        changed.limits.memory = limits.memory.or(changed.limits.memory);
        changed.masker = changed.masker.and(masker);
        Ok(Arc::new(changed))
    }

    /// Who types `-p starts_with=220` means a text, if the checker's schema wants one. Says whether that changed anything.
    pub fn take_as_texts(&self, params: &mut Params, schema: &serde_json::Value) -> bool {
        let mut changed = false;
        for (key, text) in self.param.iter().filter_map(|param| param.split_once('=')) {
            let keys: Vec<&str> = key.split('.').map(str::trim).collect();
            let place = place_of(params, &keys).filter(|value| !value.is_string());
            if let Some(value) = place.filter(|_| is_text(schema, &keys)) {
                *value = text.into();
                changed = true;
            }
        }
        changed
    }

    pub fn has_target(&self) -> bool {
        self.target.is_some()
    }

    fn table(&self) -> Result<Table, FlagError> {
        let mut table = Table::new();
        let mut set = |key: &str, value: Option<Value>| value.map(|value| table.insert(key.to_owned(), value));
        set("target", self.target.clone().map(Value::from));
        set("timeout", self.timeout.clone().map(Value::from));
        set("interval", self.interval().map(Value::from));
        set("allow", (!self.allow.is_empty()).then(|| self.allow.clone().into()));
        set("tls", table_of(self.tls()));
        set("limits", table_of([("memory", self.memory.clone().map(Value::from))]));
        let mut params = Table::new();
        for param in &self.param {
            put(&mut params, param)?;
        }
        set("params", (!params.is_empty()).then(|| params.into()));
        Ok(table)
    }

    /// Runs do not repeat here, but a timeout must fit into something.
    fn interval(&self) -> Option<String> {
        let timeout = humantime::parse_duration(self.timeout.as_deref()?).ok()?;
        (timeout > INTERVAL).then(|| humantime::format_duration(timeout).to_string())
    }

    fn tls(&self) -> [(&'static str, Option<Value>); 5] {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned().into());
        [
            ("ca_file", path(&self.tls_ca)),
            ("cert_file", path(&self.tls_cert)),
            ("key_file", path(&self.tls_key)),
            ("server_name", self.tls_server_name.clone().map(Value::from)),
            ("insecure", self.tls_insecure.then_some(Value::Boolean(true))),
        ]
    }
}

/// None where nothing is set.
fn table_of(values: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Option<Value> {
    let set = values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let table: Table = set.collect();
    (!table.is_empty()).then(|| table.into())
}

/// Puts `a.b=1` where it belongs.
fn put(params: &mut Table, param: &str) -> Result<(), FlagError> {
    let (key, text) = param.split_once('=').ok_or_else(|| FlagError::NoValue(unvalued(param)))?;
    let mut parts: Vec<&str> = key.split('.').map(str::trim).collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty() && parts.iter().all(|part| !part.is_empty())) else {
        return Err(FlagError::NoKey(key.to_owned()));
    };
    let mut table = params;
    for part in parts {
        let inner = table.entry(part).or_insert_with(|| Table::new().into());
        let no_table = || FlagError::NoTable { key: key.to_owned(), part: part.to_owned() };
        table = inner.as_table_mut().ok_or_else(no_table)?;
    }
    match table.insert(last.to_owned(), value(text)) {
        None => Ok(()),
        Some(_) => Err(FlagError::Twice(key.to_owned())),
    }
}

/// A value of TOML, else the text itself. What JSON, in which checkers get it, cannot say is a text too.
fn value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    let own = parsed.ok().filter(|table| table.len() == 1 && !text.contains('\n')).and_then(|mut t| t.remove("value"));
    let sayable = own.filter(|value| match value {
        Value::Datetime(_) => false,
        Value::Float(number) => number.is_finite(),
        _ => true,
    });
    sayable.unwrap_or_else(|| text.into())
}

type Params = serde_json::Map<String, serde_json::Value>;

/// What stands under these keys, one in the other.
fn place_of<'a>(params: &'a mut Params, keys: &[&str]) -> Option<&'a mut serde_json::Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(params.get_mut(*first)?, |value, key| value.as_object_mut()?.get_mut(*key))
}

fn merge(own: &mut Params, given: Params) {
    for (key, value) in given {
        match (own.get_mut(&key), value) {
            (Some(serde_json::Value::Object(inner)), serde_json::Value::Object(given)) => merge(inner, given),
            (_, value) => {
                own.insert(key, value);
            }
        }
    }
}

/// `target: the environment variable X is not set`
fn without_place(problem: &str, name: &Name) -> String {
    let key = format!("check.{name}.");
    let rest = |one: &str| one.split_once(&key).map_or(one, |(_, rest)| rest).to_owned();
    problem.split("; ").map(rest).collect::<Vec<_>>().join("; ")
}

/// The problems that stay where the target is another one.
fn without_target(problem: &str, name: &Name) -> Option<String> {
    let key = format!("check.{name}.target: ");
    let others: Vec<&str> = problem.split("; ").filter(|one| !one.contains(&key)).collect();
    (!others.is_empty()).then(|| others.join("; "))
}

/// What follows the key may be a secret that was typed in another way, as in `password:...`.
fn unvalued(param: &str) -> String {
    match param.find([':', ' ', '"', '\'']) {
        Some(end) => format!("{}...", param.get(..end).unwrap_or_default()),
        None => param.to_owned(),
    }
}

/// By the names of the flags.
fn words(mistakes: &Mistakes) -> String {
    mistakes.0.iter().map(word).collect::<Vec<_>>().join("\n")
}

fn word(mistake: &Mistake) -> String {
    // `check.NAME.tls.ca_file`, where the name may have dots.
    const FLAGS: [(&str, &str); 9] = [
        (".tls.ca_file", "--tls-ca"),
        (".tls.cert_file", "--tls-cert"),
        (".tls.key_file", "--tls-key"),
        (".tls.server_name", "--tls-server-name"),
        (".limits.memory", "--memory"),
        (".limits", "--memory"),
        (".target", "--target"),
        (".timeout", "--timeout"),
        (".allow", "--allow"),
    ];
    let key = &mistake.place.key;
    let flag = FLAGS.iter().find(|(end, _)| key.ends_with(end)).map(|(_, flag)| (*flag).to_owned());
    let flag = flag.or_else(|| key.split_once(".params").map(|(_, rest)| format!("-p {}", rest.trim_matches('.'))));
    match flag {
        Some(flag) => format!("{}: {}", flag.trim(), mistake.problem),
        None => mistake.problem.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(all: &[&str]) -> Result<String, String> {
        let mut table = Table::new();
        let put = all.iter().try_for_each(|param| put(&mut table, param));
        put.map(|()| serde_json::to_string(&table).expect("json")).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_toml_or_text() {
        let cases = [
            ("a=1", r#"{"a":1}"#),
            ("a=select 1", r#"{"a":"select 1"}"#),
            ("a=\"1\"", r#"{"a":"1"}"#),
            ("a=", r#"{"a":""}"#),
            ("a=b=c", r#"{"a":"b=c"}"#),
            ("a=[1, 2]", r#"{"a":[1,2]}"#),
            ("a={ b = true }", r#"{"a":{"b":true}}"#),
            ("a.b=x", r#"{"a":{"b":"x"}}"#),
            ("a=1979-05-27", r#"{"a":"1979-05-27"}"#),
            ("a=nan", r#"{"a":"nan"}"#),
            ("a=1\nb=2", r#"{"a":"1\nb=2"}"#),
        ];
        for (param, json) in cases {
            assert_eq!(params(&[param]).as_deref(), Ok(json), "{param}");
        }
        assert_eq!(params(&["a.b=1", "a.c=2"]).as_deref(), Ok(r#"{"a":{"b":1,"c":2}}"#));
    }

    #[test]
    fn garbage_is_named() {
        for (all, words) in [
            (&["a"][..], "write KEY=VALUE"),
            (&["password:hunter22"], "-p \"password...\": write"),
            (&["password hunter22"], "-p \"password...\": write"),
            (&["=1"], "a key is empty"),
            (&["a..b=1"], "a key is empty"),
            (&["a=1", "a=2"], "given twice"),
            (&["a=1", "a.b=2"], "not as a table"),
        ] {
            let error = params(all).expect_err("garbage");
            assert!(error.contains(words), "{all:?}: {error}");
        }
    }

    #[test]
    fn where_a_text_is_wanted_it_is_taken_as_it_was_typed() {
        let typed = ["a=220", "b=true", "c=\"1\"", "d=2024-01-01", "e.f=1.50", "n=7", "g=x"];
        let flags = Flags { param: typed.map(str::to_owned).to_vec(), ..Flags::default() };
        let table = flags.table().expect("values").remove("params").expect("params");
        let mut params: Params = serde_json::from_value(serde_json::to_value(table).expect("JSON")).expect("a table");
        let text = serde_json::json!({"type": "string"});
        let schema = serde_json::json!({"properties": {
            "a": text, "b": text, "c": text, "d": text, "e": {"properties": {"f": text}}, "n": {"type": "integer"},
        }});
        assert!(flags.take_as_texts(&mut params, &schema));
        let read = serde_json::json!({
            "a": "220", "b": "true", "c": "1", "d": "2024-01-01", "e": {"f": "1.50"}, "n": 7, "g": "x",
        });
        assert_eq!(serde_json::Value::from(params.clone()), read);
        assert!(!flags.take_as_texts(&mut params, &schema));
    }

    #[test]
    fn params_are_changed_one_by_one() {
        let map = |text: &str| serde_json::from_str::<Params>(text).expect("json");
        let mut own = map(r#"{"a":1,"b":{"c":1,"d":2}}"#);
        merge(&mut own, map(r#"{"b":{"c":3},"e":4}"#));
        assert_eq!(own, map(r#"{"a":1,"b":{"c":3,"d":2},"e":4}"#));
    }
}
