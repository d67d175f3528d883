use vitald_sdk::prelude::*;

#[checker(schemes = ["tcp"])]
fn banner(run: &mut Run) -> Result<Outcome> {
    run.measure("connections", "12");
    run.measure("role", Some(1));
    Ok(up("fine"))
}

fn main() {}
