//! A part of a whole, for parameters: `0.8`. What is no part of a whole is refused when the parameters are read: whoever
//! writes `80` means a limit, and would have one that is never reached.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::outcome::{Outcome, degraded};

/// A number from 0 to 1. Prints as percent.
///
/// ```
/// use vitald_sdk::prelude::*;
///
/// #[params]
/// struct Params {
///     /// DEGRADED where a larger share of the places is taken: 0.8.
///     taken_above: Option<Share>,
/// }
///
/// # let params: Params = serde_json::from_str(r#"{ "taken_above": 0.8 }"#).unwrap();
/// let limit = params.taken_above.unwrap();
/// assert_eq!((limit.get(), limit.to_string().as_str()), (0.8, "80 %"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
pub struct Share(f64);

impl Share {
    /// For a default; what is below 0 or above 1 is 0 or 1.
    pub const fn new(share: f64) -> Self {
        Self(share.clamp(0.0, 1.0))
    }

    /// To count with.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// DEGRADED where `share` is larger; `of` says of what: `95 % of the connections are taken, more than 80 %`.
    pub fn exceeded(self, share: f64, of: &str) -> Option<Outcome> {
        (share > self.0).then(|| degraded(format!("{:.0} % {of}, more than {self}", share * 100.0)))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %", self.0 * 100.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match f64::deserialize(deserializer)? {
            share @ 0.0..=1.0 => Ok(Self(share)),
            other => Err(de::Error::custom(format!("{other} is no share of a whole: write 0.8 for 80 %"))),
        }
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_from_0_to_1() {
        let read = |text: &str| serde_json::from_str::<Share>(text).map_err(|error| error.to_string());
        for share in ["0", "1", "0.8"] {
            assert_eq!(read(share).unwrap().get(), share.parse::<f64>().unwrap());
        }
        assert!(read("80").unwrap_err().contains("80 is no share of a whole: write 0.8 for 80 %"));
        assert!(read("-0.1").is_err() && read("\"0.8\"").is_err());
        let crowded = degraded("95 % of the places are taken, more than 80 %");
        assert_eq!(Share::new(0.8).exceeded(0.951, "of the places are taken"), Some(crowded));
        assert_eq!(Share::new(0.8).exceeded(0.8, ""), None);
        assert_eq!((Share::new(7.0), Share::new(0.954).to_string().as_str()), (Share(1.0), "95 %"));
    }
}
