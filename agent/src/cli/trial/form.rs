//! What was tried and came of it, and the forms in which it is said.

use std::io::IsTerminal as _;

use crate::model::checkset::{Description, Powers};
use crate::model::outcome::{Ending, Measurement, Skipped};

use super::eye::Sight;
use super::runs::{Runs, status_of};
use super::subject::Subject;
use super::{json, nagios, text};
use crate::cli::table::{terminal_width, wants_colour};

/// All that there is to say.
pub struct Tried {
    pub subject: Subject,
    pub description: Description,
    pub powers: Powers,
    pub runs: Runs,
    pub sight: Sight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
    Nagios,
}

impl Form {
    pub fn of(json: bool, nagios: bool) -> Self {
        match (json, nagios) {
            (true, _) => Self::Json,
            (_, true) => Self::Nagios,
            _ => Self::Text,
        }
    }

    pub fn shown(self, tried: &Tried, trace: bool) -> String {
        match self {
            Self::Json => json::json(tried, trace),
            Self::Nagios => nagios::line(tried),
            Self::Text => {
                let terminal = std::io::stdout().is_terminal();
                text::text(tried, trace, terminal_width(terminal), wants_colour(terminal))
            }
        }
    }
}

impl Tried {
    pub fn status(&self) -> String {
        status(&self.runs.last.ending)
    }

    pub fn reason(&self) -> Option<&'static str> {
        reason(&self.runs.last.ending)
    }

    pub fn message(&self) -> &str {
        message(&self.runs.last.ending)
    }

    pub fn measurements(&self) -> &[Measurement] {
        measurements(&self.runs.last.ending)
    }
}

/// `UP`, `DEGRADED`, `DOWN`, or `UNKNOWN` where nothing was judged.
pub fn status(ending: &Ending) -> String {
    status_of(ending).map_or_else(|| "UNKNOWN".to_owned(), |status| status.to_string())
}

/// Why there is no judgement, or only that of the clock.
pub fn reason(ending: &Ending) -> Option<&'static str> {
    match ending {
        Ending::Judged(_) => None,
        Ending::Faulted(fault) => Some(fault.kind.label()),
        Ending::NotRun(skipped) => Some(skipped.label()),
    }
}

pub fn message(ending: &Ending) -> &str {
    match ending {
        Ending::Judged(outcome) => &outcome.message,
        Ending::Faulted(fault) => &fault.message,
        Ending::NotRun(Skipped::Overloaded) => "this machine was too busy to tell, three times in a row",
        Ending::NotRun(_) => "it was not run",
    }
}

pub fn measurements(ending: &Ending) -> &[Measurement] {
    match ending {
        Ending::Judged(outcome) => &outcome.measurements,
        _ => &[],
    }
}
