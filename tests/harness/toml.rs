//! The tables of a drop-in.

use std::fmt::{self, Write as _};

/// One `[[service]]` or `[[check]]`.
#[derive(Debug, Clone)]
pub struct Table(String);

/// A service on port 8080.
pub fn service(name: &str) -> Table {
    Table(format!("[[service]]\nname = {name:?}\naddress = \":8080\"\n"))
}

/// A check of the host.
pub fn check(name: &str, checker: &str) -> Table {
    Table(format!("[[check]]\nname = {name:?}\nchecker = {checker:?}\n"))
}

impl Table {
    /// Makes it judge a service.
    pub fn of(self, service: &str) -> Self {
        self.with("service", service)
    }

    pub fn target(self, url: &str) -> Self {
        self.with("target", url)
    }

    /// Adds a key whose value is a string.
    pub fn with(self, key: &str, text: &str) -> Self {
        self.line(&format!("{key} = {text:?}"))
    }

    /// Adds a line as it is.
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.0, "{line}").expect("text");
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)
    }
}
