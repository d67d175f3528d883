//! The parameters of a checker, read off its JSON Schema: what an operator writes under `params`, one line each. The
//! schema was looked at by `plugins::schema` before: it refers to nothing but itself, and not to itself for ever. What it
//! says of one value may stand in several places: beside a reference and behind it, in `allOf`, in variants.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::super::table::one_line;
use super::words::{ANYTHING, NOTHING, named};

/// Tables in tables that are followed.
const MAX_DEPTH: usize = 8;
/// Characters of a text, and of a default.
const MAX_TEXT: usize = 400;
/// Parameters that are shown.
pub const MAX_PARAMS: usize = 500;
/// Schemas that are looked at, each as often as it is referred to.
const MAX_LOOKS: u32 = 20_000;

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Param {
    /// `retry.delay`; `*` stands for any key, `[]` for any item of a list.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// One that is very long is a text, cut off.
    pub default: Option<Value>,
    pub required: bool,
    pub description: String,
}

/// Whatever the schema names, at most [`MAX_PARAMS`]. A `*` stands for parameters of any name.
pub fn params(schema: &Value) -> Vec<Param> {
    let walk = Walk { root: schema, looks: Cell::new(0) };
    let mut found = walk.table("", schema, 0);
    if let Some(kind) = walk.others(schema, found.is_empty()) {
        let description = "any others".to_owned();
        found.push(Param { name: "*".to_owned(), kind, default: None, required: false, description });
    }
    found.truncate(MAX_PARAMS);
    found
}

/// Is what stands under these keys, one in the other, a text or nothing at all?
pub fn is_text(schema: &Value, keys: &[&str]) -> bool {
    let walk = Walk { root: schema, looks: Cell::new(0) };
    let found = keys.iter().try_fold(schema, |schema, key| walk.property(schema, key));
    found.is_some_and(|schema| walk.is_text(schema, 0))
}

struct Walk<'a> {
    root: &'a Value,
    looks: Cell<u32>,
}

/// What holds of one value, all of it: the first has the last word.
type Parts<'a> = Vec<&'a Map<String, Value>>;

fn get<'a>(parts: &Parts<'a>, key: &str) -> Option<&'a Value> {
    parts.iter().find_map(|part| part.get(key))
}

impl<'a> Walk<'a> {
    fn parts(&self, schema: &'a Value) -> Parts<'a> {
        let mut parts = Vec::new();
        self.collect(schema, &mut parts, 0);
        parts
    }

    fn collect(&self, schema: &'a Value, parts: &mut Parts<'a>, depth: usize) {
        self.looks.set(self.looks.get().saturating_add(1));
        let Some(schema) = schema.as_object() else { return };
        if depth > MAX_DEPTH || self.looks.get() > MAX_LOOKS {
            return;
        }
        parts.push(schema);
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
        let defined = name.and_then(|name| self.root.get("$defs")?.get(name));
        let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        for part in defined.into_iter().chain(all) {
            self.collect(part, parts, depth + 1);
        }
    }

    /// For each choice that the value has: what it may be, without null, which stands for none.
    fn choices(&self, parts: &Parts<'a>) -> Vec<Vec<&'a Value>> {
        let keys =
            |part: &&'a Map<String, Value>| ["anyOf", "oneOf"].map(|key| part.get(key).and_then(Value::as_array));
        let is_null = |variant: &&'a Value| get(&self.parts(variant), "type").is_some_and(|kind| kind == "null");
        let choices = parts.iter().flat_map(keys).flatten();
        choices.map(|variants| variants.iter().filter(|variant| !is_null(variant)).collect()).collect()
    }

    fn table(&self, prefix: &str, schema: &'a Value, depth: usize) -> Vec<Param> {
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        let parts = self.parts(schema);
        let required =
            parts.iter().filter_map(|part| part.get("required")?.as_array()).flatten().filter_map(Value::as_str);
        let required: Vec<&str> = required.collect();
        let mut found = Vec::new();
        for (key, property) in parts.iter().filter_map(|part| part.get("properties")?.as_object()).flatten() {
            let is_required = required.contains(&key.as_str());
            merge(&mut found, self.param(format!("{prefix}{}", text(key)), property, is_required, depth));
        }
        for variants in self.choices(&parts) {
            merge(&mut found, self.variants(prefix, &variants, depth));
        }
        // What only a variant or another part demands.
        for param in &mut found {
            let key = param.name.strip_prefix(prefix).unwrap_or_default();
            param.required = param.required || required.contains(&key);
        }
        if let Some(values) = get(&parts, "additionalProperties").filter(|values| values.is_object()) {
            merge(&mut found, self.table(&format!("{prefix}*."), values, depth + 1));
        }
        found
    }

    /// One of several: what is not required by all of them is not required.
    fn variants(&self, prefix: &str, variants: &[&'a Value], depth: usize) -> Vec<Param> {
        let mut found: Vec<Param> = Vec::new();
        let mut required: Option<Vec<String>> = None;
        for variant in variants {
            let params = self.table(prefix, variant, depth + 1);
            let names = params.iter().filter(|param| param.required).map(|param| param.name.clone());
            required = Some(match required {
                None => names.collect(),
                Some(before) => names.filter(|name| before.contains(name)).collect(),
            });
            for param in params {
                add(&mut found, param, Param::or);
            }
        }
        for param in &mut found {
            param.required = required.as_ref().is_some_and(|names| names.contains(&param.name));
        }
        found
    }

    /// It, and what is in it.
    fn param(&self, name: String, schema: &'a Value, required: bool, depth: usize) -> Vec<Param> {
        let parts = self.parts(schema);
        let description = get(&parts, "description").and_then(Value::as_str).map(text).unwrap_or_default();
        let default = get(&parts, "default").filter(|default| !default.is_null()).map(capped);
        let mut found = self.table(&format!("{name}."), schema, depth + 1);
        let lists = [parts].into_iter().chain(self.variant_parts(schema));
        for items in lists.filter_map(|parts| get(&parts, "items")) {
            merge(&mut found, self.table(&format!("{name}[]."), items, depth + 1));
        }
        found.insert(0, Param { kind: self.kind(schema, 0), name, default, required, description });
        found
    }

    fn variant_parts(&self, schema: &'a Value) -> Vec<Parts<'a>> {
        self.choices(&self.parts(schema)).into_iter().flatten().map(|variant| self.parts(variant)).collect()
    }

    fn property(&self, schema: &'a Value, key: &str) -> Option<&'a Value> {
        let parts: Vec<_> = self.parts(schema).into_iter().chain(self.variant_parts(schema).concat()).collect();
        let named = parts.iter().find_map(|part| part.get("properties")?.get(key));
        named.or_else(|| get(&parts, "additionalProperties").filter(|values| values.is_object()))
    }

    fn is_text(&self, schema: &'a Value, depth: usize) -> bool {
        let parts = self.parts(schema);
        let names = |names: &[Value]| {
            names.iter().any(|name| name == "string") && names.iter().all(|name| name == "string" || name == "null")
        };
        match (get(&parts, "const"), get(&parts, "enum"), get(&parts, "type")) {
            (Some(value), _, _) => value.is_string(),
            (None, Some(Value::Array(values)), _) => values.iter().all(|value| value.is_string() || value.is_null()),
            (None, _, Some(Value::String(name))) => name == "string",
            (None, _, Some(Value::Array(all))) => names(all),
            _ => self.choices(&parts).first().is_some_and(|variants| {
                depth < MAX_DEPTH && !variants.is_empty() && variants.iter().all(|v| self.is_text(v, depth + 1))
            }),
        }
    }

    /// Of parameters that the schema does not name: of what type they may be.
    fn others(&self, schema: &'a Value, names_none: bool) -> Option<String> {
        let parts = [self.parts(schema)].into_iter().chain(self.variant_parts(schema));
        let said: Vec<&Value> = parts.filter_map(|parts| get(&parts, "additionalProperties")).collect();
        match said.iter().find(|values| **values != &Value::Bool(false)) {
            Some(values) => Some(self.kind(values, 0)),
            // Who names some and does not say more means these.
            None => (names_none && said.is_empty()).then(|| ANYTHING.to_owned()),
        }
    }

    fn kind(&self, schema: &'a Value, depth: usize) -> String {
        if depth > MAX_DEPTH || self.looks.get() > MAX_LOOKS {
            return ANYTHING.to_owned();
        }
        if schema == &Value::Bool(false) {
            return NOTHING.to_owned();
        }
        let parts = self.parts(schema);
        if let Some(value) = get(&parts, "const") {
            return text(&value.to_string());
        }
        if let Some(values) = get(&parts, "enum").and_then(Value::as_array) {
            return united(values.iter().filter(|value| !value.is_null()).map(Value::to_string));
        }
        let chosen = self.choices(&parts).into_iter().next();
        let chosen = chosen.map(|variants| united(variants.into_iter().map(|variant| self.kind(variant, depth + 1))));
        let types: Vec<&str> = match get(&parts, "type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            _ if parts.iter().any(|part| part.contains_key("properties")) => vec!["object"],
            _ => return chosen.unwrap_or_else(|| ANYTHING.to_owned()),
        };
        // A choice among values says more than their type does.
        let chosen = chosen.filter(|chosen| chosen != ANYTHING && chosen != NOTHING && types != ["object"]);
        let of = |key: &str| get(&parts, key).map(|of| self.kind(of, depth + 1));
        chosen.unwrap_or_else(|| united(types.into_iter().map(|name| named(name, &|key| get(&parts, key), &of))))
    }
}

impl Param {
    /// The same one in another variant.
    fn or(&mut self, other: Self) {
        self.kind = united([std::mem::take(&mut self.kind), other.kind].into_iter());
        self.fill(other.default, other.description);
    }

    /// The same one, of which more is said elsewhere.
    fn and(&mut self, other: Self) {
        if self.kind == ANYTHING {
            self.kind = other.kind;
        }
        self.required |= other.required;
        self.fill(other.default, other.description);
    }

    fn fill(&mut self, default: Option<Value>, description: String) {
        self.default = self.default.take().or(default);
        if self.description.is_empty() {
            self.description = description;
        }
    }
}

/// Adds what all holds of the same table.
fn merge(found: &mut Vec<Param>, more: Vec<Param>) {
    for param in more {
        add(found, param, Param::and);
    }
}

fn add(found: &mut Vec<Param>, param: Param, merge: impl Fn(&mut Param, Param)) {
    let room = found.len() < MAX_PARAMS;
    match found.iter_mut().find(|known| known.name == param.name) {
        Some(known) => merge(known, param),
        None if room => found.push(param),
        None => {}
    }
}

/// `a | b`, each once.
fn united(kinds: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for kind in kinds {
        for kind in kind.split(" | ") {
            if kind == ANYTHING {
                return ANYTHING.to_owned();
            }
            if !all.iter().any(|known| known == kind) {
                all.push(kind.to_owned());
            }
        }
    }
    if all.is_empty() { NOTHING.to_owned() } else { text(&all.join(" | ")) }
}

fn capped(default: &Value) -> Value {
    let written = default.to_string();
    if written.chars().count() <= MAX_TEXT { default.clone() } else { Value::String(text(&written)) }
}

fn text(text: &str) -> String {
    let text = one_line(text);
    if text.chars().count() <= MAX_TEXT { text } else { text.chars().take(MAX_TEXT).chain(['…']).collect() }
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
