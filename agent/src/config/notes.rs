//! What was typed, and where: noted while the tables are read, so that each value can say where it comes from.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::table::{Lines, Place};

/// Every key that was read, by the table it stands in (`agent`, `check.orders-db`) and its name there (`timeout`,
/// `tls.ca_file`). The two are apart because names have dots.
#[derive(Debug, Default)]
pub struct Notes(BTreeMap<String, BTreeMap<String, Note>>);

#[derive(Debug)]
pub struct Note {
    pub place: Place,
    /// Before secrets were put in.
    pub typed: Value,
}

impl Notes {
    pub fn add(&mut self, table: &str, key: &str, place: &Place, value: &Spanned<DeValue<'_>>, lines: &Lines) {
        // Of tables of tables each table is noted by itself.
        if table.is_empty() {
            return;
        }
        let typed = typed(value);
        let notes = self.0.entry(table.to_owned()).or_default();
        notes.insert(key.to_owned(), Note { place: place.clone(), typed });
        within(notes, key, place, value.get_ref(), lines);
    }

    pub fn get(&self, table: &str, key: &str) -> Option<&Note> {
        self.0.get(table)?.get(key)
    }

    /// Is anything of this table written?
    pub fn has(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// Where a key within a value stands; the value itself where that is not known.
    pub fn place_within(&self, outer: &Place, table: &str, key: &str) -> Place {
        self.get(table, key).map_or_else(|| outer.clone(), |note| note.place.clone())
    }
}

/// As what a date comes out of TOML: a table of this key. Infinite numbers, which JSON has not, are noted in that form
/// too.
pub const LITERAL: &str = "$__toml_private_datetime";

/// The text of a value that TOML has and JSON has not.
pub fn literal(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get(LITERAL)?.as_str()
}

fn typed(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(typed).collect(),
        DeValue::Table(table) => table.iter().map(|(key, item)| (key.get_ref().to_string(), typed(item))).collect(),
        DeValue::Float(number) if number.as_str().contains(['i', 'n']) => {
            serde_json::json!({ LITERAL: number.as_str() })
        }
        _ => Value::deserialize(ValueDeserializer::from(value.clone())).unwrap_or_default(),
    }
}

/// What stands in a table within, such as `tls = { ca_file = ".." }`.
fn within(notes: &mut BTreeMap<String, Note>, outer: &str, place: &Place, value: &DeValue<'_>, lines: &Lines) {
    let DeValue::Table(table) = value else { return };
    for (name, item) in table {
        let key = format!("{outer}.{}", name.get_ref());
        let place = Place {
            file: place.file.clone(),
            line: lines.at(name.span().start),
            key: format!("{}.{}", place.key, name.get_ref()),
        };
        let typed = typed(item);
        within(notes, &key, &place, item.get_ref(), lines);
        notes.insert(key, Note { place, typed });
    }
}
