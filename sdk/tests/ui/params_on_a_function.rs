use vitald_sdk::prelude::*;

#[params]
fn banner() {}

#[params(default)]
struct Banner {}

fn main() {}
