//! The caps of DESIGN 9 that no hostile guest of the catalogue runs into: what is just allowed is had, and what is
//! beyond has its name.

use std::time::Duration;

use crate::harness::{
    Agent, Listener, Manner, Metrics, Site, Table, by_hand, check, eventually, guest, that, throughout,
};

const SOON: Duration = Duration::from_secs(20);
/// What a text that was cut ends with.
const CUT: &str = "…";

/// What a run is told, and how it ends then.
struct Case {
    check: &'static str,
    guest: &'static str,
    line: &'static str,
    reason: Option<&'static str>,
    says: &'static str,
}

const fn fits(check: &'static str, guest: &'static str, line: &'static str, says: &'static str) -> Case {
    Case { check, guest, line, reason: None, says }
}

const fn exceeds(check: &'static str, guest: &'static str, line: &'static str, says: &'static str) -> Case {
    Case { check, guest, line, reason: Some("limit"), says }
}

const CASES: [Case; 14] = [
    fits("some-resources", "cap_resources", "params = { timers = 100 }", "held 100"),
    exceeds("many-resources", "cap_resources", "params = { timers = 300 }", "handles: "),
    fits("some-handles", "cap_handles", "params = { count = 1000 }", "held 1000"),
    exceeds("many-handles", "cap_handles", "params = { count = 1025 }", "handles: "),
    fits("some-random", "cap_random", "params = { bytes = 65536 }", "got 65536 bytes"),
    exceeds("much-random", "cap_random", "params = { bytes = 65537 }", "random: "),
    fits("some-headers", "cap_headers", "params = { kib = 24 }", "filled in 24 KiB"),
    exceeds("many-headers", "cap_headers", "params = { kib = 33 }", "HTTP headers: "),
    fits("some-state", "cap_answer", "params = { state = 65536 }", "remembers 65536 bytes"),
    exceeds("much-state", "cap_state", "", "state: more than 64 KiB"),
    fits("some-memory", "cap_squatter", "params = { mib = 16 }\nlimits = { memory = \"32MiB\" }", "held 16 MiB"),
    exceeds("much-memory", "allocator", "limits = { memory = \"32MiB\" }", "memory: more than the 32 MiB"),
    fits("few-sockets", "hoarder", "limits = { sockets = 3 }", "hoarded 3: "),
    // Beyond the sockets comes the table that they lie in.
    exceeds("many-sockets", "hoarder", "limits = { sockets = 1024 }", "handles: "),
];

impl Case {
    fn table(&self, listener: &Listener) -> Table {
        let table = check(self.check, self.guest).line(self.line);
        if self.guest == "hoarder" { table.target(&listener.url()) } else { table }
    }

    /// Has it ended as it must?
    fn holds(&self, agent: &Agent) -> Result<(), String> {
        let seen = agent.check(self.check);
        match self.reason {
            None => agent.shows(self.check, "UP")?,
            Some(reason) => agent.unknown(self.check, reason)?,
        }
        that(message(&seen).starts_with(self.says), || format!("{}: not {:?}: {seen}", self.check, self.says))?;
        let result = self.reason.unwrap_or("up");
        let counted = agent.metrics().sum("vitald_check_runs_total", &[("check", self.check), ("result", result)]);
        that(counted >= 1.0, || format!("{}: no run is counted as {result}", self.check))
    }
}

fn message(seen: &serde_json::Value) -> &str {
    seen["message"].as_str().unwrap_or_default()
}

#[test]
fn each_cap_lets_through_what_fits_and_names_what_does_not() {
    let listener = Listener::start(Manner::Closing);
    let site = Site::new().with_defaults("interval = \"1s\"\ntimeout = \"1s\"\nfall = 1");
    for case in &CASES {
        let plugin = if case.guest == "cap_state" { by_hand("cap_state") } else { guest(case.guest) };
        site.plugin(case.guest, plugin);
    }
    site.drop_in("caps", CASES.iter().map(|case| case.table(&listener)));
    let agent = site.start();
    for case in &CASES {
        eventually(case.check, SOON, || case.holds(&agent));
    }
}

#[test]
fn of_a_long_answer_the_beginning_is_kept() {
    let site = Site::new();
    site.plugin("cap_answer", guest("cap_answer"));
    let told = |name: &str, params: &str| check(name, "cap_answer").line(&format!("params = {{ {params} }}"));
    site.drop_in(
        "caps",
        [
            told("whole", "message = 4096, measurements = 64, parts = 64"),
            told("long", "message = 4097, measurements = 65, parts = 65"),
        ],
    );
    let agent = site.start();
    for (name, said) in [("whole", "m".repeat(4096)), ("long", "m".repeat(4096) + CUT)] {
        agent.until(name, "UP");
        let (seen, metrics) = (agent.check(name), agent.metrics());
        assert_eq!(message(&seen), said, "{name}");
        assert_eq!(seen["parts"].as_array().unwrap().len(), 64, "{name}");
        let values = (0..65).filter(|n| metrics.get(&format!("vitald_value_number_{n}"), &[("check", name)]).is_some());
        assert_eq!(values.count(), 64, "{name}");
        assert_eq!(metrics.sum("vitald_check_runs_total", &[("check", name), ("result", "limit")]), 0.0);
    }
}

/// Long enough for a run on a busy machine, and for who is turned away again and again: both are other matters.
const PATIENT: &str = "interval = \"1s\"\ntimeout = \"1s\"\nstale_after = \"60s\"";

/// Checks that sit on memory or on a slot.
fn squatters(count: usize, params: &str, plugin: impl Fn(usize) -> String) -> Vec<Table> {
    let squatter = |n| check(&format!("squatter-{n}"), &plugin(n)).line(&format!("params = {{ {params} }}"));
    (0..count).map(squatter).collect()
}

/// Watches runs be turned away for a while: nobody is judged by that, no more is held than may be, and work goes on.
fn are_turned_away(agent: &Agent, enough: f64, held: impl Fn(&Agent) -> Result<(), String>) {
    let turned_away = |metrics: &Metrics| metrics.sum("vitald_check_skipped_total", &[("reason", "overloaded")]);
    eventually("runs are turned away", SOON, || that(turned_away(&agent.metrics()) >= 10.0, || "not yet".into()));
    throughout("nobody is judged by it", Duration::from_secs(4), || {
        let details = agent.try_get("/health")?.json()["details"].to_string();
        that(!details.contains("\"DOWN\"") && !details.contains("\"UNKNOWN\""), || details)?;
        held(agent)
    });
    let metrics = agent.metrics();
    let all = metrics.sum("vitald_check_runs_total", &[]);
    let well = metrics.sum("vitald_check_runs_total", &[("result", "up")]);
    assert!(all == well && all >= enough, "{all} runs, {well} up");
    let (due, skipped) = (metrics.sum("vitald_schedule_due_total", &[]), turned_away(&metrics));
    println!("measured: of a full sandbox: {due} due, {well} up, {skipped} overloaded");
}

#[test]
fn memory_of_all_guests_together_has_a_cap_that_says_nothing_of_targets() {
    const ALL: f64 = (64 << 20) as f64;
    let site = Site::new().with_defaults(PATIENT).with("sandbox", "memory = \"64MiB\"");
    site.plugin("cap_squatter", guest("cap_squatter"));
    site.drop_in("squatters", squatters(12, "mib = 24, millis = 300", |_| "cap_squatter".into()));
    let agent = site.start();
    are_turned_away(&agent, 12.0, |agent| {
        let held = agent.metrics().sum("vitald_sandbox_memory_bytes", &[]);
        that(held <= ALL, || format!("{held} bytes are held"))
    });
}

#[test]
fn runs_at_once_have_a_cap_and_one_plugin_a_quarter_of_it() {
    const ALL: f64 = 4.0;
    let running = |agent: &Agent| agent.metrics().sum("vitald_runs_in_flight", &[]);
    let cases = [("one plugin", 1, ALL / 4.0), ("many plugins", 12, ALL)];
    for (what, plugins, cap) in cases {
        let site = Site::new().with_defaults(PATIENT).with("sandbox", "concurrency = 4");
        let plugin = |n: usize| format!("cap_squatter-{}", n % plugins);
        (0..plugins).for_each(|n| site.plugin(&plugin(n), guest("cap_squatter")));
        site.drop_in("squatters", squatters(12, "millis = 300", plugin));
        let agent = site.start();
        are_turned_away(&agent, 6.0, |agent| {
            let running = running(agent);
            that(running <= cap, || format!("{what}: {running} at once"))
        });
    }
}
