//! A plugin's JSON Schema is hostile input that is evaluated outside of its sandbox: it is capped in size and depth,
//! refers to nothing but itself, expands to a bounded size, and matches text in linear time.

use std::collections::BTreeMap;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, JsonType, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

const MAX_BYTES: usize = 64 * 1024;
/// Nodes that the schema has when every reference is replaced by what it refers to.
const MAX_EXPANDED: u64 = 20_000;
const MAX_DEPTH: usize = 64;
/// Compiled size of one pattern.
const MAX_PATTERN: usize = 1 << 20;
/// Problems that a message lists.
const MAX_PROBLEMS: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("more than {} KiB", MAX_BYTES >> 10)]
    TooLarge,
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("not a JSON object")]
    NotAnObject,
    #[error("{0:?} refers to something outside of its own $defs")]
    OutsideReference(String),
    #[error("{0:?} refers to itself: a type of parameters cannot contain itself")]
    Recursive(String),
    #[error("it expands to more than {MAX_EXPANDED} parts")]
    Explodes,
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("not a schema: {0}")]
    Invalid(String),
}

/// A schema that is safe to evaluate.
#[derive(Debug)]
pub struct ParamsSchema(Validator);

impl ParamsSchema {
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_BYTES {
            return Err(SchemaError::TooLarge);
        }
        let schema: Value = serde_json::from_str(text)?;
        let root = schema.as_object().ok_or(SchemaError::NotAnObject)?;
        let empty = Map::new();
        let defs = root.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
        Sizes { defs, known: BTreeMap::new() }.of(&schema)?;
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
        let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns);
        let validator = options.build(&schema).map_err(|error| SchemaError::Invalid(error.to_string()))?;
        Ok(Self(validator))
    }

    /// Holds parameters against the schema. The text says where and what, never the values.
    pub fn check(&self, params: &Map<String, Value>) -> Result<(), String> {
        let params = Value::Object(params.clone());
        let problem = |error: ValidationError<'_>| {
            let path = error.instance_path().to_string().replace('/', ".");
            let what = match choices(&error) {
                Some(values) if values.len() > 1 => format!("must be one of {}", values.join(", ")),
                _ => error.masked().to_string(),
            };
            format!("params{path}: {what}")
        };
        let problems: Vec<String> = self.0.iter_errors(&params).take(MAX_PROBLEMS).map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

/// The values that the schema would have taken, if it lists them; none stand for null, which is "left out".
fn choices(error: &ValidationError<'_>) -> Option<Vec<String>> {
    match error.kind() {
        ValidationErrorKind::Constant { expected_value } => Some(vec![expected_value.to_string()]),
        ValidationErrorKind::Enum { options } => Some(options.as_array()?.iter().map(Value::to_string).collect()),
        ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) } => Some(Vec::new()),
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            // What is wrong further inside is no choice of this value.
            let here = |inner: &&ValidationError<'_>| inner.instance_path() == error.instance_path();
            let variants = context.iter().map(|errors| errors.iter().filter(here).find_map(choices));
            variants.collect::<Option<Vec<_>>>().map(|values| values.concat())
        }
        _ => None,
    }
}

/// How large and how deep each part is once its references are followed.
struct Sizes<'a> {
    defs: &'a Map<String, Value>,
    /// None while a definition is being measured.
    known: BTreeMap<&'a str, Option<Size>>,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    parts: u64,
    depth: usize,
}

impl Size {
    /// What contains both.
    fn with(self, inner: Self) -> Result<Self, SchemaError> {
        let size = Self { parts: self.parts.saturating_add(inner.parts), depth: self.depth.max(inner.depth + 1) };
        match size {
            Self { depth, .. } if depth > MAX_DEPTH => Err(SchemaError::TooDeep),
            Self { parts, .. } if parts > MAX_EXPANDED => Err(SchemaError::Explodes),
            size => Ok(size),
        }
    }
}

impl<'a> Sizes<'a> {
    /// JSON itself is nested no deeper than serde_json reads it.
    fn of(&mut self, value: &'a Value) -> Result<Size, SchemaError> {
        let mut size = Size { parts: 1, depth: 0 };
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    size = size.with(match (key.as_str(), value) {
                        ("$ref", Value::String(reference)) => self.referred(reference)?,
                        ("$dynamicRef" | "$recursiveRef" | "$id" | "$anchor" | "$dynamicAnchor", value) => {
                            return Err(SchemaError::OutsideReference(format!("{key}: {value}")));
                        }
                        (_, value) => self.of(value)?,
                    })?;
                }
            }
            Value::Array(items) => {
                for item in items {
                    size = size.with(self.of(item)?)?;
                }
            }
            _ => {}
        }
        Ok(size)
    }

    fn referred(&mut self, reference: &str) -> Result<Size, SchemaError> {
        let outside = || SchemaError::OutsideReference(reference.to_owned());
        let name = reference.strip_prefix("#/$defs/").ok_or_else(outside)?;
        let (name, value) = self.defs.get_key_value(name).ok_or_else(outside)?;
        match self.known.get(name.as_str()) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(SchemaError::Recursive(reference.to_owned())),
            None => {}
        }
        // A chain of references is followed no further than it may be deep.
        if self.known.values().filter(|known| known.is_none()).count() > MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        self.known.insert(name, None);
        let size = self.of(value)?;
        self.known.insert(name, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// On a machine that others use too.
    const LONG: Duration = Duration::from_secs(5);

    fn parse(schema: Value) -> Result<ParamsSchema, SchemaError> {
        ParamsSchema::parse(&schema.to_string())
    }

    #[test]
    fn params_are_held_against_it_without_quoting_them() {
        let schema = parse(json!({
            "type": "object",
            "properties": {"port": {"$ref": "#/$defs/port"}, "password": {"type": "integer"}},
            "required": ["port"],
            "additionalProperties": false,
            "$defs": {"port": {"type": "integer", "minimum": 1}},
        }))
        .expect("a schema");
        let check = |params: Value| schema.check(params.as_object().expect("object"));
        assert_eq!(check(json!({"port": 80})), Ok(()));
        let problem = check(json!({"port": 0, "password": "hunter2"})).expect_err("wrong");
        assert!(problem.contains("params.port") && problem.contains("params.password"), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
        assert!(check(json!({})).expect_err("missing").contains("port"));
    }

    #[test]
    fn values_to_choose_from_are_listed() {
        let mode = json!({"oneOf": [
            {"const": "degraded", "type": "string", "description": "x"}, {"const": "down", "type": "string"},
        ]});
        let schema = parse(json!({
            "properties": {
                "mode": {"$ref": "#/$defs/mode"},
                "maybe": {"anyOf": [{"$ref": "#/$defs/mode"}, {"type": "null"}]},
                "listed": {"type": "string", "enum": ["a", "b"]},
                "mixed": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/mode"}]},
                "inside": {"anyOf": [{"properties": {"mode": {"enum": [1, 2]}}}, {"type": "null"}]},
            },
            "$defs": {"mode": mode},
        }))
        .expect("a schema");
        let wrong = |key: &str, value: Value| {
            let params = Map::from_iter([(key.to_owned(), value)]);
            schema.check(&params).expect_err("wrong")
        };
        let both = "must be one of \"degraded\", \"down\"";
        for value in [json!("sideways"), json!(3)] {
            assert_eq!(wrong("mode", value.clone()), format!("params.mode: {both}"));
            assert_eq!(wrong("maybe", value), format!("params.maybe: {both}"));
        }
        assert_eq!(wrong("listed", json!("c")), "params.listed: must be one of \"a\", \"b\"");
        assert!(wrong("mixed", json!("sideways")).contains("anyOf"), "what else may stand there is no value");
        assert!(!wrong("inside", json!({"mode": 3})).contains("one of 1"), "the choice is that of another value");
    }

    #[test]
    fn hostile_schemas_are_refused_or_harmless() {
        let outside = ["https://example.org/s", "file:///etc/passwd", "#/properties/x", "#/$defs/none", "#"];
        for reference in outside {
            assert!(matches!(parse(json!({"$ref": reference})), Err(SchemaError::OutsideReference(_))), "{reference}");
        }
        let recursive = json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}});
        assert!(matches!(parse(recursive), Err(SchemaError::Recursive(_))));
        let chain = |levels: usize, width: usize| {
            let link = |n| {
                let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
                (format!("d{n}"), json!({"allOf": vec![next; width]}))
            };
            let last = (format!("d{levels}"), json!({"type": "object"}));
            let defs: Map<String, Value> = (0..levels).map(link).chain([last]).collect();
            parse(json!({"$ref": "#/$defs/d0", "$defs": defs}))
        };
        assert!(matches!(chain(15, 2), Err(SchemaError::Explodes)));
        assert!(matches!(chain(40, 2), Err(SchemaError::Explodes)));
        assert!(matches!(chain(40, 1), Err(SchemaError::TooDeep)));
        assert!(matches!(chain(900, 1), Err(SchemaError::TooDeep)));
        assert!(chain(10, 1).is_ok());
        let deep = (0..100).fold(json!({}), |inner, _| json!({"not": inner}));
        assert!(matches!(parse(deep), Err(SchemaError::TooDeep)));
        assert!(matches!(ParamsSchema::parse(&" ".repeat(MAX_BYTES + 1)), Err(SchemaError::TooLarge)));
        assert!(matches!(ParamsSchema::parse("[]"), Err(SchemaError::NotAnObject)));
        assert!(ParamsSchema::parse("{").is_err());
        let slow = parse(json!({"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}})).expect("a schema");
        let params = json!({"x": format!("{}!", "a".repeat(50_000))});
        assert!(slow.check(params.as_object().expect("object")).is_err());
    }

    /// Texts that are often schemas, and often hostile ones.
    fn schema_like() -> impl Strategy<Value = Value> {
        const KEYS: &str = "type properties additionalProperties unevaluatedProperties $ref $defs allOf anyOf oneOf \
                            not if then else items contains pattern patternProperties enum a b";
        const TEXTS: &str = "object string #/$defs/a #/$defs/b # ^(a+)+$ (a|a){999}{999} ((((a*)*)*)*)* [ \\p{L}{1000}";
        let words = |text: &'static str| proptest::sample::select(text.split(' ').collect::<Vec<_>>());
        let leaf = prop_oneof![
            words(TEXTS).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let key = words(KEYS).prop_map(str::to_owned);
            let map = proptest::collection::vec((key, inner.clone()), 0..6);
            prop_oneof![
                3 => map.prop_map(|entries| Value::Object(entries.into_iter().collect())),
                1 => proptest::collection::vec(inner, 0..6).prop_map(Value::Array),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_schema_panics_or_takes_long(schema in schema_like(), params in schema_like(), text in ".{0,60}") {
            let begun = Instant::now();
            let _ = ParamsSchema::parse(&text);
            if let (Ok(schema), Value::Object(mut params)) = (ParamsSchema::parse(&schema.to_string()), params) {
                let _ = schema.check(&params);
                params.insert("a".into(), Value::from("a".repeat(10_000) + "!"));
                let _ = schema.check(&params);
            }
            prop_assert!(begun.elapsed() < LONG, "it took {:?}", begun.elapsed());
        }
    }
}
