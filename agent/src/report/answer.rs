//! What a receiver's answer means for a report, and how long to wait after it. Pure.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};

use super::metrics::Failure;

/// A receiver may ask for so much patience and no more: it may be mistaken, and somebody waits for the reports.
const LONGEST_WISH: Duration = Duration::from_secs(5 * 60);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// Chance may say zero; a peer that refuses at once is not to be asked in a tight loop.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    Delivered,
    /// It will never be taken: the code, and why, for the log.
    Refused(StatusCode, String),
    /// It cannot be read back: torn or corrupt.
    Damaged(String),
    /// To be tried again.
    Failed {
        failure: Failure,
        why: String,
        wish: Option<Duration>,
    },
}

impl Attempt {
    pub fn failed(failure: Failure, why: impl Into<String>) -> Self {
        Self::Failed { failure, why: why.into(), wish: None }
    }
}

/// `text`: the beginning of the body, for a person. `wall`: now, since the Unix epoch.
pub fn judge(status: StatusCode, headers: &HeaderMap, text: &str, wall: Duration) -> Attempt {
    let said = if text.is_empty() { String::new() } else { format!(": {text}") };
    let why = format!("it answers {status}{said}");
    let failure = match status {
        _ if status.is_success() => return Attempt::Delivered,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            return Attempt::Refused(status, why);
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => Failure::Throttled,
        _ if status.is_server_error() => Failure::Server,
        _ => Failure::Status,
    };
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; look at token_file and headers",
        _ if status.is_redirection() => "; redirects are not followed: set url to where it sends us",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "; look at url",
        _ => "",
    };
    Attempt::Failed { failure, why: format!("{why}{advice}"), wish: retry_after(headers, wall) }
}

/// RFC 9110, 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, wall: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wish = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
            Duration::from_secs(u64::try_from(date).ok()?).saturating_sub(wall)
        }
    };
    Some(wish.min(LONGEST_WISH))
}

/// Exponential, with full jitter: many agents that lost one receiver do not come back all at once.
#[derive(Debug, Clone)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_BACKOFF)
    }
}

impl Backoff {
    /// How long to wait now. `chance` is from 0 to 1.
    pub fn pause(&mut self, wish: Option<Duration>, chance: f64) -> Duration {
        let pause = self.0.mul_f64(chance.clamp(0.0, 1.0)).max(SHORTEST_PAUSE);
        self.0 = (self.0 * 2).min(LONGEST_BACKOFF);
        // What a receiver wishes comes with a jitter too: it told everybody the same.
        wish.map_or(pause, |wish| wish.saturating_add(pause.min(FIRST_BACKOFF)).max(pause))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn with(retry_after: &str) -> HeaderMap {
        [(RETRY_AFTER, HeaderValue::from_str(retry_after).expect("a header"))].into_iter().collect()
    }

    fn judged(code: u16) -> Attempt {
        judge(StatusCode::from_u16(code).expect("a code"), &HeaderMap::new(), "words", Duration::ZERO)
    }

    #[test]
    fn what_codes_mean() {
        for code in [200, 201, 202, 204] {
            assert_eq!(judged(code), Attempt::Delivered);
        }
        for code in [400, 413, 422] {
            assert!(matches!(judged(code), Attempt::Refused(_, why) if why.contains("words")), "{code}");
        }
        let cases = [
            (401, Failure::Unauthorized, "token_file"),
            (403, Failure::Unauthorized, "token_file"),
            (404, Failure::Status, "look at url"),
            (302, Failure::Status, "not followed"),
            (408, Failure::Status, "408"),
            (429, Failure::Throttled, "429"),
            (500, Failure::Server, "500"),
            (507, Failure::Server, "507"),
        ];
        for (code, expected, word) in cases {
            let Attempt::Failed { failure, why, wish: None } = judged(code) else { panic!("{code}") };
            assert!(failure == expected && why.contains(word), "{code}: {failure:?} {why}");
        }
    }

    #[test]
    fn wishes_are_heard_within_limits() {
        let now = Duration::from_secs(784_111_777);
        let wish = |text: &str| retry_after(&with(text), now).map(|wish| wish.as_secs());
        assert_eq!(wish("7"), Some(7));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:57 GMT"), Some(20));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0), "it has passed");
        assert_eq!(wish("99999999999"), Some(300));
        for odd in ["", "soon", "-1", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wish(odd), None, "{odd}");
        }
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_are_never_none() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..8).map(|_| backoff.pause(None, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.pause(None, 0.0), SHORTEST_PAUSE);
        let wish = Some(Duration::from_secs(120));
        assert_eq!(Backoff::default().pause(wish, 0.5), Duration::from_millis(120_500));
        assert_eq!(backoff.pause(Some(Duration::from_secs(1)), 1.0), LONGEST_BACKOFF, "a wish shortens nothing");
    }
}
