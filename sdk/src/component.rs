//! From the host's calls to a checker's function and back.
//!
//! `#[checker]` implements [`Checker`] for a type that nobody sees and exports it as a component. Parameters that do
//! not fit are refused before the function runs. A panic is not caught: it traps, and the host says so.

use std::marker::PhantomData;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::exports::vitald::check::checker::{Description, Guest, Request};
use crate::bindings::vitald::check::types;
use crate::contact;
use crate::error::{Error, Result};
use crate::outcome::{Outcome, down};
use crate::run::Run;
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

/// A checker, as `#[checker]` writes it.
pub trait Checker {
    /// What the operator may configure.
    type Params: DeserializeOwned + JsonSchema;
    /// What it says of itself.
    const ABOUT: About;
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
        let schema = schema_of::<C::Params>();
        Description {
            summary: summary(C::ABOUT.summary, &schema),
            version: C::ABOUT.version.to_owned(),
            // Not `to_string()`: that carries a second, pretty printer. A tree of JSON values always prints.
            params_schema: serde_json::to_string(&schema).unwrap_or_default(),
            schemes: C::ABOUT.schemes.iter().map(scheme).collect(),
            attributes: Vec::new(),
        }
    }

    fn check(request: Request) -> std::result::Result<types::Outcome, types::Error> {
        contact::reset();
        let mut run = Run::new(request.timeout, request.attributes, request.state);
        let target = Target::new(request.target, request.endpoints.into_iter().map(Endpoint::from).collect());
        let judged = params_of(&request.params).and_then(|params| C::check(target, params, &mut run));
        let outcome = match judged {
            Ok(outcome) => outcome,
            Err(error) => down(error.into_wire()?),
        };
        Ok(run.finish(outcome))
    }
}

impl From<types::Endpoint> for Endpoint {
    fn from(endpoint: types::Endpoint) -> Self {
        Self::new(endpoint.host, endpoint.port)
    }
}

fn scheme((name, default_port): &(&str, Option<u16>)) -> types::Scheme {
    types::Scheme { name: (*name).to_owned(), default_port: *default_port }
}

/// JSON Schema 2020-12; what is used more than once stands in its own `$defs`.
fn schema_of<P: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<P>().to_value()
}

/// The first line of the function's doc comment, else of the parameters' own.
fn summary(documented: &str, schema: &Value) -> String {
    let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = if documented.is_empty() { described } else { documented };
    text.lines().next().unwrap_or_default().to_owned()
}

fn params_of<P: DeserializeOwned>(json: &str) -> Result<P> {
    let json = if json.is_empty() { "{}" } else { json };
    serde_json::from_str(json).map_err(|error| Error::invalid_params(without_position(&error)))
}

/// The operator wrote TOML: a column in the JSON that was made of it helps nobody.
fn without_position(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if message.ends_with(&position) {
        message.truncate(message.len() - position.len());
    }
    message
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
        fn check(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
            run.gauge("count", crate::Unit::None, params.count.into());
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
    fn no_parameters_are_an_empty_object() {
        let schema = schema_of::<NoParams>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], false);
        assert!(params_of::<NoParams>("{}").is_ok());
        assert!(params_of::<NoParams>(r#"{"a":1}"#).is_err());
    }
}
