//! What is said of reports in the log: one line for each change, none for each try.

use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::model::name::Name;
use crate::model::time::brief;

use super::metrics::Failure;

pub struct Troubles {
    report: Name,
    /// Since when nothing gets through, and the failures that were said of it.
    away: Option<(Instant, Vec<Failure>)>,
    /// Said once, until one is delivered.
    said_given_up: bool,
    /// The code with which reports were refused last, and how many were.
    refused: Option<(StatusCode, u64)>,
    /// Files that were damaged since a report was delivered.
    damaged: u64,
    /// Reports that were too large since one was not.
    unfit: u64,
}

impl Troubles {
    pub fn new(report: Name) -> Self {
        Self { report, away: None, said_given_up: false, refused: None, damaged: 0, unfit: 0 }
    }

    /// What the start found on disk.
    pub fn found(&self, waiting: usize, problem: Option<&str>) {
        let report = &self.report;
        if let Some(problem) = problem {
            tracing::warn!(%report, "report {report}: the buffer of before cannot be used whole: {problem}");
        }
        if waiting > 0 {
            tracing::info!(%report, "report {report}: {waiting} of before are to be delivered");
        }
    }

    pub fn failed(&mut self, failure: Failure, why: &str, waiting: usize, retry: Duration) {
        let report = &self.report;
        let (_, said) = self.away.get_or_insert_with(|| (Instant::now(), Vec::new()));
        let retry = retry.as_secs_f64().max(0.1);
        if said.contains(&failure) {
            return tracing::debug!(%report, "report {report} still is not delivered: {why}; retry in {retry:.1}s");
        }
        said.push(failure);
        tracing::warn!(%report, "report {report} is not delivered: {why}; {waiting} waiting, retry in {retry:.1}s");
    }

    /// A try has ended a report. `success`: as it should.
    pub fn delivered(&mut self, success: bool, waiting: usize) {
        if success {
            self.count_damaged();
        }
        let report = &self.report;
        let Some((since, _)) = self.away.take_if(|_| success) else {
            self.said_given_up &= !(success && waiting == 0);
            return;
        };
        let lasted = brief(since.elapsed());
        tracing::info!(%report, "report {report} is delivered again after {lasted}, {waiting} more are waiting");
    }

    /// What the receiver says in words may be another each time; its code is what it means.
    pub fn refused(&mut self, status: StatusCode, why: &str) {
        let report = &self.report;
        if let Some((_, count)) = self.refused.as_mut().filter(|(said, _)| *said == status) {
            *count = count.saturating_add(1);
            return tracing::debug!(%report, "report {report} is dropped, too: {why}");
        }
        tracing::error!(%report, "report {report} is dropped, its receiver will never take it: {why}");
        self.count_refused();
        self.refused = Some((status, 1));
    }

    fn count_refused(&mut self) {
        let report = &self.report;
        if let Some((status, count)) = self.refused.take_if(|(_, count)| *count > 1) {
            tracing::warn!(%report, "report {report}: {count} in all were dropped for {status}");
        }
    }

    pub fn damaged(&mut self, why: &str) {
        let report = &self.report;
        self.damaged = self.damaged.saturating_add(1);
        if self.damaged == 1 {
            tracing::warn!(%report, "report {report}: one that waited is lost, its file is damaged: {why}");
        } else {
            tracing::debug!(%report, "report {report}: another that waited is lost: {why}");
        }
    }

    fn count_damaged(&mut self) {
        let report = &self.report;
        let count = std::mem::take(&mut self.damaged);
        if count > 1 {
            tracing::warn!(%report, "report {report}: {count} in all that waited are lost, their files are damaged");
        }
    }

    pub fn unfit(&mut self, why: &str) {
        let report = &self.report;
        self.unfit = self.unfit.saturating_add(1);
        if self.unfit == 1 {
            tracing::error!(%report, "report {report} is dropped, and so are those that follow, until one fits: {why}");
        }
    }

    /// One was made that is not too large.
    pub fn fits(&mut self) {
        let report = &self.report;
        let count = std::mem::take(&mut self.unfit);
        if count > 0 {
            tracing::info!(%report, "report {report} fits again, {count} were dropped");
        }
    }

    pub fn given_up(&mut self, count: u64) {
        let report = &self.report;
        if count > 0 && !std::mem::replace(&mut self.said_given_up, true) {
            tracing::warn!(%report, "report {report}: the buffer is full, the oldest are dropped from now on");
        }
    }

    /// What the agent leaves behind when it ends.
    pub fn left(&mut self, waiting: usize, volatile: usize) {
        self.count_refused();
        self.count_damaged();
        let report = &self.report;
        let kept = waiting.saturating_sub(volatile);
        if kept > 0 {
            tracing::info!(%report, "report {report}: {kept} wait on disk for the next start");
        }
        if volatile > 0 {
            tracing::warn!(%report, "report {report}: {volatile} that could be neither delivered nor written are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is said, from INFO up.
    fn said(work: impl FnOnce(&mut Troubles)) -> Vec<String> {
        let log = Log::default();
        let own = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || own.clone()).with_ansi(false).without_time().finish();
        tracing::subscriber::with_default(subscriber, || work(&mut Troubles::new("central".parse().expect("a name"))));
        let text = log.0.lock().expect("nobody panics").clone();
        String::from_utf8(text).expect("text").lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn one_line_for_each_change_and_a_count_at_the_end() {
        let lines = said(|troubles| {
            (0..9).for_each(|number| troubles.damaged(&format!("file {number}")));
            troubles.delivered(true, 0);
            (0..9).for_each(|number| troubles.refused(StatusCode::BAD_REQUEST, &format!("words {number}")));
            troubles.refused(StatusCode::PAYLOAD_TOO_LARGE, "large");
            (0..9).for_each(|_| troubles.unfit("too large"));
            troubles.fits();
            troubles.fits();
            troubles.left(0, 0);
        });
        let words = ["file 0", "9 in all", "words 0", "large", "9 in all", "until one fits", "9 were dropped"];
        assert_eq!(lines.len(), words.len(), "{lines:#?}");
        for (line, words) in lines.iter().zip(words) {
            assert!(line.contains(words), "{words}: {line}");
        }
    }
}
