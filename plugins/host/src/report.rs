//! What a run has found, and how it is told: the worst first, in one line for a person, in parts for a machine.

use vitald_sdk::{Error, Outcome, Result, Run, Status, Unit};

/// Bad findings that the message names.
const NAMED: usize = 8;
/// The agent keeps 64 numbers and 64 parts of a run; what is counted by mount must leave room for the rest.
const PER_MOUNT: usize = 18;
const PARTS: usize = 64;
/// Bytes of a part's name and of its text: a run may hand over so much and no more, and mount points may be long.
const TEXT: usize = 200;
/// Thresholds without numbers that the message names.
const MISSING: usize = 8;

/// One threshold, or one mount that crossed it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// The name of the part: `disk /var`.
    pub(crate) part: String,
    pub(crate) status: Status,
    /// What the message says of it: `disk /var 93 % used (above 90 %)`.
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Number {
    name: &'static str,
    unit: Unit,
    value: f64,
    label: Option<(&'static str, String)>,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    /// What could not be judged yet, and will be.
    notes: Vec<String>,
    /// What could not be judged and should have been.
    missing: Vec<(String, String)>,
    numbers: Vec<Number>,
}

impl Report {
    /// `subject` is the part's name, and how the message begins.
    pub(crate) fn add(&mut self, subject: &str, status: Status, text: &str) {
        self.add_as(subject, status, format!("{subject} {text}"));
    }

    /// With a message of its own.
    pub(crate) fn add_as(&mut self, part: &str, status: Status, text: String) {
        self.findings.push(Finding { part: part.to_owned(), status, text });
    }

    /// Nothing is wrong: there is nothing to judge yet.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// A threshold without its numbers.
    pub(crate) fn missing(&mut self, parameter: &str, why: impl AsRef<str>) {
        self.missing.push((parameter.to_owned(), format!("{parameter}: {}", why.as_ref())));
    }

    pub(crate) fn gauge(&mut self, name: &'static str, unit: Unit, value: f64) {
        self.numbers.push(Number { name, unit, value, label: None });
    }

    /// The same for each of a few, such as mounts; those beyond the cap are left out.
    pub(crate) fn gauge_of(&mut self, name: &'static str, unit: Unit, value: f64, label: (&'static str, &str)) {
        if self.numbers.iter().filter(|number| number.name == name).count() < PER_MOUNT {
            self.numbers.push(Number { name, unit, value, label: Some((label.0, label.1.to_owned())) });
        }
    }

    /// Hands everything to the run. `remembers`: the next run needs what this one saw.
    ///
    /// # Errors
    /// Where numbers are missing and nothing is wrong as far as the rest can tell: that all is well cannot be said.
    /// What is known to be bad is said nevertheless. An error carries no state, and would make everything that needs
    /// some silent for ever: where that matters, it is DEGRADED that numbers are missing.
    pub(crate) fn tell(mut self, run: &mut Run, remembers: bool) -> Result<Outcome> {
        self.settle(remembers);
        for number in &self.numbers {
            let measurement = run.measure(number.name, number.unit.of(number.value));
            if let Some((name, value)) = &number.label {
                measurement.label(*name, value.clone());
            }
        }
        for (part, status, text) in self.handed_over() {
            run.part(part, status, text);
        }
        self.outcome()
    }

    fn handed_over(&self) -> impl Iterator<Item = (&str, Status, &str)> {
        let findings = self.findings.iter().take(PARTS);
        findings.map(|finding| (cut(&finding.part), finding.status, cut(&finding.text)))
    }

    fn settle(&mut self, remembers: bool) {
        if remembers {
            let missing = self.missing.drain(..);
            self.findings.extend(missing.map(|(part, text)| Finding { part, status: Status::Degraded, text }));
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(badness(finding.status)));
    }

    fn outcome(&self) -> Result<Outcome> {
        let status = self.findings.first().map_or(Status::Up, |worst| worst.status);
        if status == Status::Up && !self.missing.is_empty() {
            return Err(Error::invalid_params(self.named_missing().join("; ")));
        }
        Ok(Outcome::new(status, self.message()))
    }

    fn message(&self) -> String {
        let bad = self.findings.iter().filter(|finding| finding.status != Status::Up);
        let left_out = bad.clone().count().saturating_sub(NAMED);
        let good = self.findings.iter().filter(|finding| finding.status == Status::Up);
        let mut texts: Vec<String> = bad.take(NAMED).map(|finding| finding.text.clone()).collect();
        texts.extend((left_out > 0).then(|| format!("and {left_out} more")));
        texts.extend(good.map(|finding| finding.text.clone()));
        texts.extend(self.named_missing());
        texts.extend(self.notes.iter().cloned());
        texts.join("; ")
    }

    fn named_missing(&self) -> Vec<String> {
        let left_out = self.missing.len().saturating_sub(MISSING);
        let named = self.missing.iter().take(MISSING).map(|(_, text)| text.clone());
        named.chain((left_out > 0).then(|| format!("and {left_out} more"))).collect()
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default()
}

fn badness(status: Status) -> u8 {
    match status {
        Status::Up => 0,
        Status::Degraded => 1,
        Status::Down => 2,
    }
}

#[cfg(test)]
impl Report {
    /// What would be told, for tests of what is found.
    pub(crate) fn told(self) -> Result<(Status, String)> {
        self.told_by(false)
    }

    pub(crate) fn told_by(mut self, remembers: bool) -> Result<(Status, String)> {
        self.settle(remembers);
        self.outcome().map(|outcome| (outcome.status, outcome.message))
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.numbers.iter().find(|number| number.name == name).map(|number| number.value)
    }

    pub(crate) fn parts(&self) -> Vec<(&str, Status)> {
        self.findings.iter().map(|finding| (finding.part.as_str(), finding.status)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first() {
        let mut report = Report::default();
        report.add("cpu", Status::Up, "12 % used");
        report.add("swap", Status::Degraded, "60 % used (above 50 %)");
        report.add("disk /var", Status::Down, "93 % used (above 90 %)");
        report.note("pressure: needs a second sample");
        let (status, message) = report.told().unwrap();
        assert_eq!(status, Status::Down);
        assert_eq!(
            message,
            "disk /var 93 % used (above 90 %); swap 60 % used (above 50 %); cpu 12 % used; \
             pressure: needs a second sample"
        );
    }

    #[test]
    fn missing_numbers_hide_nothing_bad_and_no_well_being_is_claimed_without_them() {
        let with = |status| {
            let mut report = Report::default();
            report.add("cpu", status, "12 % used");
            report.missing("swap_used_above", "no numbers");
            report.told()
        };
        assert_eq!(with(Status::Up).unwrap_err().message(), "swap_used_above: no numbers");
        let (status, message) = with(Status::Degraded).unwrap();
        assert_eq!((status, message.as_str()), (Status::Degraded, "cpu 12 % used; swap_used_above: no numbers"));
    }

    #[test]
    fn what_needs_state_goes_on_without_the_missing_numbers() {
        let mut report = Report::default();
        report.add("cpu", Status::Up, "12 % used");
        report.missing("swap_used_above", "no numbers");
        assert_eq!(
            report.told_by(true).unwrap(),
            (Status::Degraded, "swap_used_above: no numbers; cpu 12 % used".into())
        );
    }

    #[test]
    fn names_that_are_cut_stay_text() {
        assert_eq!(cut("/var"), "/var");
        let long = "ä".repeat(150);
        assert_eq!(cut(&format!("x{long}")).len(), 199);
    }

    #[test]
    fn many_missing_numbers_are_counted() {
        let mut report = Report::default();
        (0..20).for_each(|n| report.missing("mounts", format!("nothing is mounted at /{n}")));
        assert_eq!(report.named_missing().last().unwrap(), "and 12 more");
        assert_eq!(report.named_missing().len(), MISSING + 1);
    }

    #[test]
    fn many_bad_mounts_are_counted() {
        let mut report = Report::default();
        for mount in 0..100 {
            report.add(&format!("disk /{mount}"), Status::Down, "full");
            report.gauge_of("disk_used", Unit::Ratio, 1.0, ("mount", &mount.to_string()));
        }
        report.add("memory", Status::Degraded, &"x".repeat(1000));
        assert_eq!(report.numbers.len(), PER_MOUNT);
        report.settle(false);
        assert_eq!(report.handed_over().count(), PARTS);
        assert!(report.handed_over().all(|(_, status, text)| status == Status::Down && text.len() <= TEXT));
        assert!(report.told().unwrap().1.ends_with("disk /7 full; and 93 more"));
    }
}
