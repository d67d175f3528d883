//! What a checker usually needs: `use vitald_sdk::prelude::*;`.

pub use std::io::{BufRead, BufReader, Read, Write};

pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

pub use crate::{
    Error, Level, Outcome, Result, Run, Status, Stream, Target, Unit, checker, connect_to, degraded, down, params, up,
};
