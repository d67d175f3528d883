//! A type of JSON Schema in words: `integer, 0 to 9`.

use serde_json::Value;

/// Of what any value may be.
pub const ANYTHING: &str = "anything";
/// Of what no value may be.
pub const NOTHING: &str = "none";

/// `get` gives what the schema says under a key, `of` the words for the schema under a key.
pub fn named<'a>(name: &str, get: &dyn Fn(&str) -> Option<&'a Value>, of: &dyn Fn(&str) -> Option<String>) -> String {
    match name {
        "array" => {
            let items = of("items").unwrap_or_else(|| ANYTHING.to_owned());
            format!("list of {items}{}", count(get, "minItems", "maxItems", "items"))
        }
        "object" => {
            let values = get("additionalProperties").filter(|values| values.is_object());
            let values = values.filter(|_| get("properties").is_none()).and_then(|_| of("additionalProperties"));
            let kind = values.map_or("table".to_owned(), |values| format!("map of {values}"));
            format!("{kind}{}", count(get, "minProperties", "maxProperties", "keys"))
        }
        "integer" | "number" => format!("{name}{}", numbers(get)),
        "string" => {
            let said = |key, words: &str| {
                get(key).and_then(Value::as_str).map(|said| format!(", {words} {said}")).unwrap_or_default()
            };
            let length = count(get, "minLength", "maxLength", "characters");
            format!("{name}{length}{}{}", said("pattern", "matching"), said("format", "as"))
        }
        name => name.to_owned(),
    }
}

fn numbers<'a>(get: &dyn Fn(&str) -> Option<&'a Value>) -> String {
    let bound = |key, words: &str| get(key).filter(|bound| bound.is_number()).map(|bound| format!(", {words} {bound}"));
    let more = [("exclusiveMinimum", "more than"), ("exclusiveMaximum", "less than"), ("multipleOf", "a multiple of")];
    let (least, rest) = match range(get, "minimum", "maximum") {
        // What is more than 0 comes before what is up to 9.
        range if get("exclusiveMinimum").is_some() => (String::new(), range),
        range => (range, String::new()),
    };
    let [from, to, multiple] = more.map(|(key, words)| bound(key, words).unwrap_or_default());
    format!("{least}{from}{rest}{to}{multiple}")
}

fn count<'a>(get: &dyn Fn(&str) -> Option<&'a Value>, least: &str, most: &str, unit: &str) -> String {
    let range = range(get, least, most);
    if range.is_empty() { range } else { format!("{range} {unit}") }
}

fn range<'a>(get: &dyn Fn(&str) -> Option<&'a Value>, least: &str, most: &str) -> String {
    let bound = |key: &str| get(key).filter(|bound| bound.is_number());
    match (bound(least), bound(most)) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", from {least}"),
        (None, Some(most)) => format!(", up to {most}"),
        (None, None) => String::new(),
    }
}
