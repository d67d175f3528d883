//! What a checker usually needs: `use vitald_sdk::prelude::*;`.

pub use std::io::{BufRead, BufReader, Read, Write};

pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

pub use crate::{
    AuthFailure, Endpoint, Error, Expect, Length, Level, Outcome, Quantity, Result, Run, Share, Status, Stream, Target,
    Unit, bytes, checker, connect_to, degraded, down, params, ratio, seconds, state, up,
};
