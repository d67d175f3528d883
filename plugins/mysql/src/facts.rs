//! What a server says of itself: connections, age, whether it takes writes, how far it is behind.
//!
//! Replication needs a privilege, and relatives of MySQL know only part of the rest: what a server does not say is left out.

use std::collections::BTreeMap;

use vitald_sdk::{Run, Unit};

use crate::link::{Link, Row, Stop, not_mysql};

/// What is measured, and which question has it as its value.
const ASKED: [(&str, Unit, &str); 5] = [
    ("connections", Unit::None, "show global status like 'Threads_connected'"),
    ("max_connections", Unit::None, "select @@global.max_connections as Value"),
    ("uptime", Unit::Seconds, "show global status like 'Uptime'"),
    ("read_only", Unit::None, "select @@global.read_only as Value"),
    ("replication_lag", Unit::Seconds, "show replica status"),
];

/// Codes with which a server that stops, or wants a new password first, refuses everything.
const REFUSES_ALL: [u16; 3] = [1053, 1820, 1862];

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) numbers: BTreeMap<&'static str, f64>,
    pub(crate) is_replica: bool,
}

impl Facts {
    pub(crate) async fn ask(link: &mut Link, version: String) -> Result<Self, Stop> {
        let mut facts = Self { version, ..Self::default() };
        for (name, _, question) in ASKED {
            let row = match link.query(question, not_mysql()).await {
                Err(Stop::Server(code, _)) if !REFUSES_ALL.contains(&code) => None,
                answer => answer?,
            };
            facts.is_replica |= name == "replication_lag" && row.is_some();
            facts.numbers.extend(row.as_ref().and_then(value).map(|value| (name, value)));
        }
        if let (Some(taken), Some(most)) = (facts.number("connections"), facts.number("max_connections")) {
            facts.numbers.insert("connections_used", taken / most.max(1.0));
        }
        Ok(facts)
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    pub(crate) fn describe(&self) -> String {
        let family = if self.is_mariadb() { "" } else { "MySQL " };
        let role = match (self.is_replica, self.number("replication_lag")) {
            (false, _) => "",
            (true, Some(_)) => ", a replica",
            (true, None) => ", a replica that has stopped",
        };
        format!("{family}{}{role}", self.version)
    }

    pub(crate) fn measure(&self, run: &mut Run) {
        run.measure("server_info", 1).label("version", &self.version);
        let units = ASKED.map(|(name, unit, _)| (name, unit));
        for (name, unit) in units.into_iter().chain([("connections_used", Unit::Ratio)]) {
            if let Some(number) = self.number(name) {
                run.measure(name, unit.of(number));
            }
        }
    }
}

/// MySQL calls the lag `Seconds_Behind_Source`, MariaDB `Seconds_Behind_Master`; where replication stands still, it is NULL.
fn value(row: &Row) -> Option<f64> {
    let is_value = |name: &str| name == "Value" || name.starts_with("Seconds_Behind_");
    let at = row.columns_ref().iter().position(|column| is_value(&column.name_str()))?;
    row.get_opt(at)?.ok()
}
