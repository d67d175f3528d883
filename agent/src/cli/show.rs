//! `vitald config show`

use std::io::Write as _;
use std::path::Path;

use crate::config::{self, effective};

use super::check;

pub fn show(file: &Path, json: bool) -> u8 {
    let sections = match config::explain(file) {
        Ok(sections) => sections,
        Err(mistakes) => return check::report(&mistakes),
    };
    let text = match json {
        true => format!("{:#}\n", effective::json(&sections)),
        false => effective::text(&sections),
    };
    // Who reads a pipe may have seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    0
}
