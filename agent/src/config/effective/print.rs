//! The effective configuration as TOML with comments, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::notes::literal;

use super::{Origin, Section, Setting};

/// Where comments begin, if what stands before them is not longer.
const COLUMN: usize = 44;

/// TOML that could be used again, but for what is masked.
pub fn text(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        let name = section.name.split('.').next().unwrap_or_default();
        let header = if section.listed { format!("[[{name}]]") } else { format!("[{name}]") };
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{gap}{header}");
        for setting in &section.settings {
            let line = format!("{} = {}", dotted(&setting.key), inline(&setting.shown));
            let _ = writeln!(text, "{line:COLUMN$} # {}", origin(&setting.origin));
        }
    }
    text
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Written(place) => format!("{}:{}", place.file.display(), place.line),
        Origin::Defaults(place) => format!("[defaults] {}:{}", place.file.display(), place.line),
        Origin::Default(None) => "default".to_owned(),
        Origin::Default(Some(why)) => format!("default: {why}"),
    }
}

/// `[{"key":"agent.listen","value":[..],"origin":{"file":"..","line":3}}]`
pub fn json(sections: &[Section]) -> Value {
    let one = |section: &Section, setting: &Setting| {
        let origin = match &setting.origin {
            Origin::Written(place) => json!({"file": place.file.display().to_string(), "line": place.line}),
            Origin::Defaults(place) => {
                json!({"file": place.file.display().to_string(), "line": place.line, "defaults": true})
            }
            Origin::Default(_) => json!({"default": true}),
        };
        json!({"key": format!("{}.{}", section.name, setting.key), "value": plain(&setting.shown), "origin": origin})
    };
    let all = |section: &Section| section.settings.iter().map(|setting| one(section, setting)).collect::<Vec<_>>();
    sections.iter().flat_map(all).collect()
}

/// JSON has no dates, and no infinite numbers: they are texts there.
fn plain(value: &Value) -> Value {
    match value {
        _ if literal(value).is_some() => literal(value).into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), plain(item))).collect(),
        other => other.clone(),
    }
}

/// The keys of our own tables need no quotes; what people name (`headers.X`, `pin.NAME`) may.
fn dotted(key: &str) -> String {
    match key.split_once('.') {
        Some((table, name)) => format!("{table}.{}", bare_or_quoted(name)),
        None => key.to_owned(),
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { quoted(key) }
}

/// A string of JSON is one of TOML, but for one character.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// A value on one line, as TOML.
pub fn inline(value: &Value) -> String {
    if let Some(text) = literal(value) {
        return text.to_owned();
    }
    match value {
        // TOML has none of it; nothing that is shown is null.
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let one = |(key, item): (&String, &Value)| format!("{} = {}", bare_or_quoted(key), inline(item));
            format!("{{ {} }}", map.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml() {
        let value = json!({"a b": "x\u{7f}\n\"", "list": [1, 2.5, true, {}], "t": {"k": "ü"}});
        let text = format!("v = {}", inline(&value));
        let back: toml::Table = toml::from_str(&text).expect("TOML");
        let back = serde_json::to_value(&back["v"]).expect("JSON");
        assert_eq!(back, value, "{text}");
    }
}
