//! From the host's calls to a checker's function and back.
//!
//! `#[checker]` implements [`Checker`] for a type that nobody sees and exports it as a component. Parameters that do
//! not fit are refused before the function runs. A panic is not caught: it traps, and the host says so.
//!
//! All of this is in every plugin, so it is written to be small: one parser of JSON for all types of parameters, and no
//! printer but the one that the schema needs.

use std::marker::PhantomData;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::exports::vitald::check::checker::{Description, Guest, Request};
use crate::bindings::vitald::check::types;
use crate::contact;
use crate::error::{Error, Result};
use crate::length::Length;
use crate::outcome::{Outcome, down};
use crate::run::Run;
use crate::slow;
use crate::target::{Endpoint, Target};

/// What a checker says of itself, known when it is compiled.
pub struct About {
    /// From the function's doc comment; empty where it has none.
    pub summary: &'static str,
    /// The version of the checker's crate.
    pub version: &'static str,
    /// Name and default port.
    pub schemes: &'static [(&'static str, Option<u16>)],
}

/// What the parameters of a checker are. Its own trait for the sake of what the compiler says where a type is none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parameters of a checker: it is not read from JSON, or has no schema",
    label = "put `#[params]` on this type",
    note = "`#[params]` derives `serde::Deserialize` and `schemars::JsonSchema`; the types of its fields need both, too",
    note = "a checker takes at most a `Target`, one type of parameters, and a `&mut Run`"
)]
pub trait Params: DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<P: DeserializeOwned + JsonSchema> Params for P {}

/// How a type of parameters is read and what it looks like.
pub struct Reading<P> {
    schema: fn() -> Map<String, Value>,
    read: fn(&Value) -> serde_json::Result<P>,
}

/// That of a type. A function, because the compiler explains a bound best where one is called.
pub fn reading<P: Params>() -> Reading<P> {
    Reading { schema: schema_of::<P>, read: |params| P::deserialize(params) }
}

/// What a checker returns. Its own trait for the sake of what the compiler says.
#[diagnostic::on_unimplemented(
    message = "a checker returns `Result<Outcome>`, not `{Self}`",
    label = "write `Result<Outcome>`",
    note = "`Ok(up(\"fine\"))`, `Ok(degraded(..))` and `Ok(down(..))` are judgements, and `?` makes one of most errors"
)]
pub trait Judged {
    /// As it is.
    fn judged(self) -> Result<Outcome>;
}

impl Judged for Result<Outcome> {
    fn judged(self) -> Result<Outcome> {
        self
    }
}

/// A checker, as `#[checker]` writes it.
pub trait Checker {
    /// What the operator may configure.
    type Params;
    /// What it says of itself.
    const ABOUT: About;
    /// How that is read.
    fn reading() -> Reading<Self::Params>;
    /// One run.
    fn check(target: Target, params: Self::Params, run: &mut Run) -> Result<Outcome>;
}

/// The parameters of a checker without parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "none")]
pub struct NoParams {}

/// The generated side of a [`Checker`].
pub struct Component<C>(PhantomData<C>);

impl<C: Checker + 'static> Guest for Component<C> {
    fn describe() -> Description {
        let mut schema = (C::reading().schema)();
        let summary = summary(C::ABOUT.summary, &schema);
        if has_target::<C>() {
            slow::offer(&mut schema);
        }
        Description {
            summary,
            version: C::ABOUT.version.to_owned(),
            // Not `to_string()`: that carries a second, pretty printer. A tree of JSON values always prints.
            params_schema: serde_json::to_string(&Value::Object(schema)).unwrap_or_default(),
            schemes: C::ABOUT.schemes.iter().map(scheme).collect(),
            attributes: Vec::new(),
        }
    }

    fn check(request: Request) -> std::result::Result<types::Outcome, types::Error> {
        run(request, &C::reading(), has_target::<C>(), C::check)
    }
}

/// One run of a checker: a component's, or natively one of its tests.
pub(crate) fn run<P>(
    request: Request,
    reading: &Reading<P>,
    has_target: bool,
    check: impl FnOnce(Target, P, &mut Run) -> Result<Outcome>,
) -> std::result::Result<types::Outcome, types::Error> {
    contact::reset();
    let mut run = Run::new(request.timeout, request.attributes, request.state);
    let target = Target::new(request.target, request.endpoints.into_iter().map(Endpoint::from).collect());
    let judged = params_of(&request.params, reading, has_target).and_then(|(params, limit)| {
        let outcome = check(target, params, &mut run)?;
        Ok(slow::judge(outcome, run.elapsed(), limit))
    });
    let outcome = match judged {
        Ok(outcome) => outcome,
        Err(error) => down(error.into_wire()?),
    };
    Ok(run.finish(outcome))
}

fn has_target<C: Checker>() -> bool {
    !C::ABOUT.schemes.is_empty()
}

impl From<types::Endpoint> for Endpoint {
    fn from(endpoint: types::Endpoint) -> Self {
        Self::new(endpoint.host, endpoint.port)
    }
}

fn scheme((name, default_port): &(&str, Option<u16>)) -> types::Scheme {
    types::Scheme { name: (*name).to_owned(), default_port: *default_port }
}

/// JSON Schema 2020-12; what is used more than once stands in its own `$defs`. The generator's own way to a root schema
/// carries a merge of trees and a parser of JSON pointers.
fn schema_of<P: JsonSchema>() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = match P::json_schema(&mut generator).to_value() {
        Value::Object(schema) => schema,
        // `true`: anything goes.
        _ => Map::new(),
    };
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    let definitions = generator.take_definitions(false);
    if !definitions.is_empty() {
        schema.insert("$defs".into(), definitions.into());
    }
    schema
}

/// The function's own: its first paragraph, on one line; else the first line of the parameters'.
fn summary(documented: &str, schema: &Map<String, Value>) -> String {
    let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = if documented.is_empty() { described } else { documented };
    text.lines().next().unwrap_or_default().to_owned()
}

/// The checker's own, and the limit of `slow`. By way of a tree of values: a message has no column of the JSON that was
/// made of the operator's TOML, and each type of parameters costs no parser of its own.
fn params_of<P>(json: &str, reading: &Reading<P>, has_target: bool) -> Result<(P, Option<Length>)> {
    let json = if json.is_empty() { "{}" } else { json };
    let wrong = |error: serde_json::Error| Error::invalid_params(error.to_string());
    let mut params: Value = serde_json::from_str(json).map_err(wrong)?;
    let limit = if has_target { slow::take(&mut params, reading.schema)? } else { None };
    Ok(((reading.read)(&params).map_err(wrong)?, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::up;

    /// Counts things.
    ///
    /// At length.
    #[derive(Deserialize, JsonSchema, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Params {
        /// How many.
        count: u8,
    }

    struct Counting;
    impl Checker for Counting {
        type Params = Params;
        const ABOUT: About = About { summary: "", version: "1.2.3", schemes: &[("count", Some(7)), ("bare", None)] };
        fn reading() -> Reading<Self::Params> {
            reading()
        }
        fn check(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
            run.measure("count", params.count);
            match params.count {
                0 => Ok(up(target.url())),
                1 => Err(Error::down("one is too few")),
                _ => Err(run.cannot_judge("too many")),
            }
        }
    }

    fn check(params: &str) -> std::result::Result<types::Outcome, types::Error> {
        Component::<Counting>::check(Request {
            target: "count://host".into(),
            endpoints: vec![],
            params: params.into(),
            timeout: 1,
            state: Some(b"1".to_vec()),
            attributes: vec![],
        })
    }

    #[test]
    fn describes_itself() {
        let description = Component::<Counting>::describe();
        assert_eq!(description.summary, "Counts things.");
        assert_eq!(description.version, "1.2.3");
        assert_eq!(description.schemes[0].default_port, Some(7));
        let schema: Value = serde_json::from_str(&description.params_schema).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["count"]["default"], 0);
        assert_eq!(schema["properties"]["count"]["description"], "How many.");
        assert_eq!(schema.get("required"), None);
    }

    #[test]
    fn the_functions_own_summary_comes_first() {
        assert_eq!(summary("Mine.\nMore.", &schema_of::<Params>()), "Mine.");
        assert_eq!(summary("", &schema_of::<NoParams>()), "The parameters of a checker without parameters.");
    }

    #[test]
    fn judges() {
        let outcome = check("{}").unwrap();
        assert_eq!((outcome.status, outcome.message.as_str()), (types::Status::Up, "count://host"));
        assert_eq!(check("").unwrap().status, types::Status::Up);
    }

    #[test]
    fn a_run_that_ends_early_as_down_keeps_what_it_collected() {
        let outcome = check(r#"{"count": 1}"#).unwrap();
        assert_eq!((outcome.status, outcome.message.as_str()), (types::Status::Down, "one is too few"));
        assert_eq!(outcome.measurements.len(), 1);
        assert_eq!(outcome.state.as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn a_run_that_cannot_judge_is_an_error() {
        let error = check(r#"{"count": 2}"#).unwrap_err();
        assert!(matches!(error, types::Error::Internal(reason) if reason == "too many"));
    }

    #[test]
    fn parameters_that_do_not_fit_are_refused_without_a_position() {
        let error = check(r#"{"cuont": 2}"#).unwrap_err();
        let types::Error::InvalidParams(reason) = error else { panic!("{error:?}") };
        assert_eq!(reason, "unknown field `cuont`, expected `count`");
    }

    #[test]
    fn a_target_has_the_parameter_slow() {
        let schema: Value = serde_json::from_str(&Component::<Counting>::describe().params_schema).unwrap();
        assert_eq!(schema["properties"]["slow"]["type"], "string");
        let outcome = check(r#"{"slow": "1ns"}"#).unwrap();
        assert_eq!(outcome.status, types::Status::Degraded);
        assert!(outcome.message.starts_with("count://host; slow: "), "{}", outcome.message);
        assert_eq!(check(r#"{"slow": "1h"}"#).unwrap().status, types::Status::Up);
        assert!(matches!(check(r#"{"slow": 1}"#), Err(types::Error::InvalidParams(reason)) if reason.contains("slow")));
    }

    struct Targetless;
    impl Checker for Targetless {
        type Params = NoParams;
        const ABOUT: About = About { summary: "Looks at nothing.", version: "1.2.3", schemes: &[] };
        fn reading() -> Reading<Self::Params> {
            reading()
        }
        fn check(_: Target, _: NoParams, _: &mut Run) -> Result<Outcome> {
            Ok(up("fine"))
        }
    }

    #[test]
    fn without_a_target_there_is_no_slow() {
        assert!(!Component::<Targetless>::describe().params_schema.contains("slow"));
        let error = params_of::<NoParams>(r#"{"slow": "1s"}"#, &reading(), false).err().unwrap();
        assert!(error.message().contains("unknown field `slow`"), "{error}");
    }

    /// Types whose schema is not the plain object of a plain struct.
    #[derive(Deserialize, JsonSchema)]
    struct Flattening {
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, u8>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind", deny_unknown_fields)]
    enum Tagged {
        A { a: u8 },
        B(Params),
    }

    struct Odd<P>(PhantomData<P>);
    impl<P: super::Params> Checker for Odd<P> {
        type Params = P;
        const ABOUT: About = About { summary: "", version: "", schemes: &[("odd", None)] };
        fn reading() -> Reading<Self::Params> {
            reading()
        }
        fn check(_: Target, _: P, _: &mut Run) -> Result<Outcome> {
            Ok(up(""))
        }
    }

    #[test]
    fn slow_never_gets_into_what_does_not_know_it() {
        let (params, limit) = params_of::<Flattening>(r#"{"slow": "1s", "a": 1}"#, &reading(), true).unwrap();
        assert_eq!((params.rest.len(), limit.is_some()), (1, true));
        let (params, _) = params_of::<Tagged>(r#"{"slow": "1s", "kind": "A", "a": 1}"#, &reading(), true).unwrap();
        assert!(matches!(params, Tagged::A { a: 1 }));
        let (params, _) = params_of::<Tagged>(r#"{"slow": "1s", "kind": "B", "count": 2}"#, &reading(), true).unwrap();
        assert!(matches!(params, Tagged::B(Params { count: 2 })));
        let (params, _) = params_of::<Value>(r#"{"slow": "1s"}"#, &reading(), true).unwrap();
        assert_eq!(params, Value::Object(Map::new()));
        let schema = Component::<Odd<Value>>::describe().params_schema;
        assert!(serde_json::from_str::<Value>(&schema).unwrap()["properties"]["slow"].is_object(), "{schema}");
    }

    #[test]
    fn no_parameters_are_an_empty_object() {
        let schema = schema_of::<NoParams>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], false);
        assert!(serde_json::from_str::<NoParams>("{}").is_ok());
        assert!(serde_json::from_str::<NoParams>(r#"{"a":1}"#).is_err());
    }
}
