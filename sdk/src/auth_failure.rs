//! What it means that a target refuses the user that a check logs in with.
//!
//! The server is there and answers: an expired password of a health user must not take a service out of traffic. So it is
//! DEGRADED, unless the operator says otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Status};

/// What a refused user means, for a parameter `auth_failure`: `"degraded"` (the default) or `"down"`.
///
/// ```
/// use vitald_sdk::prelude::*;
///
/// #[params]
/// #[derive(Default)]
/// #[serde(default)]
/// struct Params {
///     /// What it means that the server refuses the user.
///     auth_failure: AuthFailure,
/// }
///
/// let params = Params::default();
/// assert_eq!(params.auth_failure.outcome("the password is refused").status, Status::Degraded);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthFailure {
    /// The server is there: DEGRADED.
    #[default]
    Degraded,
    /// As for the service's own users: DOWN.
    Down,
}

impl AuthFailure {
    /// The outcome of a run whose user is refused, and why.
    pub fn outcome(self, why: impl Into<String>) -> Outcome {
        let status = match self {
            Self::Degraded => Status::Degraded,
            Self::Down => Status::Down,
        };
        Outcome::new(status, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_lower_case_and_means_what_it_says() {
        let status = |text: &str| serde_json::from_str::<AuthFailure>(text).unwrap().outcome("no").status;
        assert_eq!((status("\"degraded\""), status("\"down\"")), (Status::Degraded, Status::Down));
        assert!(serde_json::from_str::<AuthFailure>("\"up\"").is_err());
        assert_eq!(AuthFailure::default().outcome("no"), Outcome::new(Status::Degraded, "no"));
    }
}
