use vitald_sdk::prelude::*;

#[derive(Deserialize)]
struct Banner {
    starts_with: String,
}

#[checker(schemes = ["tcp"])]
fn banner(params: Banner) -> Result<Outcome> {
    Ok(up(params.starts_with))
}

fn main() {}
