//! A checker that waits for the greeting of a line protocol (SMTP, FTP, IMAP ...) and looks at how it starts.

use vitald_sdk::prelude::*;

#[params]
struct Params {
    /// What the first line must start with.
    starts_with: String,
}

/// Waits for a line from a TCP service and looks at how it starts.
#[checker(schemes = ["tcp", "smtp:25"])]
fn banner(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    let mut line = String::new();
    BufReader::new(target.connect()?).read_line(&mut line)?;
    run.measure("greeting", run.elapsed());
    if line.starts_with(&params.starts_with) {
        Ok(up(line.trim_end()))
    } else {
        Ok(down(format!("unexpected greeting: {}", line.trim_end())))
    }
}

#[cfg(test)]
mod tests {
    use vitald_sdk::testing::{Peer, Trial};

    use super::*;

    const PARAMS: &str = r#"{ "starts_with": "220" }"#;

    #[test]
    fn a_friendly_greeting_is_up() {
        let peer = Peer::script().answer("220 mail ready\r\n").start();
        let ran = Trial::of(banner).peer(&peer).params(PARAMS).run();
        assert_eq!(ran.status(), Some(Status::Up), "{ran}");
        assert_eq!(ran.message(), "220 mail ready");
        assert!(ran.measurement("greeting").is_some(), "{ran}");
    }

    #[test]
    fn another_greeting_is_down() {
        let peer = Peer::script().answer("554 go away\r\n").start();
        let ran = Trial::of(banner).peer(&peer).params(PARAMS).run();
        assert_eq!(ran.status(), Some(Status::Down), "{ran}");
        assert_eq!(ran.message(), "unexpected greeting: 554 go away");
    }
}
