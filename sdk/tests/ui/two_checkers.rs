use vitald_sdk::prelude::*;

#[checker(schemes = ["tcp"])]
fn first(_target: Target) -> Result<Outcome> {
    Ok(up("fine"))
}

mod inner {
    use vitald_sdk::prelude::*;

    #[checker(schemes = ["udp"])]
    fn second(_target: Target) -> Result<Outcome> {
        Ok(up("fine"))
    }
}

fn main() {}
