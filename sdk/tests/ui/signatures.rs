use vitald_sdk::prelude::*;

#[checker(schemes = ["tcp"])]
async fn asynchronous(_target: Target) -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp"])]
fn generic<T>(_params: T) -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp"])]
fn borrows_its_target(_target: &Target) -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp"])]
fn owns_its_run(_run: Run) -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp"])]
fn two_params(_a: String, _b: String) -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp"])]
fn too_many(_target: Target, _params: (), _run: &mut Run, _more: u8) -> Result<Outcome> {
    Ok(up("fine"))
}

#[checker(schemes = ["tcp"])]
fn returns_nothing(_target: Target) {}

#[checker]
struct NoFunction;

fn main() {}
