use vitald_sdk::prelude::*;

#[checker(schemes = ["tcp"])]
fn banner(_target: Target) -> Outcome {
    up("fine")
}

fn main() {}
