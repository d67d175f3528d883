//! The effective configuration: every key with its value, and where that comes from. What may be secret (parameters,
//! headers, credentials, a target's userinfo) is shown as `***`; a placeholder is shown as it was written.
//!
//! `vitald config show` prints all of it; the part that only a start takes over is compared with what is written while
//! the agent runs.

mod differences;
mod entries;
mod masks;
mod print;
mod start;

use serde_json::Value;

use crate::model::check::TlsDef;

use super::notes::Notes;
use super::table::Place;
use super::{Config, units};

pub use self::differences::{Difference, differences};
pub use self::print::{json, text};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Written(Place),
    /// Of a check: `[defaults]` says so.
    Defaults(Place),
    /// Nobody said anything. Some defaults are to be explained.
    Default(Option<&'static str>),
}

/// One key.
#[derive(Clone, PartialEq)]
pub struct Setting {
    /// Within its table: `timeout`, `tls.ca_file`.
    pub key: String,
    /// What it is in truth; never shown.
    value: Value,
    pub shown: Value,
    pub origin: Origin,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.key, self.shown)
    }
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// `agent`, `check.orders-db`
    pub name: String,
    /// One of several: `[[check]]`.
    pub listed: bool,
    pub settings: Vec<Setting>,
}

/// All of it.
pub fn all(config: &Config, notes: &Notes) -> Vec<Section> {
    let mut sections = start::sections(config, notes);
    entries::directories(config, notes, &mut sections);
    let at = sections.len().min(1);
    sections.insert(at, entries::plugins(config, notes));
    sections.push(entries::defaults(notes));
    sections.extend(config.definitions.services.values().map(|service| entries::service(service, notes)));
    sections.extend(config.definitions.checks.values().map(|check| entries::check(check, notes)));
    sections
}

/// What only a start takes over.
pub fn at_start(config: &Config, notes: &Notes) -> Vec<Section> {
    start::sections(config, notes)
}

/// Collects the keys of one table.
struct Rows<'a> {
    notes: &'a Notes,
    /// The table's name among the notes.
    noted: String,
    section: Section,
}

impl<'a> Rows<'a> {
    fn new(notes: &'a Notes, name: &str, listed: bool) -> Self {
        let section = Section { name: name.to_owned(), listed, settings: Vec::new() };
        Self { notes, noted: name.to_owned(), section }
    }

    fn typed(&self, key: &str) -> Option<&Value> {
        self.notes.get(&self.noted, key).map(|note| &note.typed)
    }

    fn origin(&self, key: &str) -> Origin {
        let note = self.notes.get(&self.noted, key);
        note.map_or(Origin::Default(None), |note| Origin::Written(note.place.clone()))
    }

    /// A key whose value is no secret.
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        let origin = self.origin(key);
        self.put_from(key, value, origin);
    }

    fn put_from(&mut self, key: &str, value: impl Into<Value>, origin: Origin) {
        let value = value.into();
        let typed = self.typed(key).filter(|typed| masks::has_placeholder(typed)).cloned();
        let shown = typed.unwrap_or_else(|| value.clone());
        self.section.settings.push(Setting { key: key.to_owned(), value, shown, origin });
    }

    /// A key that need not have a value.
    fn may(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// A key whose place makes its value a secret: only placeholders are shown.
    fn secret(&mut self, key: &str, value: impl Into<Value>, mask: impl Fn(&Value) -> Value) {
        let value = value.into();
        let shown = mask(self.typed(key).unwrap_or(&value));
        let origin = self.origin(key);
        self.section.settings.push(Setting { key: key.to_owned(), value, shown, origin });
    }

    fn tls(&mut self, tls: &TlsDef) {
        self.may("tls.ca_file", tls.ca_file.as_deref().map(path));
        self.may("tls.cert_file", tls.identity.as_ref().map(|(cert, _)| path(cert)));
        self.may("tls.key_file", tls.identity.as_ref().map(|(_, key)| path(key)));
        self.may("tls.server_name", tls.server_name.clone());
        self.may("tls.insecure", tls.insecure.then_some(true));
    }
}

fn path(path: &std::path::Path) -> Value {
    path.display().to_string().into()
}

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    items.into_iter().map(|item| item.to_string()).collect()
}

fn length(length: std::time::Duration) -> Value {
    humantime::format_duration(length).to_string().into()
}

fn size(bytes: u64) -> Value {
    units::Size(bytes).to_string().into()
}
