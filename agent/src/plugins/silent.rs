//! What goes on while a disk does not answer: a dead network file system blocks whoever looks at it, for ever. The loop
//! does not wait for that: what needs no plugin directory is taken over without, and people are told where it hangs.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::checkset::Reading;

use super::{AGAIN, Plugins, bundled};

/// At the start everything waits for the first look.
const AT_START: Duration = Duration::from_secs(2);
/// A cold disk may take its time.
const WHILE_RUNNING: Duration = Duration::from_secs(5);
/// Between two readings of the configuration beside a look that hangs.
const MEANWHILE: Duration = Duration::from_secs(5);

impl Plugins {
    /// One look at a time, and one reading. A look that hangs holds up no reading.
    pub(super) fn may_look(&self) -> bool {
        !self.rereading.is_under_way() && (!self.looking.is_under_way() || self.silent.is_some())
    }

    /// When something is to be said of what has not ended.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        [self.falls_silent(), self.asked.patience_ends()].into_iter().flatten().min()
    }

    fn falls_silent(&self) -> Option<Instant> {
        let patience = if self.progress.is_none() { AT_START } else { WHILE_RUNNING };
        let began = self.looking.began().or_else(|| self.rereading.began());
        began.filter(|_| self.silent.is_none()).map(|began| began + patience)
    }

    pub(super) fn lose_patience(&mut self) {
        let now = Instant::now();
        if self.falls_silent().is_some_and(|at| at <= now) {
            match self.looking.at() {
                Some(at) if self.progress.is_none() => {
                    tracing::warn!("{at} does not answer: the agent begins without it, checks wait for their plugins");
                    self.silent = Some(at);
                }
                Some(at) => {
                    tracing::warn!("{at} does not answer: plugins stay as they are until it does");
                    self.silent = Some(at);
                }
                None => {
                    tracing::warn!("the files of the configuration do not answer: what runs stays as it is");
                    self.silent = Some("the configuration".to_owned());
                }
            }
            if self.looking.is_under_way() {
                self.go_on_without();
                self.publish();
            }
        }
        self.answer_late(now);
    }

    /// It came back after all.
    pub(super) fn answers_again(&mut self) -> bool {
        let Some(silent) = self.silent.take() else { return false };
        tracing::info!("{silent} answers again");
        true
    }

    /// Takes in what the configuration says, and has the plugins looked at by it.
    pub(super) fn take_read(&mut self, reading: Option<Reading>) {
        let now = Instant::now();
        let Some(reading) = reading else {
            tracing::error!("a look at the configuration failed; the next one comes soon");
            return self.agenda.ended(now, AGAIN);
        };
        let definitions = match &reading {
            Reading::Good { definitions, .. } | Reading::Wrong { definitions, .. } => definitions.clone(),
            Reading::Unsettled => self.definitions.clone(),
        };
        self.read = Some(reading);
        if !self.looking.is_under_way() {
            self.answers_again();
        } else if self.looking.looks_by(&definitions.places) {
            if self.go_on_without() {
                self.publish();
            }
            return self.agenda.ended(now, MEANWHILE);
        } else {
            // It hangs where nobody wants to look any more, and is left behind.
            self.silent = None;
        }
        self.look_at_disk(definitions);
    }

    /// Takes over what needs no plugin directory: the definitions, and the bundled checkers. True if anything changed.
    fn go_on_without(&mut self) -> bool {
        let changed = self.take_reading();
        let names: Vec<_> = self.definitions.checks.values().map(|check| check.checker.clone()).collect();
        for (name, version) in bundled::all().filter(|(name, _)| names.contains(name)) {
            if !self.slots.contains_key(&name) {
                self.on_disk.insert(name.clone(), version.digest.clone());
                self.bring_to(&name, version);
            }
        }
        changed | self.judge_held()
    }
}
