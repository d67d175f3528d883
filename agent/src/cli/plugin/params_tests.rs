use serde_json::json;

use super::*;

fn lines(schema: &Value) -> Vec<String> {
    let line = |param: Param| {
        let default = param.default.map_or("-".to_owned(), |default| default.to_string());
        format!("{} ({}) {default}{}", param.name, param.kind, if param.required { " required" } else { "" })
    };
    params(schema).into_iter().map(line).collect()
}

#[test]
fn what_a_derived_schema_has_is_said_in_words() {
    let schema = json!({
        "type": "object",
        "required": ["query"],
        "properties": {
            "query": { "type": "string" },
            "rows": { "type": "integer", "minimum": 0, "maximum": 9, "default": 7 },
            "ratio": { "type": ["number", "null"], "minimum": 0.5, "default": null },
            "mode": { "enum": ["fast", "slow"], "default": "fast" },
            "level": { "oneOf": [{ "const": "low", "description": "x" }, { "const": "high" }] },
            "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "tags": { "type": "array", "items": { "type": "string" } },
            "headers": { "type": "object", "additionalProperties": { "type": "string" } },
            "inner": { "$ref": "#/$defs/Inner", "default": { "depth": 1 } },
            "maybe": { "anyOf": [{ "$ref": "#/$defs/Inner" }, { "type": "null" }] },
            "steps": { "type": "array", "items": { "$ref": "#/$defs/Inner" } },
            "hosts": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Inner" } },
            "raw": true,
        },
        "$defs": { "Inner": { "type": "object", "properties": { "depth": { "type": "number" } } } },
    });
    let expected = [
        "query (string) - required",
        "rows (integer, 0 to 9) 7",
        "ratio (number, from 0.5) -",
        "mode (\"fast\" | \"slow\") \"fast\"",
        "level (\"low\" | \"high\") -",
        "note (string) -",
        "tags (list of string) -",
        "headers (map of string) -",
        "inner (table) {\"depth\":1}",
        "inner.depth (number) -",
        "maybe (table) -",
        "maybe.depth (number) -",
        "steps (list of table) -",
        "steps[].depth (number) -",
        "hosts (map of table) -",
        "hosts.*.depth (number) -",
        "raw (anything) -",
    ];
    assert_eq!(lines(&schema), expected);
}

#[test]
fn variants_of_an_option_are_the_words_that_it_takes() {
    let schema = json!({
        "additionalProperties": false,
        "properties": { "role": { "anyOf": [{ "$ref": "#/$defs/Role" }, { "type": "null" }] } },
        "$defs": { "Role": { "oneOf": [{ "type": "string", "const": "master" }, { "const": "replica" }] } },
    });
    assert_eq!(lines(&schema), ["role (\"master\" | \"replica\") -"]);
}

#[test]
fn what_stands_beside_variants_is_not_lost() {
    let schema = json!({
        "properties": { "query": { "type": "string" } },
        "required": ["query"],
        "oneOf": [
            { "properties": { "mode": { "const": "fast" } }, "required": ["mode"] },
            {
                "properties": { "mode": { "const": "slow" }, "wait": { "type": "string" } },
                "required": ["mode", "wait"],
            },
        ],
    });
    let expected = ["query (string) - required", "mode (\"fast\" | \"slow\") - required", "wait (string) -"];
    assert_eq!(lines(&schema), expected);
    let demanded = json!({
        "allOf": [{ "properties": { "a": { "type": "string" } } }, { "properties": { "a": {}, "b": {} } }],
        "required": ["a"],
    });
    assert_eq!(lines(&demanded), ["a (string) - required", "b (anything) -"]);
}

#[test]
fn other_names_are_said_too() {
    for (schema, expected) in [
        (json!({}), "* (anything) -"),
        (json!({ "type": "object", "additionalProperties": true }), "* (anything) -"),
        (json!({ "type": "object", "additionalProperties": { "type": "number" } }), "* (number) -"),
    ] {
        assert_eq!(lines(&schema), [expected]);
    }
    assert_eq!(lines(&json!({ "type": "object", "additionalProperties": false })), Vec::<String>::new());
    let map = json!({ "additionalProperties": { "type": "object", "properties": { "warn": { "type": "number" } } } });
    assert_eq!(lines(&map), ["*.warn (number) -", "* (table) -"]);
}

#[test]
fn bounds_are_said_in_words() {
    let schema = json!({ "properties": {
        "a": { "type": "integer", "exclusiveMinimum": 0, "maximum": 9, "multipleOf": 3 },
        "b": { "type": "string", "minLength": 1, "maxLength": 5, "pattern": "^x+$", "format": "uri" },
        "c": { "type": "array", "minItems": 2, "items": { "enum": [1, 2] } },
        "d": { "allOf": [{ "type": "string" }, { "minLength": 3 }] },
        "e": { "type": "object", "patternProperties": { "^x": {} }, "maxProperties": 4 },
    } });
    let expected = [
        "a (integer, more than 0, up to 9, a multiple of 3) -",
        "b (string, 1 to 5 characters, matching ^x+$, as uri) -",
        "c (list of 1 | 2, from 2 items) -",
        "d (string, from 3 characters) -",
        "e (table, up to 4 keys) -",
    ];
    assert_eq!(lines(&schema), expected);
}

#[test]
fn nothing_grows_without_bound() {
    let mut defs = json!({ "l0": { "type": "string", "default": "x".repeat(40_000) } });
    for level in 1..5 {
        let of = format!("#/$defs/l{}", level - 1);
        let inner: Map<String, Value> = (0..13).map(|key| (key.to_string(), json!({ "$ref": of }))).collect();
        defs[format!("l{level}")] = json!({ "properties": inner });
    }
    let found = params(&json!({ "$ref": "#/$defs/l4", "$defs": defs }));
    assert!(found.len() <= MAX_PARAMS);
    let longest = found.iter().map(|param| param.default.as_ref().map_or(0, |default| default.to_string().len()));
    assert!(longest.max().expect("some") < 2 * MAX_TEXT);
}

#[test]
fn descriptions_stand_beside_a_reference_or_behind_it_and_are_one_line() {
    let schema = json!({
        "properties": {
            "a": { "$ref": "#/$defs/A", "description": "this\n\u{1b}[2Juse" },
            "b": { "$ref": "#/$defs/A" },
            "c\u{7}": { "description": "x".repeat(10_000) },
        },
        "$defs": { "A": { "type": "string", "description": "any" } },
    });
    let found = params(&schema);
    let texts: Vec<&str> = found.iter().map(|param| param.description.as_str()).collect();
    assert_eq!(texts[..2], ["this [2Juse", "any"]);
    assert!(texts[2].chars().count() == MAX_TEXT + 1 && found[2].name == "c");
}

#[test]
fn whatever_it_is_it_is_read_to_an_end() {
    for schema in [
        json!(true),
        json!({ "properties": 7, "required": "x", "additionalProperties": false }),
        json!({ "properties": { "a": { "$ref": "#/$defs/A" } }, "$defs": { "A": { "$ref": "#/$defs/A" } } }),
        json!({
            "properties": { "a": { "$ref": "#/$defs/A" } },
            "$defs": { "A": { "properties": { "a": { "$ref": "#/$defs/A" } } } },
        }),
        json!({ "properties": { "a": { "anyOf": [{ "anyOf": [{ "anyOf": [] }] }], "items": [1], "type": [7] } } }),
    ] {
        assert!(params(&schema).len() < 20, "{schema}");
    }
}

#[test]
fn a_text_is_told_from_what_else_may_be_written() {
    let schema = json!({
        "properties": {
            "plain": {"type": "string", "pattern": "^[0-9]"}, "maybe": {"type": ["string", "null"]},
            "reference": {"anyOf": [{"$ref": "#/$defs/mode"}, {"type": "null"}]}, "inner": {"$ref": "#/$defs/inner"},
            "labels": {"additionalProperties": {"type": "string"}},
            "number": {"type": ["string", "integer"]}, "any": true, "list": {"type": "array", "items": {"type": "string"}},
            "either": {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
        },
        "$defs": {
            "mode": {"oneOf": [{"const": "1"}, {"const": "2"}]},
            "inner": {"type": "object", "properties": {"deep": {"type": "string"}, "count": {"type": "integer"}}},
        },
    });
    for keys in [&["plain"][..], &["maybe"], &["reference"], &["inner", "deep"], &["labels", "whatever"]] {
        assert!(is_text(&schema, keys), "{keys:?}");
    }
    for keys in [
        &["number"][..],
        &["any"],
        &["list"],
        &["either"],
        &["inner"],
        &["inner", "count"],
        &["none"],
        &["plain", "x"],
        &[],
    ] {
        assert!(!is_text(&schema, keys), "{keys:?}");
    }
}
