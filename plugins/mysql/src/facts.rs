//! What a server says of itself: connections, age, whether it takes writes, how far it is behind.
//!
//! Replication needs a privilege, and relatives of MySQL know only part of the rest: what a server does not say is left out.

use std::collections::BTreeMap;

use vitald_sdk::{Run, Unit, sql};

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
    /// For a person.
    pub(crate) summary: String,
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
        facts.summary = facts.describe();
        Ok(facts)
    }

    /// What the check is to judge, with the answer of its query.
    pub(crate) fn with<'a>(&'a self, answer: Option<&'a str>) -> sql::Seen<'a> {
        let (lag, connections_used) = (self.number("replication_lag"), self.number("connections_used"));
        sql::Seen { server: &self.summary, answer, copy: self.is_replica.then_some("replica"), lag, connections_used }
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    fn describe(&self) -> String {
        let family = if self.is_mariadb() { "" } else { "MySQL " };
        let role = match (self.is_replica, self.number("replication_lag")) {
            (false, _) => "",
            (true, Some(_)) => ", a replica",
            (true, None) => ", a replica that does not follow",
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
/// But MySQL is 0 seconds behind a source that it cannot reach.
fn value(row: &Row) -> Option<f64> {
    let at = |is: fn(&str) -> bool| row.columns_ref().iter().position(|column| is(&column.name_str()));
    let hears = at(|name| name.ends_with("_IO_Running")).and_then(|at| row.get_opt::<String, _>(at)?.ok());
    let value = at(|name| name == "Value" || name.starts_with("Seconds_Behind_"))?;
    if hears.is_some_and(|hears| hears != "Yes") { None } else { row.get_opt(value)?.ok() }
}

#[cfg(test)]
mod tests {
    use mysql_common::row::new_row;
    use mysql_common::value::Value;

    use super::*;
    use crate::link::tests::columns;

    #[test]
    fn who_does_not_hear_its_source_is_not_up_to_date() {
        let value = |names: &[&str], texts: &[Option<&str>]| {
            let values = texts.iter().map(|text| text.map_or(Value::NULL, Value::from)).collect();
            value(&new_row(values, columns(names).into()))
        };
        let of_mysql = |hears, behind| value(&["Replica_IO_Running", "Seconds_Behind_Source"], &[Some(hears), behind]);
        assert_eq!(of_mysql("Yes", Some("7")), Some(7.0));
        assert_eq!(of_mysql("Connecting", Some("0")), None);
        assert_eq!(of_mysql("Yes", None), None);
        assert_eq!(value(&["Slave_IO_Running", "Seconds_Behind_Master"], &[Some("No"), None]), None);
        assert_eq!(value(&["Variable_name", "Value"], &[Some("Uptime"), Some("12")]), Some(12.0));
    }

    #[test]
    fn what_it_is_is_said_and_handed_on() {
        let facts = |version: &str, is_replica, lag: Option<f64>| {
            let numbers = lag.map(|lag| ("replication_lag", lag)).into_iter().collect();
            let facts = Facts { version: version.into(), is_replica, numbers, ..Facts::default() };
            Facts { summary: facts.describe(), ..facts }
        };
        let alone = facts("8.0.36", false, None);
        assert_eq!(
            alone.with(Some("7")),
            sql::Seen { server: "MySQL 8.0.36", answer: Some("7"), ..Default::default() }
        );
        let replica = facts("11.8.3-MariaDB", true, Some(3.0));
        let seen = replica.with(None);
        assert_eq!((seen.server, seen.copy, seen.lag), ("11.8.3-MariaDB, a replica", Some("replica"), Some(3.0)));
        let stopped = facts("11.8.3-MariaDB", true, None);
        assert_eq!(stopped.with(None).server, "11.8.3-MariaDB, a replica that does not follow");
        assert_eq!((stopped.with(None).copy, stopped.with(None).lag), (Some("replica"), None));
    }
}
