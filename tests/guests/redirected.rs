//! Goes wherever its target sends it: follows a redirect of HTTP by itself.

use vitald_sdk::prelude::*;

/// Asks its target for `/`, and connects to what the answer's `Location` names.
#[checker(schemes = ["http:80"])]
fn redirected(target: Target) -> Result<Outcome> {
    let mut stream = target.connect()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: http://"));
    let place = location.map(|rest| rest.split('/').next().unwrap_or(rest));
    let Some((host, Ok(port))) = place.and_then(|place| place.rsplit_once(':')).map(|(h, p)| (h, p.parse())) else {
        return Ok(down(format!("no redirect: {answer}")));
    };
    let there = connect_to(host, port)?;
    Ok(up(format!("got through to {}", there.address())))
}
