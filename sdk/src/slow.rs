//! `slow`, the parameter that every checker of a target has by itself: UP, but slower than this, is DEGRADED.
//!
//! A checker's type need not know it: it is added to the schema that the agent sees, and taken out of the params before
//! they become the checker's type. A type that has a `slow` of its own keeps it, and gets none of this. What is no
//! length of time above zero is refused as wrong params before the checker runs.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::length::{self, Length};
use crate::outcome::{Outcome, Status};

const KEY: &str = "slow";

const DESCRIPTION: &str = "UP, but slower than this, is DEGRADED: \"200ms\".";

/// Where the parts of a schema stand that apply to the same value.
const PARTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// References that are followed, one behind the other.
const MAX_DEPTH: usize = 16;

/// Adds it to a schema, unless that has one.
pub(crate) fn offer(schema: &mut Map<String, Value>) {
    if is_own(schema, schema, 0) {
        return;
    }
    let mut definitions = schema.remove("$defs").unwrap_or_default();
    add(schema, &mut definitions);
    if !definitions.is_null() {
        schema.insert("$defs".into(), definitions);
    }
}

/// To each part: one that takes nothing but its own keys would refuse it.
fn add(schema: &mut Map<String, Value>, definitions: &mut Value) {
    let properties = schema.entry("properties").or_insert_with(|| Map::new().into());
    if let Value::Object(properties) = properties {
        properties.insert(KEY.into(), property());
    }
    for part in PARTS {
        let variants = schema.get_mut(part).and_then(Value::as_array_mut).into_iter().flatten();
        for variant in variants.filter_map(Value::as_object_mut) {
            add(variant, definitions);
        }
    }
    let Some(name) = reference(schema) else { return };
    // Out of the definitions while it changes: one that refers to itself finds nothing there, and that is the end.
    if let Some(Value::Object(mut definition)) = definitions.get_mut(name).map(Value::take) {
        add(&mut definition, definitions);
        if let Some(place) = definitions.get_mut(name) {
            *place = definition.into();
        }
    }
}

fn property() -> Value {
    let mut property = Map::new();
    property.insert("type".into(), "string".into());
    property.insert("pattern".into(), length::PATTERN.into());
    property.insert("description".into(), DESCRIPTION.into());
    property.into()
}

fn is_own(schema: &Map<String, Value>, root: &Map<String, Value>, depth: usize) -> bool {
    if schema.get("properties").is_some_and(|properties| properties.get(KEY).is_some()) {
        return true;
    }
    let variants = PARTS.into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let definition = reference(schema).and_then(|name| root.get("$defs")?.get(name));
    depth < MAX_DEPTH
        && variants.chain(definition).filter_map(Value::as_object).any(|part| is_own(part, root, depth + 1))
}

fn reference(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// Takes it out of the params. The schema is asked for only where it is there.
pub(crate) fn take(params: &mut Value, schema: impl FnOnce() -> Map<String, Value>) -> Result<Option<Length>> {
    let Some(params) = params.as_object_mut().filter(|params| params.contains_key(KEY)) else {
        return Ok(None);
    };
    let schema = schema();
    if is_own(&schema, &schema, 0) {
        return Ok(None);
    }
    let written = params.remove(KEY).unwrap_or_default();
    match written.as_str().map(str::parse::<Length>) {
        Some(Ok(limit)) if !limit.get().is_zero() => Ok(Some(limit)),
        Some(Err(wrong)) => Err(Error::invalid_params(format!("params.slow: {}", wrong.message()))),
        _ => Err(Error::invalid_params("params.slow: write a length of time above zero, such as \"200ms\"")),
    }
}

/// What is UP and was not quick enough is DEGRADED.
pub(crate) fn judge(outcome: Outcome, took: Duration, limit: Option<Length>) -> Outcome {
    match limit {
        Some(limit) if outcome.status == Status::Up && took > limit.get() => {
            let comma = if outcome.message.is_empty() { "" } else { "; " };
            let message = format!("{}{comma}slow: {}, more than {limit}", outcome.message, rounded_up(took));
            Outcome::new(Status::Degraded, message)
        }
        _ => outcome,
    }
}

/// To whole milliseconds, and below ten of them to microseconds: it never looks like the limit that it passed.
fn rounded_up(took: Duration) -> Length {
    let unit = if took < Duration::from_millis(10) { 1_000 } else { 1_000_000 };
    Length::new(Duration::from_nanos(length::nanos(took).div_ceil(unit).saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::outcome::{down, up};

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn offered(schema: Value) -> Value {
        let mut schema = map(schema);
        offer(&mut schema);
        schema.into()
    }

    #[test]
    fn every_part_of_a_schema_gets_it_once() {
        let plain = offered(json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}));
        assert_eq!(plain["properties"]["slow"]["type"], "string");
        assert!(plain["properties"]["slow"]["description"].as_str().unwrap().contains("DEGRADED"));
        assert!(offered(json!({}))["properties"]["slow"].is_object());
        let closed = json!({"properties": {"kind": {"const": "a"}}, "additionalProperties": false});
        let variants = offered(json!({
            "oneOf": [closed, true, {"$ref": "#/$defs/Other"}, {"$ref": "#/$defs/None"}],
            "$defs": {"Other": closed, "Unused": closed},
        }));
        assert!(variants["oneOf"][0]["properties"]["slow"].is_object());
        assert!(variants["$defs"]["Other"]["properties"]["slow"].is_object());
        assert_eq!(variants["$defs"]["Unused"]["properties"]["slow"], Value::Null);
        let endless = offered(json!({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}));
        assert!(endless["$defs"]["A"]["properties"]["slow"].is_object());
    }

    #[test]
    fn a_type_that_has_one_keeps_it() {
        let own = json!({"properties": {"slow": {"type": "integer"}}});
        assert_eq!(offered(own.clone()), own);
        let behind = json!({"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": own}});
        assert_eq!(offered(behind.clone()), behind);
        let mut params = json!({"slow": 5});
        assert_eq!(take(&mut params, || map(behind)), Ok(None));
        assert_eq!(params["slow"], 5);
    }

    #[test]
    fn is_taken_out_of_the_params() {
        let mut params = json!({"slow": "200ms", "a": 1});
        let taken = take(&mut params, Map::new);
        assert_eq!((taken, params), (Ok(Some(Length::new(Duration::from_millis(200)))), json!({"a": 1})));
        let no_schema = || panic!("nothing to decide");
        assert_eq!(take(&mut json!({"a": 1}), no_schema), Ok(None));
        assert_eq!(take(&mut json!([]), no_schema), Ok(None));
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_by_its_key() {
        for wrong in [json!("fast"), json!("0s"), json!("200"), json!(200), json!(null), json!({"a": 1})] {
            let error = take(&mut json!({ "slow": wrong }), Map::new).unwrap_err();
            assert!(error.message().contains("slow") && error.message().contains("\"200ms\""), "{error}");
            assert!(format!("{error:?}").starts_with("InvalidParams"), "{error:?}");
        }
    }

    #[test]
    fn only_what_is_up_and_too_slow_is_degraded() {
        let limit = Some(Length::new(Duration::from_millis(200)));
        let judged = |outcome, micros| judge(outcome, Duration::from_micros(micros), limit);
        assert_eq!(judged(up("fine"), 200_000), up("fine"));
        assert_eq!(judged(up("fine"), 311_001), Outcome::new(Status::Degraded, "fine; slow: 312ms, more than 200ms"));
        assert_eq!(judged(up(""), 200_001).message, "slow: 201ms, more than 200ms");
        assert_eq!(judged(down("no"), 300_000), down("no"));
        assert_eq!(super::judge(up("fine"), Duration::MAX, None), up("fine"));
        assert_eq!(rounded_up(Duration::from_nanos(3_000_001)).to_string(), "3ms 1us");
        assert!(rounded_up(Duration::MAX).get() > Duration::from_secs(1));
    }
}
