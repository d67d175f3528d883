//! What an answer must be, as one parameter: a text, a number, or limits for a number.
//!
//! It is read strictly: a limit that is never reached, or a table without one, is refused when the parameters are read.
//! Judging cannot fail; an answer that is no number where one is wanted is DOWN.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, degraded, down, up};

/// As much of an answer as a message shows.
const MAX_SHOWN: usize = 100;

/// What an answer must be. Operators write
///
/// - a text, `"ready"`: the answer is DOWN unless it is exactly this;
/// - a number, `1`: the answer is DOWN unless it is a number that equals it (`1.0` does);
/// - limits, `{ min = 1, max = 100, warn_max = 50 }`: a number outside of `min` and `max` is DOWN, outside of `warn_min`
///   and `warn_max` DEGRADED. Each may be left out.
///
/// ```
/// use vitald_sdk::prelude::*;
///
/// #[params]
/// struct Params {
///     /// What the number of jobs must be.
///     jobs: Option<Expect>,
/// }
///
/// # fn check(answer: &str, params: Params) -> Result<Outcome> {
/// // For { max = 100, warn_max = 50 } and "70": DEGRADED, "the queue gives 70, more than 50".
/// Ok(params.jobs.map_or(up("a queue"), |jobs| jobs.judge("the queue", answer)))
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expect(Wanted);

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Wanted {
    Text(String),
    Number(f64),
    Limits(Limits),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warn_min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warn_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

impl Expect {
    /// Holds an answer against it, or `None` where there is none. `what` gave it, and stands in the message: `the query`.
    pub fn judge<'a>(&self, what: &str, answer: impl Into<Option<&'a str>>) -> Outcome {
        let answer = answer.into();
        let number = answer.and_then(|text| text.trim().parse::<f64>().ok()).filter(|number| number.is_finite());
        let gives = match (answer, number) {
            (None, _) => format!("{what} gives nothing"),
            (Some(text), Some(_)) => format!("{what} gives {}", brief(text.trim())),
            (Some(text), None) => format!("{what} gives \"{}\"", brief(text)),
        };
        match (&self.0, number) {
            (Wanted::Text(text), _) if answer == Some(text) => up(gives),
            (Wanted::Text(text), _) => down(format!("{gives}, expected \"{text}\"")),
            (_, None) => down(format!("{gives}, which is no number")),
            (Wanted::Number(wanted), Some(number)) if number == *wanted => up(gives),
            (Wanted::Number(wanted), Some(_)) => down(format!("{gives}, expected {wanted}")),
            (Wanted::Limits(limits), Some(number)) => limits.judge(number, &gives),
        }
    }
}

fn brief(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

impl Limits {
    fn judge(&self, number: f64, gives: &str) -> Outcome {
        let outside = |min: Option<f64>, max: Option<f64>| match (min, max) {
            (Some(min), _) if number < min => Some(format!("{gives}, less than {min}")),
            (_, Some(max)) if number > max => Some(format!("{gives}, more than {max}")),
            _ => None,
        };
        let broken = outside(self.min, self.max).map(down);
        broken.or_else(|| outside(self.warn_min, self.warn_max).map(degraded)).unwrap_or_else(|| up(gives))
    }

    /// The limits in the order that their numbers must have.
    fn checked<E: de::Error>(self) -> Result<Self, E> {
        let all = [("min", self.min), ("warn_min", self.warn_min), ("warn_max", self.warn_max), ("max", self.max)];
        let set: Vec<(&str, f64)> = all.into_iter().filter_map(|(name, limit)| Some((name, limit?))).collect();
        if set.is_empty() {
            return Err(E::custom("write at least one of min, max, warn_min and warn_max"));
        }
        match set.iter().zip(set.iter().skip(1)).find(|((_, lower), (_, upper))| lower > upper) {
            Some(((lower, low), (upper, high))) => Err(E::custom(format!("{lower} = {low} is above {upper} = {high}"))),
            None => Ok(self),
        }
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written).map(Self)
    }
}

/// Not serde's own untagged enums: those say that nothing fits, and not what is wrong.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, or limits such as { min = 1, max = 100 }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
        Ok(Wanted::Text(text.to_owned()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Wanted, E> {
        Ok(Wanted::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Wanted, E> {
        Ok(Wanted::Number(number as f64))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Wanted, E> {
        Ok(Wanted::Number(number as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Wanted, A::Error> {
        Limits::deserialize(MapAccessDeserializer::new(map))?.checked().map(Wanted::Limits)
    }
}

impl JsonSchema for Expect {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let limit = |text: &str| json_schema!({ "type": "number", "description": text });
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "number" },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "min": limit("DOWN where the answer is less."),
                        "max": limit("DOWN where the answer is more."),
                        "warn_min": limit("DEGRADED where the answer is less."),
                        "warn_max": limit("DEGRADED where the answer is more."),
                    },
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;
    use crate::outcome::Status;

    fn judged(wanted: Value, answer: Option<&str>) -> (Status, String) {
        let Outcome { status, message } = from_value::<Expect>(wanted).unwrap().judge("the query", answer);
        (status, message)
    }

    fn refused(wanted: Value) -> String {
        from_value::<Expect>(wanted).unwrap_err().to_string()
    }

    #[test]
    fn a_text_is_held_exactly() {
        assert_eq!(judged(json!("ready"), Some("ready")), (Status::Up, "the query gives \"ready\"".into()));
        let other = judged(json!("ready"), Some("Ready"));
        assert_eq!(other, (Status::Down, "the query gives \"Ready\", expected \"ready\"".into()));
        assert_eq!(judged(json!("1"), Some("1.0")).0, Status::Down);
        assert_eq!(judged(json!("1"), None), (Status::Down, "the query gives nothing, expected \"1\"".into()));
        assert!(judged(json!("y"), Some(&"ä".repeat(5000))).1.len() < 300);
    }

    #[test]
    fn a_number_is_held_by_its_value() {
        for answer in ["1", "1.0", " 1e0 "] {
            assert_eq!(judged(json!(1), Some(answer)).0, Status::Up, "{answer}");
        }
        assert_eq!(judged(json!(-1.5), Some("2")), (Status::Down, "the query gives 2, expected -1.5".into()));
        assert_eq!(judged(json!(1), Some("")).1, "the query gives \"\", which is no number");
        for answer in [None, Some("one"), Some("NaN"), Some("inf"), Some("")] {
            assert!(judged(json!(1), answer).1.ends_with("which is no number"), "{answer:?}");
        }
    }

    #[test]
    fn limits_are_down_outside_and_degraded_near_their_ends() {
        let limits = json!({ "min": 1, "max": 9, "warn_min": 2, "warn_max": 8 });
        for (answer, status) in [
            ("0.9", Status::Down),
            ("1", Status::Degraded),
            ("2", Status::Up),
            (" 5.5 ", Status::Up),
            ("8.1", Status::Degraded),
            ("1e3", Status::Down),
            ("NaN", Status::Down),
            ("t", Status::Down),
        ] {
            assert_eq!(judged(limits.clone(), Some(answer)).0, status, "{answer}");
        }
        assert_eq!(judged(limits.clone(), Some("10")).1, "the query gives 10, more than 9");
        assert_eq!(judged(limits, Some("1")).1, "the query gives 1, less than 2");
        assert_eq!(judged(json!({ "warn_max": 5 }), Some("-7")).0, Status::Up);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        assert_eq!(refused(json!({ "min": 5, "max": 1 })), "min = 5 is above max = 1");
        assert_eq!(refused(json!({ "warn_max": 5, "max": 1 })), "warn_max = 5 is above max = 1");
        assert_eq!(refused(json!({ "min": 2, "warn_min": 1 })), "min = 2 is above warn_min = 1");
        assert!(refused(json!({})).starts_with("write at least one of min"));
        assert!(refused(json!({ "most": 1 })).contains("unknown field `most`"));
        assert!(refused(json!(true)).contains("expected a text, a number, or limits"));
        assert!(refused(json!({ "min": "1" })).contains("string"));
    }

    #[test]
    fn is_written_as_it_is_read() {
        for written in [json!("t"), json!(1.5), json!({ "min": 1.0, "warn_max": 2.0 })] {
            let expect = from_value::<Expect>(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(expect).unwrap(), written);
        }
    }
}
