//! What is written otherwise than it runs, where only a start takes it over.

use serde_json::Value;

use super::print::inline;
use super::{Origin, Section, Setting};

/// One key, or one table, that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `agent.listen`
    pub key: String,
    /// What is written now: the same is not said twice, wherever it stands.
    to: Option<Value>,
    /// For people, whole.
    pub line: String,
}

impl Difference {
    fn new(key: String, to: Option<Value>, what: &str) -> Self {
        let line = format!("{key}: {what}; takes effect at the next start");
        Self { key, to, line }
    }

    /// Is it the same change, wherever it stands in the file?
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.to == other.to
    }
}

/// What is written otherwise than it runs.
pub fn differences(running: &[Section], written: &[Section]) -> Vec<Difference> {
    let mut found = Vec::new();
    for section in running {
        match written.iter().find(|other| other.name == section.name) {
            Some(other) => within(section, other, &mut found),
            None => {
                let what = "it is in use, the file has it no more";
                found.push(Difference::new(section.name.clone(), None, what));
            }
        }
    }
    for section in written {
        if !running.iter().any(|other| other.name == section.name) {
            let place = section.settings.iter().find_map(|setting| place(&setting.origin)).unwrap_or_default();
            let what = format!("it is not in use, the file has it now{place}");
            // What is said of it may change: the same table is new once.
            found.push(Difference::new(section.name.clone(), Some(Value::Null), &what));
        }
    }
    found
}

fn within(running: &Section, written: &Section, found: &mut Vec<Difference>) {
    let name = |setting: &Setting| format!("{}.{}", running.name, setting.key);
    for setting in &running.settings {
        let now = written.settings.iter().find(|other| other.key == setting.key);
        if now.is_some_and(|now| now.value == setting.value) {
            continue;
        }
        let was = inline(&setting.shown);
        let what = match now {
            None => format!("runs with {was}, the file has none"),
            Some(now) if now.shown == setting.shown => {
                format!("its secret has changed{}", place(&now.origin).unwrap_or_default())
            }
            Some(now) => format!("runs with {was}, {}", has(now)),
        };
        found.push(Difference::new(name(setting), now.map(|now| now.value.clone()), &what));
    }
    for setting in &written.settings {
        if !running.settings.iter().any(|other| other.key == setting.key) {
            let what = format!("runs without, {}", has(setting));
            found.push(Difference::new(name(setting), Some(setting.value.clone()), &what));
        }
    }
}

fn has(setting: &Setting) -> String {
    let shown = inline(&setting.shown);
    match place(&setting.origin) {
        Some(place) => format!("the file has {shown}{place}"),
        None => format!("the default is {shown} now"),
    }
}

/// ` (/etc/vitald/vitald.toml:3)`
fn place(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Written(place) | Origin::Defaults(place) => Some(format!(" ({}:{})", place.file.display(), place.line)),
        Origin::Default(_) => None,
    }
}
