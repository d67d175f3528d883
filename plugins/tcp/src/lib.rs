//! The `tcp` checker: a connection, and where it is asked for, a line to send and a line to expect.
//!
//! It reads one line and no more: protocols with more to say have checkers of their own. A target that accepts and
//! then says nothing runs into the check's timeout, which the host calls down.

use vitald_sdk::prelude::*;
use vitald_sdk::{Timings, wildcard_matches};

/// A line longer than this is cut here; what makes it wrong or right stands at its beginning.
const MAX_LINE: usize = 4096;

/// How much of an answer goes into a message.
const MAX_SHOWN: usize = 120;

/// What to say and to hear once the connection is open.
#[params]
struct Params {
    /// Sent as it is, line ends included: "PING\r\n".
    send: Option<String>,
    /// What the first line of the answer must be, without its line end. `*` stands for any text: "220 *".
    expect: Option<String>,
}

/// Accepts a TCP connection, and may have to answer with a line.
#[checker(schemes = ["tcp"])]
fn tcp(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    let stream = target.connect()?;
    measure_connect(stream.timings(), run);
    if let Some(text) = &params.send {
        (&stream).write_all(text.as_bytes())?;
    }
    match &params.expect {
        None => Ok(up("accepts connections")),
        Some(expect) => {
            let asked = run.elapsed();
            let line = first_line(&stream)?;
            run.measure("answer", run.elapsed().saturating_sub(asked));
            Ok(judge(&line, expect))
        }
    }
}

fn measure_connect(timings: Timings, run: &mut Run) {
    if let Some(took) = timings.connect {
        run.measure("connect", took);
    }
}

/// Up to the first line end, the end of the connection or the cap, whichever comes first.
fn first_line(mut stream: impl Read) -> Result<String> {
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    while line.len() < MAX_LINE {
        let count = stream.read(&mut chunk)?;
        let news = chunk.get(..count).unwrap_or_default();
        line.extend(news.iter().take_while(|byte| **byte != b'\n'));
        if news.is_empty() || news.contains(&b'\n') {
            break;
        }
    }
    let text = String::from_utf8_lossy(&line);
    Ok(text.trim_end_matches('\r').to_owned())
}

fn judge(line: &str, expect: &str) -> Outcome {
    let shown = shorten(line);
    if wildcard_matches(expect, line) {
        up(shown)
    } else if line.is_empty() {
        down("no answer")
    } else {
        down(format!("unexpected answer: {shown}"))
    }
}

fn shorten(line: &str) -> &str {
    line.get(..line.floor_char_boundary(MAX_SHOWN)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vitald_sdk::testing::{Peer, Ran, Trial};

    use super::*;

    fn tried(peer: &Peer, params: &str) -> Ran {
        Trial::of(tcp).peer(peer).params(params).run()
    }

    #[test]
    fn accepting_is_enough_where_nothing_is_expected() {
        let peer = Peer::script().start();
        let ran = tried(&peer, "{}");
        assert_eq!((ran.status(), ran.message()), (Some(Status::Up), "accepts connections"), "{ran}");
        assert!(ran.measurement("connect").is_some() && ran.measurement("answer").is_none(), "{ran}");
    }

    #[test]
    fn the_line_must_match() {
        let cases = [
            ("220 mail ready\r\n", "220 *", Status::Up, "220 mail ready"),
            ("500 no\n", "220 *", Status::Down, "unexpected answer: 500 no"),
            ("", "220 *", Status::Down, "no answer"),
            ("", "*", Status::Up, ""),
        ];
        for (line, expect, status, message) in cases {
            let peer = Peer::script().expect("HELO\r\n").answer(line).close().start();
            let ran = tried(&peer, &format!(r#"{{"send": "HELO\r\n", "expect": "{expect}"}}"#));
            assert_eq!((ran.status(), ran.message()), (Some(status), message), "{line:?}: {ran}");
            assert!(ran.measurement("answer").is_some(), "{ran}");
        }
    }

    #[test]
    fn a_target_that_breaks_off_or_says_nothing_is_down() {
        let peer = Peer::script().expect("HELO").reset().start();
        let ran = tried(&peer, r#"{"send": "HELO", "expect": "*"}"#);
        assert_eq!(ran.status(), Some(Status::Down), "{ran}");
        assert_eq!(ran.message(), format!("read {}: connection reset", peer.address()));
        let silent = Peer::script().start();
        let ran = Trial::of(tcp).peer(&silent).params(r#"{"expect": "*"}"#).timeout(Duration::from_millis(50)).run();
        assert_eq!(ran.status(), Some(Status::Down), "{ran}");
        assert_eq!(ran.message(), format!("timeout after 50 ms: read {}", silent.address()));
    }

    #[test]
    fn one_line_is_read_and_no_more() {
        assert_eq!(first_line(&b"+PONG\r\nmore"[..]).unwrap(), "+PONG");
        assert_eq!(first_line(&b"imok"[..]).unwrap(), "imok");
        assert_eq!(first_line(&b""[..]).unwrap(), "");
        assert_eq!(first_line(std::io::repeat(b'x')).unwrap().len(), 4096);
    }

    #[test]
    fn a_message_shows_the_beginning() {
        let message = judge(&"é".repeat(300), "é*").message;
        assert_eq!(message.len(), MAX_SHOWN);
    }
}
