//! No sin: what a checker remembers from run to run.

use vitald_sdk::prelude::*;

/// How it judges.
#[params]
#[serde(default)]
#[derive(Default)]
struct Params {
    /// Every other run is down.
    flips: bool,
    /// Said behind the number.
    note: String,
}

/// Counts its runs, and says which one it is.
#[checker(schemes = ["tcp"])]
fn counter(params: Params, run: &mut Run) -> Result<Outcome> {
    let count = run.state::<u32>().unwrap_or_default().saturating_add(1);
    run.set_state(&count)?;
    let message = format!("run {count} {}", params.note);
    if params.flips && count.is_multiple_of(2) { Ok(down(message)) } else { Ok(up(message)) }
}
