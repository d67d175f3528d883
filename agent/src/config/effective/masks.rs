//! What is shown where a secret may stand.

use serde_json::Value;

use crate::config::entries::SECRET_KEYS;
use crate::config::notes::literal;
use crate::model::secret::MASK;

pub fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(has_placeholder),
        Value::Object(map) => map.values().any(has_placeholder),
        _ => false,
    }
}

/// `a ${file:x}` becomes `***${file:x}`: what a placeholder stands for is not in it.
pub fn literals(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        let Some((name, after)) = from.split_once('}') else { break };
        hide(&mut shown, before);
        shown.push_str("${");
        shown.push_str(name);
        shown.push('}');
        rest = after;
    }
    hide(&mut shown, rest);
    shown
}

fn hide(shown: &mut String, literal: &str) {
    if !literal.is_empty() {
        shown.push_str(MASK);
    }
}

/// Every text is hidden.
pub fn texts(value: &Value) -> Value {
    match value {
        date if literal(date).is_some() => date.clone(),
        Value::String(text) => literals(text).into(),
        Value::Array(items) => items.iter().map(texts).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), texts(item))).collect(),
        other => other.clone(),
    }
}

/// Everything is hidden.
fn whole(value: &Value) -> Value {
    match value {
        date if literal(date).is_some() => MASK.into(),
        Value::String(text) => literals(text).into(),
        Value::Array(items) => items.iter().map(whole).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), whole(item))).collect(),
        _ => MASK.into(),
    }
}

/// A parameter: every text is hidden, and what has the name of a secret is hidden whatever it is.
pub fn param(key: &str, value: &Value) -> Value {
    let lower = key.to_ascii_lowercase();
    if SECRET_KEYS.iter().any(|secret| lower.contains(secret)) {
        return whole(value);
    }
    match value {
        date if literal(date).is_some() => date.clone(),
        Value::Array(items) => items.iter().map(|item| param(key, item)).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), param(key, item))).collect(),
        other => texts(other),
    }
}

/// A target: the password is hidden, and a userinfo that is one word, which may be a token; and what the keys of the
/// query are set to.
pub fn target(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return texts(value) };
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let (rest, query) = match split_outside(rest, '?') {
        Some((rest, query)) => (rest, format!("?{}", self::query(query))),
        None => (rest, String::new()),
    };
    let Some((user, hosts)) = userinfo(rest) else { return format!("{scheme}://{rest}{query}").into() };
    let user = match split_outside(user, ':') {
        Some((name, password)) => format!("{name}:{}", literals(password)),
        None => literals(user),
    };
    format!("{scheme}://{user}@{hosts}{query}").into()
}

fn query(mut rest: &str) -> String {
    let mut shown = Vec::new();
    loop {
        let (pair, after) = split_outside(rest, '&').map_or((rest, None), |(pair, after)| (pair, Some(after)));
        shown.push(match split_outside(pair, '=') {
            Some((key, value)) => format!("{key}={}", literals(value)),
            None => literals(pair),
        });
        let Some(after) = after else { return shown.join("&") };
        rest = after;
    }
}

/// What stands before the last `@` of the authority; a placeholder may hold anything.
fn userinfo(rest: &str) -> Option<(&str, &str)> {
    let mut inside = false;
    let mut found = None;
    for (at, c) in rest.char_indices() {
        match c {
            '$' if rest.get(at + 1..).is_some_and(|tail| tail.starts_with('{')) => inside = true,
            '}' => inside = false,
            '@' if !inside => found = Some(at),
            '/' | '?' | '#' if !inside => break,
            _ => {}
        }
    }
    let at = found?;
    Some((rest.get(..at)?, rest.get(at + 1..)?))
}

/// At the first such mark, of one byte, that is not in a placeholder.
fn split_outside(text: &str, mark: char) -> Option<(&str, &str)> {
    let mut inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '$' if text.get(at + 1..).is_some_and(|tail| tail.starts_with('{')) => inside = true,
            '}' => inside = false,
            _ if c == mark && !inside => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_shown_and_nothing_else() {
        for (text, shown) in [
            ("", ""),
            ("plain", "***"),
            ("${file:x}", "${file:x}"),
            ("Bearer ${env:T}", "***${env:T}"),
            ("${file:a}${file:b}!", "${file:a}${file:b}***"),
            ("${file:open", "***"),
        ] {
            assert_eq!(literals(text), shown, "{text}");
        }
    }

    #[test]
    fn targets_without_their_passwords() {
        for (text, shown) in [
            ("tcp://h:1", "tcp://h:1"),
            ("redis://:pw@h", "redis://:***@h"),
            ("postgres://u:p@a:1,b:2/db?x=1", "postgres://u:***@a:1,b:2/db?x=***"),
            ("postgres://u:${file:db}@h/x", "postgres://u:${file:db}@h/x"),
            ("http://token@h/", "http://***@h/"),
            ("http://${file:tok}@h/a@b", "http://${file:tok}@h/a@b"),
            ("http://h/a@b", "http://h/a@b"),
            ("http://u:p@q@h/", "http://u:***@h/"),
            ("redis://h/?password=x&db=${file:a&b}&flag", "redis://h/?password=***&db=${file:a&b}&***"),
            ("http://h/?a=b@c?d=e=f", "http://h/?a=***"),
            ("http://h/?", "http://h/?"),
        ] {
            assert_eq!(target(&json!(text)), json!(shown), "{text}");
        }
    }

    #[test]
    fn params_keep_their_numbers_but_not_those_that_are_passwords() {
        let written = json!({"query": "select 1", "max": 5, "pin_token": 1234, "headers": {"a": "b", "c": "${env:C}"},
            "list": [{"password": 7, "n": 1}]});
        let shown = json!({"query": "***", "max": 5, "pin_token": "***", "headers": {"a": "***", "c": "${env:C}"},
            "list": [{"password": "***", "n": 1}]});
        let date = json!({ crate::config::notes::LITERAL: "1979-05-27" });
        assert_eq!((param("since", &date), param("token", &date)), (date.clone(), json!("***")));
        assert_eq!(param("", &written), shown);
    }
}
