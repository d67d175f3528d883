//! What an answer must look like, and in words what is wrong with one that does not.

use regex_lite::Regex;
use vitald_sdk::{Error, Outcome, Result, Status, degraded, down, up};

use crate::Params;

/// What the operator expects, ready to be held against an answer.
#[derive(Debug)]
pub(crate) struct Expected {
    /// As it was written, for messages.
    written: String,
    /// Both ends belong to a range.
    statuses: Vec<(u16, u16)>,
    contains: Option<String>,
    regex: Option<Regex>,
}

/// What came, as far as it was read.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) cut: bool,
}

impl Expected {
    /// # Errors
    /// What makes no sense is the operator's to mend.
    pub(crate) fn of(params: &Params) -> Result<Self> {
        let regex = params.body_regex.as_deref().map(Regex::new).transpose();
        Ok(Self {
            written: params.status.clone(),
            statuses: statuses(&params.status)?,
            contains: params.body_contains.clone(),
            regex: regex.map_err(|error| Error::invalid_params(format!("body_regex: {error}")))?,
        })
    }

    pub(crate) fn judge(&self, answer: &Answer<'_>) -> Outcome {
        let status = answer.status;
        if !self.statuses.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
            return down(format!("status {status}, expected {}", self.written));
        }
        let body = String::from_utf8_lossy(answer.body);
        let place = if answer.cut { "the beginning of the body" } else { "the body" };
        if self.contains.as_ref().is_some_and(|text| !body.contains(text)) {
            return down(format!("status {status}, but {place} has not the text expected"));
        }
        if self.regex.as_ref().is_some_and(|regex| !regex.is_match(&body)) {
            return down(format!("status {status}, but {place} does not match body_regex"));
        }
        up(format!("status {status}"))
    }
}

/// A certificate that ends soon degrades a target that is otherwise well.
pub(crate) fn certificate(outcome: Outcome, days_left: Option<f64>, wanted: Option<u32>) -> Outcome {
    match (days_left, wanted) {
        (Some(left), Some(wanted)) if left < f64::from(wanted) && outcome.status == Status::Up => {
            degraded(format!("{}, but its certificate is valid for {left:.1} more days", outcome.message))
        }
        _ => outcome,
    }
}

/// `200`, `200-299`, `200,204,301-302`.
fn statuses(text: &str) -> Result<Vec<(u16, u16)>> {
    text.split(',').map(|item| range(item.trim())).collect::<Option<_>>().ok_or_else(|| {
        Error::invalid_params(format!("status: expected codes and ranges as in 200,301-302, got {text}"))
    })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = (code(from)?, code(to)?);
    (range.0 <= range.1).then_some(range)
}

fn code(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|code| (100..=999).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(params: &Params, status: u16, body: &[u8], cut: bool) -> (Status, String) {
        let Outcome { status, message } = Expected::of(params).unwrap().judge(&Answer { status, body, cut });
        (status, message)
    }

    #[test]
    fn statuses_are_codes_and_ranges() {
        assert_eq!(statuses("200").unwrap(), [(200, 200)]);
        assert_eq!(statuses("200, 301-302,404").unwrap(), [(200, 200), (301, 302), (404, 404)]);
        for wrong in ["", "20x", "2xx", "299-200", "99", "200,", "1000"] {
            let error = statuses(wrong).unwrap_err();
            assert!(!error.is_down() && error.message().starts_with("status: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_status_comes_first() {
        let params = Params { body_contains: Some("fine".into()), ..Params::default() };
        assert_eq!(judged(&params, 500, b"fine", false), (Status::Down, "status 500, expected 200-299".into()));
        assert_eq!(judged(&params, 204, b"all fine", false), (Status::Up, "status 204".into()));
        assert_eq!(
            judged(&params, 200, b"broken", true).1,
            "status 200, but the beginning of the body has not the text expected"
        );
    }

    #[test]
    fn a_certificate_that_ends_soon_degrades() {
        let of = |left, wanted| certificate(up("status 200"), left, wanted).status;
        assert_eq!(of(Some(13.0), Some(14)), Status::Degraded);
        assert_eq!(of(Some(15.0), Some(14)), Status::Up);
        assert_eq!(of(Some(0.5), None), Status::Up);
        assert_eq!(of(None, Some(14)), Status::Up);
        assert_eq!(certificate(down("status 500"), Some(1.0), Some(14)).status, Status::Down);
    }

    #[test]
    fn the_body_must_match() {
        let params = Params { body_regex: Some("\"queue\":\\s*[0-9]\\b".into()), ..Params::default() };
        assert_eq!(judged(&params, 200, b"{\"queue\": 7}", false).0, Status::Up);
        assert_eq!(judged(&params, 200, b"{\"queue\": 70}", false).0, Status::Down);
        assert_eq!(judged(&params, 200, b"\xff\xfe", false).0, Status::Down);
        let broken = Params { body_regex: Some("(".into()), ..Params::default() };
        assert!(Expected::of(&broken).unwrap_err().message().starts_with("body_regex: "));
    }
}
