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
            run.gauge("answer", Unit::Seconds, run.elapsed().saturating_sub(asked).as_secs_f64());
            Ok(judge(&line, expect))
        }
    }
}

fn measure_connect(timings: Timings, run: &mut Run) {
    if let Some(took) = timings.connect {
        run.gauge("connect", Unit::Seconds, took.as_secs_f64());
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
    use super::*;

    fn judged(line: &str, expect: &str) -> (Status, String) {
        let Outcome { status, message } = judge(line, expect);
        (status, message)
    }

    #[test]
    fn the_line_must_match() {
        assert_eq!(judged("220 mail ready", "220 *"), (Status::Up, "220 mail ready".into()));
        assert_eq!(judged("500 no", "220 *"), (Status::Down, "unexpected answer: 500 no".into()));
        assert_eq!(judged("", "220 *"), (Status::Down, "no answer".into()));
        assert_eq!(judged("", "*").0, Status::Up);
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
        let (_, message) = judged(&"é".repeat(300), "é*");
        assert_eq!(message.len(), MAX_SHOWN);
    }
}
