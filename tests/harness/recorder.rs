//! What a real agent served, scrape by scrape, played to the real rules by `promtool test rules`.
//!
//! Time runs faster: a scrape is taken every [`STEP`] of real time, and stands [`VIRTUAL`] after the one before in what
//! promtool sees. So five minutes of an alert's `for` are four seconds of a test. What is a moment in a series
//! (`*_timestamp_seconds`) keeps its age.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use super::agent::Agent;
use super::metrics::Metrics;
use super::wait::pause;

/// Above the 100 ms for which a body is kept.
const STEP: Duration = Duration::from_millis(200);
/// The scrape interval of `agent/deploy/prometheus/prometheus.yml`, in seconds.
const VIRTUAL: usize = 15;

/// A file of `agent/deploy`.
pub fn deployed(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/deploy")).join(path)
}

/// Runs a command that checks; returns what it said.
pub fn passes(package: &str, command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!("{name} cannot be started: {error}; install it with `sudo apt-get install {package}`, or run tests/run")
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    said
}

pub fn promtool_passes(arguments: &[&str], file: &Path) -> String {
    passes("prometheus", Command::new("promtool").args(arguments).arg(file))
}

/// What `promtool check metrics` has against a scrape, line by line.
pub fn promtool_remarks(scrape: &str) -> Vec<String> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(scrape.as_bytes()).and_then(|()| file.rewind()).expect("the scrape can be written");
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(file).output().unwrap_or_else(|error| {
        panic!(
            "promtool cannot be started: {error}; install it with `sudo apt-get install prometheus`, or run tests/run"
        )
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    // 3: it has remarks; 1: it cannot read this.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(output.status.success(), lines.is_empty(), "{}: {said}", output.status);
    lines
}

/// An alert that fires, with what of its labels says of what.
#[derive(Debug, Clone, Copy)]
pub struct Alert(pub &'static str, pub &'static [(&'static str, &'static str)]);

impl Alert {
    fn sample(&self) -> String {
        let labels: String = self.1.iter().map(|(label, value)| format!(", {label}={value:?}")).collect();
        format!("{{labels: '{{alertname={:?}{labels}}}', value: 1}}", self.0)
    }
}

/// The labels that tell one alert of an agent from another.
const TELLING: &str = "alertname, check, service, dialect, plugin, mountpoint, collector";

pub struct Recorder {
    instance: String,
    /// Every series that ever was, as PromQL writes it, with its value at each scrape.
    series: BTreeMap<String, Vec<Option<String>>>,
    scrapes: usize,
    last: Instant,
    /// What is expected, as tests of promtool.
    tests: String,
    /// From which second on something is expected of each.
    phases: Vec<(usize, String)>,
    /// What the mount points of its file systems begin with.
    mounts: Option<String>,
}

impl Recorder {
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            series: BTreeMap::new(),
            scrapes: 0,
            last: Instant::now(),
            tests: String::new(),
            phases: Vec::new(),
            mounts: None,
        }
    }

    /// Records the file systems whose mount points begin like that too. Others are the machine's: whoever builds on it fills them, and
    /// here at seventy-five times that pace.
    pub fn with_mounts(self, below: String) -> Self {
        Self { mounts: Some(below), ..self }
    }

    fn keeps(&self, line: &str) -> bool {
        let wanted = || self.mounts.as_ref().is_some_and(|below| line.contains(&format!("mountpoint=\"{below}")));
        !line.starts_with('#') && (!line.starts_with("node_filesystem_") || wanted())
    }

    /// So many scrapes.
    pub fn record(&mut self, agent: &Agent, scrapes: usize) {
        (0..scrapes).for_each(|_| self.scrape(agent));
    }

    /// As many as fill that much of the time that promtool sees.
    pub fn minutes(&mut self, agent: &Agent, minutes: usize) {
        self.record(agent, minutes * 60 / VIRTUAL);
    }

    /// Scrapes until it is so: nothing is missing from the record.
    pub fn until<T>(
        &mut self,
        agent: &Agent,
        what: &str,
        budget: Duration,
        mut look: impl FnMut() -> Result<T, String>,
    ) -> T {
        let begun = Instant::now();
        loop {
            self.scrape(agent);
            match look() {
                Ok(value) => return value,
                Err(seen) => assert!(begun.elapsed() < budget, "not within {budget:?}: {what}; seen last: {seen}"),
            }
        }
    }

    /// One scrape, once it is time for it. What does not answer is down, as Prometheus sees it.
    fn scrape(&mut self, agent: &Agent) {
        while self.last.elapsed() < STEP {
            pause();
        }
        self.last = Instant::now();
        let body = agent.try_get("/metrics").ok().filter(|answer| answer.code == 200).map(|answer| answer.body);
        if let Some(body) = &body {
            Metrics::parse(body).unwrap_or_else(|error| panic!("/metrics cannot be parsed: {error}"));
        }
        self.add(&format!("up{{job=\"vitald\",instance={:?}}}", self.instance), u8::from(body.is_some()).to_string());
        for line in body.iter().flat_map(|body| body.lines()) {
            if !self.keeps(line) {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            self.add(&self.labelled(series), self.aged(series, value));
        }
        self.scrapes += 1;
    }

    fn add(&mut self, series: &str, value: String) {
        let values = self.series.entry(series.to_owned()).or_default();
        values.resize(self.scrapes, None);
        values.push(Some(value));
    }

    /// With the labels that the scrape configuration adds.
    fn labelled(&self, series: &str) -> String {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let own = ["vitald_", "process_"].iter().any(|prefix| name.starts_with(prefix));
        let job = if own { "vitald" } else { "node" };
        let comma = if labels == "}" { "" } else { "," };
        format!("{name}{{job=\"{job}\",instance={:?}{comma}{labels}", self.instance)
    }

    fn aged(&self, series: &str, value: &str) -> String {
        let moment = series.split('{').next().is_some_and(|name| name.ends_with("_timestamp_seconds"));
        match value.parse::<f64>() {
            // 0 is "never".
            Ok(at) if moment && at != 0.0 => ((self.scrapes * VIRTUAL) as f64 - (wall() - at)).to_string(),
            _ => value.to_owned(),
        }
    }

    /// At the last scrape exactly these fire.
    pub fn expect(&mut self, phase: &str, alerts: &[Alert]) {
        self.expect_at(self.scrapes.checked_sub(1).expect("a scrape"), phase, alerts);
    }

    /// Nothing fired at any scrape until now.
    pub fn expect_silence(&mut self, phase: &str) {
        (0..self.scrapes).for_each(|scrape| self.expect_at(scrape, phase, &[]));
    }

    fn expect_at(&mut self, scrape: usize, phase: &str, alerts: &[Alert]) {
        let firing = format!("sum by ({TELLING}) (ALERTS{{alertstate=\"firing\"}})");
        let at = scrape * VIRTUAL;
        writeln!(self.tests, "  - expr: '{firing}'\n    eval_time: {at}s # {phase}").expect("text");
        let samples: Vec<String> = alerts.iter().map(Alert::sample).collect();
        writeln!(self.tests, "    exp_samples: [{}]", samples.join(", ")).expect("text");
        if self.phases.last().is_none_or(|(_, last)| last != phase) {
            self.phases.push((at, phase.to_owned()));
        }
    }

    /// Plays it to the rules.
    pub fn play(&self) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("recorded.test.yml");
        super::site::write(&file, self.test_file());
        println!("phases, by the second: {:?}", self.phases);
        let said = promtool_passes(&["test", "rules"], &file);
        println!("measured: {} series over {} scrapes: {}", self.series.len(), self.scrapes, said.trim());
    }

    fn test_file(&self) -> String {
        let rules = deployed("prometheus/vitald.rules.yml");
        let rules = rules.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", rules.display()));
        let mut text = format!("rule_files: [{:?}]\nevaluation_interval: {VIRTUAL}s\n", rules.display().to_string());
        writeln!(text, "tests:\n- interval: {VIRTUAL}s\n  input_series:").expect("text");
        for (series, values) in &self.series {
            let quoted = series.replace('\'', "''");
            writeln!(text, "  - {{series: '{quoted}', values: '{}'}}", notation(values, self.scrapes)).expect("text");
        }
        text + "  promql_expr_test:\n" + &self.tests
    }
}

#[expect(clippy::disallowed_methods, reason = "the agent's clock, seen from outside")]
fn wall() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// A series that is missing from a scrape is stale there, as Prometheus marks it.
fn notation(values: &[Option<String>], scrapes: usize) -> String {
    let mut there = false;
    let mut word = |value: Option<&Option<String>>| match value.and_then(Option::as_deref) {
        Some(value) => {
            there = true;
            value.to_owned()
        }
        None if std::mem::take(&mut there) => "stale".to_owned(),
        None => "_".to_owned(),
    };
    (0..scrapes).map(|scrape| word(values.get(scrape))).collect::<Vec<_>>().join(" ")
}
