//! Answers as much as it is told to: what is beyond the caps is cut, and the rest is as good as any answer.

use vitald_sdk::prelude::*;

/// How much of each.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Answer {
    /// Bytes.
    message: usize,
    measurements: usize,
    parts: usize,
    /// Bytes, of which two are quotes.
    state: usize,
}

/// Says how much it remembers, unless it has something else to say.
#[checker]
fn cap_answer(params: Answer, run: &mut Run) -> Result<Outcome> {
    for turn in 0..params.measurements {
        run.measure(&format!("number_{turn}"), 1.0);
    }
    for turn in 0..params.parts {
        run.part(format!("part {turn}"), Status::Up, "");
    }
    let remembered = run.state::<String>().map_or(0, |state| state.len() + 2);
    if params.state > 0 {
        run.set_state(&"s".repeat(params.state.saturating_sub(2)))?;
    }
    let said = "m".repeat(params.message);
    Ok(up(if said.is_empty() { format!("remembers {remembered} bytes") } else { said }))
}
