//! Many checks of one checker under one agent: what each is to show, and that none shows the password.

use std::time::Duration;

use super::agent::Agent;
use super::site::Site;
use super::toml::{Table, check};
use super::wait::{eventually, that};

const SOON: Duration = Duration::from_secs(30);
/// What such checks have in common: wrong twice, a second apart, before that is believed.
pub const QUICK: &str = "interval = \"1s\"\ntimeout = \"1s\"\nfall = 2\nrise = 2\nstale_after = \"60s\"";

/// What a check is to show: its status, or the reason why there is none, and what its message has in it.
pub struct Case {
    name: &'static str,
    check: Table,
    shows: &'static str,
    message: &'static str,
}

impl Case {
    /// A check with a line of its own.
    pub fn new(
        name: &'static str,
        checker: &str,
        url: &str,
        line: &str,
        shows: &'static str,
        message: &'static str,
    ) -> Self {
        Self { name, check: check(name, checker).target(url).line(line), shows, message }
    }
}

/// Starts an agent with these checks, and waits until each shows what is wanted.
pub fn all_show(site: &Site, cases: &[Case], password: &str) -> Agent {
    site.drop_in("all", cases.iter().map(|case| case.check.clone()));
    let agent = site.start();
    for case in cases {
        shows(&agent, case.name, case.shows, case.message);
        assert!(!agent.check(case.name).to_string().contains(password), "{} shows the password", case.name);
    }
    assert!(!agent.log().contains(password), "the log has the password");
    agent
}

/// Waits until the check shows that.
pub fn shows(agent: &Agent, name: &str, wanted: &str, message: &str) {
    eventually(&format!("{name} is {wanted}: {message}"), SOON, || {
        let seen = agent.check(name);
        let shown = if seen["status"] == "UNKNOWN" { &seen["reason"] } else { &seen["status"] };
        that(*shown == wanted && seen["message"].as_str().is_some_and(|own| own.contains(message)), || seen.to_string())
    });
}
