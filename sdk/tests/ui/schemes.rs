use vitald_sdk::prelude::*;

#[checker(schemes = ["TCP"])]
fn upper_case() -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp://"])]
fn with_slashes() -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["smtp:99999"])]
fn beyond_all_ports() -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(scheme = "tcp")]
fn another_option() -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker("tcp")]
fn no_option() -> Result<Outcome> {
    Ok(up("fine"))
}

fn main() {}
