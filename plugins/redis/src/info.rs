//! What `INFO` says: `section`s of `name:value` lines (<https://redis.io/docs/latest/commands/info/>).
//!
//! What a server does not say is left out, so that older servers and Redis' relatives work as well.

use vitald_sdk::{Run, Status, Unit};

/// An answer to `INFO`.
pub(crate) struct Info<'a>(&'a str);

/// The server's place in replication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replication<'a> {
    /// `master` or `slave`, in the server's words.
    role: &'a str,
    replicas: u64,
    /// Where a replica copies from.
    master: &'a str,
    link: &'a str,
}

/// Field, name of the measurement, unit, and whether it only grows.
const SHOWN: [(&str, &str, Unit, bool); 8] = [
    ("connected_clients", "connected_clients", Unit::None, false),
    ("connected_slaves", "connected_replicas", Unit::None, false),
    ("used_memory", "used_memory", Unit::Bytes, false),
    ("maxmemory", "memory_limit", Unit::Bytes, false),
    ("uptime_in_seconds", "uptime", Unit::Seconds, false),
    ("instantaneous_ops_per_sec", "operations_per_second", Unit::None, false),
    ("total_commands_processed", "commands", Unit::None, true),
    ("evicted_keys", "evicted_keys", Unit::None, true),
];

impl<'a> Info<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    fn get(&self, wanted: &str) -> Option<&'a str> {
        self.0
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.trim_end())
    }

    pub(crate) fn measure(&self, run: &mut Run) {
        for (field, name, unit, grows) in SHOWN {
            // A limit of 0 is none.
            let value = self.get(field).and_then(|text| text.parse().ok());
            match value {
                Some(0.0) if name == "memory_limit" => {}
                Some(value) if grows => drop(run.counter(name, unit.of(value))),
                Some(value) => drop(run.measure(name, unit.of(value))),
                None => {}
            }
        }
    }

    /// None where the server does not say.
    pub(crate) fn replication(&self) -> Option<Replication<'a>> {
        Some(Replication {
            role: self.get("role")?,
            replicas: self.get("connected_slaves").and_then(|text| text.parse().ok()).unwrap_or(0),
            master: self.get("master_host").unwrap_or_default(),
            link: self.get("master_link_status").unwrap_or_default(),
        })
    }
}

impl Replication<'_> {
    /// In today's words.
    pub(crate) fn role(&self) -> &str {
        match self.role {
            "slave" => "replica",
            role => role,
        }
    }

    /// A replica without its master serves what it had.
    pub(crate) fn status(&self) -> Status {
        if self.role() == "replica" && self.link != "up" { Status::Degraded } else { Status::Up }
    }

    pub(crate) fn text(&self) -> String {
        match self.role() {
            "replica" => format!("replica of {}, link {}", self.master, self.link),
            "master" if self.replicas == 1 => "master with 1 replica".into(),
            "master" if self.replicas > 1 => format!("master with {} replicas", self.replicas),
            role => role.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "# Server\r\nredis_version:8.0.1\r\nuptime_in_seconds:12\r\n\r\n# Memory\r\n\
        used_memory:1048576\r\nmaxmemory:0\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=10.0.0.2,port=6379,state=online\r\n";
    const REPLICA: &str = "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n";

    #[test]
    fn finds_fields_by_their_whole_name() {
        assert_eq!(Info::new(MASTER).get("used_memory"), Some("1048576"));
        assert_eq!(Info::new(MASTER).get("memory"), None);
        assert_eq!(Info::new(MASTER).get("slave0"), Some("ip=10.0.0.2,port=6379,state=online"));
    }

    #[test]
    fn tells_masters_from_replicas() {
        let master = Info::new(MASTER).replication().unwrap();
        assert_eq!((master.role(), master.status()), ("master", Status::Up));
        assert_eq!(master.text(), "master with 2 replicas");
        let replica = Info::new(REPLICA).replication().unwrap();
        assert_eq!((replica.role(), replica.status()), ("replica", Status::Degraded));
        assert_eq!(replica.text(), "replica of 10.0.0.1, link down");
        assert_eq!(Info::new("").replication(), None);
        assert_eq!(Info::new("role:sentinel").replication().unwrap().text(), "sentinel");
    }

    #[test]
    fn no_name_is_shown_twice() {
        let mut names = SHOWN.map(|(_, name, ..)| name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SHOWN.len());
    }
}
