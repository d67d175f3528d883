//! What a server says of itself to whoever may log in.
//!
//! Nothing that is asked here needs a privilege, but for the lag of others. What a server, or one of PostgreSQL's
//! relatives, does not say is left out.

use std::collections::BTreeMap;

use tokio_postgres::SimpleQueryRow;
use vitald_sdk::{Error, Result, Run, Unit, sql};

use crate::wish::Role;

/// One row, whose columns are named as what is measured.
pub(crate) const QUESTION: &str = include_str!("question.sql");

/// What is measured, under its own name.
const SHOWN: [(Unit, &[&str]); 3] = [
    (Unit::None, &["in_recovery", "connections", "max_connections", "replicas"]),
    (Unit::Seconds, &["replication_lag", "replica_lag"]),
    (Unit::Ratio, &["connections_used"]),
];

/// What a server says of itself, by the names of the columns.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen(BTreeMap<String, String>);

impl Seen {
    pub(crate) fn of(row: Option<&SimpleQueryRow>) -> Self {
        let value = |row: &SimpleQueryRow, name: &str| Some((name.to_owned(), row.try_get(name).ok()??.to_owned()));
        let values = row.map(|row| row.columns().iter().filter_map(|column| value(row, column.name())).collect());
        Self(values.unwrap_or_default())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// None where there is none that can be compared.
    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// What the check is to judge, with the answer of its query. How far a standby is behind it need not know.
    pub(crate) fn with<'a>(&'a self, answer: Option<&'a str>) -> sql::Seen<'a> {
        let lag = self.number("replication_lag");
        let (copy, connections_used) = (lag.map(|_| "standby"), self.number("connections_used"));
        sql::Seen { server: self.describe(), answer, copy, lag, connections_used }
    }

    fn describe(&self) -> &str {
        self.text("server").unwrap_or("PostgreSQL")
    }

    /// None where the server does not say.
    fn fits(&self, role: Role) -> Option<bool> {
        let is = |name| Some(self.number(name)? != 0.0);
        match role {
            Role::Any => Some(true),
            Role::ReadWrite => is("read_only").map(|is| !is),
            Role::ReadOnly => is("read_only"),
            Role::Primary => is("in_recovery").map(|is| !is),
            Role::Standby => is("in_recovery"),
        }
    }

    /// Fails where this server will not do.
    pub(crate) fn must_be(&self, role: Role) -> Result<()> {
        match self.fits(role) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::down(format!("{}: not what target_session_attrs wants", self.describe()))),
            None => Err(Error::internal("target_session_attrs: the server does not say whether it is a standby")),
        }
    }

    pub(crate) fn measure(&self, run: &mut Run) {
        let named = SHOWN.into_iter().flat_map(|(unit, names)| names.iter().map(move |name| (*name, unit)));
        for (name, value) in named.filter_map(|(name, unit)| Some((name, unit.of(self.number(name)?)))) {
            run.measure(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(columns: &[(&str, &str)]) -> Seen {
        Seen(columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_server_fits_by_what_it_says() {
        let primary = seen(&[("read_only", "0"), ("in_recovery", "0")]);
        let standby = seen(&[("read_only", "1"), ("in_recovery", "1")]);
        for (role, of_primary, of_standby) in [
            (Role::Any, true, true),
            (Role::ReadWrite, true, false),
            (Role::ReadOnly, false, true),
            (Role::Primary, true, false),
            (Role::Standby, false, true),
        ] {
            assert_eq!(primary.fits(role), Some(of_primary), "{role:?}");
            assert_eq!(standby.fits(role), Some(of_standby), "{role:?}");
        }
        let locked = seen(&[("read_only", "1"), ("in_recovery", "0")]);
        assert_eq!((locked.fits(Role::Primary), locked.fits(Role::ReadWrite)), (Some(true), Some(false)));
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        let silent = Seen::default();
        assert_eq!((silent.fits(Role::Any), silent.fits(Role::Primary)), (Some(true), None));
        assert_eq!((silent.describe(), silent.number("connections")), ("PostgreSQL", None));
        assert!(silent.must_be(Role::Any).is_ok());
        assert!(!silent.must_be(Role::Primary).unwrap_err().is_down(), "nobody can tell");
        assert_eq!(seen(&[("connections", "many")]).number("connections"), None);
    }

    #[test]
    fn what_is_judged_is_handed_on() {
        let standby =
            seen(&[("server", "PostgreSQL 15, standby"), ("replication_lag", "11.4"), ("connections_used", "0.9")]);
        let judged = standby.with(Some("t"));
        assert_eq!((judged.server, judged.answer), ("PostgreSQL 15, standby", Some("t")));
        assert_eq!((judged.copy, judged.lag, judged.connections_used), (Some("standby"), Some(11.4), Some(0.9)));
        assert_eq!(Seen::default().with(None), sql::Seen { server: "PostgreSQL", ..sql::Seen::default() });
    }

    #[test]
    fn what_is_shown_is_asked_for() {
        for name in SHOWN.into_iter().flat_map(|(_, names)| names) {
            assert!(QUESTION.contains(name), "{name}");
        }
    }
}
