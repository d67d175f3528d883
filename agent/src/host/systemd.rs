//! Units, timers and sockets of systemd, as its manager tells over D-Bus (org.freedesktop.systemd1(5)).
//!
//! It is off by default: it is the one collector that asks another process. It only reads, and needs no rights for
//! that. One connection is kept; it is made anew after every fault. A bus that does not answer costs two seconds and
//! this collector, nothing else, and is asked again after a minute. A unit that goes while it is asked about costs
//! itself.

mod bus;

use std::path::PathBuf;
use std::time::Duration;

use super::collector::{CollectError, Collector, Families, Filter, Settings, float};
use crate::model::host::HostKind;
use bus::Bus;

/// For everything that one sample asks, connecting included. A busy manager with a thousand units needs a tenth.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Systemd {
    filter: Filter,
    bus: Bus,
}

impl Systemd {
    pub fn new(settings: &Settings) -> Self {
        Self { filter: settings.filter("systemd"), bus: Bus::default() }
    }
}

/// What the manager said, as far as it came.
#[derive(Debug, Default)]
struct Seen {
    version: Option<String>,
    /// `running` where all is well.
    state: Option<String>,
    units: Vec<Unit>,
}

#[derive(Debug, Default)]
struct Unit {
    name: String,
    /// `loaded`, or why not.
    load: String,
    active: String,
    /// Where the manager has its properties.
    path: String,
    /// Type of a service (`oneshot`) or of a mount (`ext4`).
    kind: String,
    /// Of a timer, in microseconds since 1970.
    last_trigger: Option<u64>,
    /// Of a socket.
    accepted: Option<u32>,
    connections: Option<u32>,
    /// None before systemd 239.
    refused: Option<u32>,
}

impl Unit {
    fn is(&self, suffix: &str) -> bool {
        self.name.ends_with(suffix)
    }
}

impl Collector for Systemd {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let mut seen = Seen::default();
        let shown = |unit: &Unit| unit.load == "loaded" && self.filter.allows(&unit.name);
        let result = self.bus.ask(&mut seen, &shown);
        show(out, &seen, &shown);
        let path = || PathBuf::from(self.bus.address());
        result.map_err(|fault| CollectError::Read { path: path(), source: std::io::Error::other(fault) })
    }
}

const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];

fn show(out: &mut Families, seen: &Seen, shown: &dyn Fn(&Unit) -> bool) {
    let Some(version) = &seen.version else { return };
    let help = "Version of systemd, as far as it is a number; the label has all of it.";
    let number = version_number(version);
    // What has no number is not told apart.
    let label = if number.is_some() { version } else { "" };
    let number = number.unwrap_or_default();
    out.family(HostKind::Gauge, "node_systemd_version", help).add(&[("version", label)], number);
    if !seen.units.is_empty() {
        show_summary(out, &seen.units);
    }
    for unit in seen.units.iter().filter(|unit| shown(unit)) {
        show_unit(out, unit);
    }
    if let Some(state) = &seen.state {
        let running = if state == "running" { 1.0 } else { 0.0 };
        out.gauge(
            "node_systemd_system_running",
            "1 where systemd says `running`: no unit has failed; else 0.",
            running,
        );
    }
}

/// All units, also those that are not shown one by one.
fn show_summary(out: &mut Families, units: &[Unit]) {
    let mut counts: Vec<(&str, u64)> = STATES.iter().map(|state| (*state, 0)).collect();
    for unit in units {
        match counts.iter_mut().find(|(state, _)| *state == unit.active) {
            Some((_, count)) => *count += 1,
            None => counts.push((&unit.active, 1)),
        }
    }
    let family = out.family(HostKind::Gauge, "node_systemd_units", "How many units are in each state.");
    for (state, count) in counts {
        family.add(&[("state", state)], float(count));
    }
}

fn show_unit(out: &mut Families, unit: &Unit) {
    let states = out.family(HostKind::Gauge, "node_systemd_unit_state", "1 for the state that the unit is in, else 0.");
    for state in STATES {
        let labels = [("name", unit.name.as_str()), ("state", state), ("type", unit.kind.as_str())];
        states.add(&labels, if unit.active == state { 1.0 } else { 0.0 });
    }
    let name = [("name", unit.name.as_str())];
    if let Some(last) = unit.last_trigger {
        let help = "When the timer last went off, in seconds since 1970; 0 where it never did.";
        let seconds = float(last) / 1e6;
        out.family(HostKind::Gauge, "node_systemd_timer_last_trigger_seconds", help).add(&name, seconds);
    }
    if let Some(count) = unit.accepted {
        let help = "Connections that the socket accepted.";
        out.family(HostKind::Counter, "node_systemd_socket_accepted_connections_total", help).add(&name, count.into());
    }
    if let Some(count) = unit.connections {
        let help = "Connections that are open on the socket.";
        out.family(HostKind::Gauge, "node_systemd_socket_current_connections", help).add(&name, count.into());
    }
    if let Some(count) = unit.refused {
        let help = "Connections that the socket refused.";
        out.family(HostKind::Gauge, "node_systemd_socket_refused_connections_total", help).add(&name, count.into());
    }
}

/// `252.38` of `252.38-1~deb12u1`: the first three digits or more, with what is behind a point.
fn version_number(text: &str) -> Option<f64> {
    let digits = |text: &str| text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let whole = text.split(|letter: char| !letter.is_ascii_digit()).find(|part| part.len() >= 3)?;
    let (_, rest) = text.split_once(whole)?;
    let part = rest.strip_prefix('.').and_then(|rest| rest.get(..digits(rest))).unwrap_or_default();
    format!("{whole}.{part}0").parse().ok()
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;
