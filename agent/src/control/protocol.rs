//! What goes over the control socket: one request, a line of JSON, and answers, a line of JSON each, the last of which
//! says how it ended. Agent and command may be of different versions: unknown fields of answers are left alone, and
//! anything unknown in a request is refused, because a wish that is not understood must not be half fulfilled.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::maintenance::{Maintenance, Maintenances};
use crate::model::name::Name;
use crate::model::requests::Reloaded;
use crate::model::time::rfc3339;

use super::deploying::PluginReport;
use super::report::StatusReport;

/// Changes only when old and new could misunderstand each other.
pub const VERSION: u32 = 1;
/// A request with its newline.
pub const MAX_REQUEST: usize = 64 * 1024;
/// A status of ten thousand checks with the longest messages would be less.
pub const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// While an agent waits for something it says so this often, so that one that is gone is not waited for.
pub const PROGRESS: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub v: u32,
    /// Whom it is meant for: another agent says that it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// An agent of that main file is meant, wherever the file says by now that it keeps its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<PathBuf>,
    pub ask: Ask,
}

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    Status {},
    /// No services: the whole host.
    MaintenanceOn {
        services: Vec<Name>,
        reason: String,
        /// None: until somebody ends it.
        for_ms: Option<u64>,
        /// Answer once the keys are gone and `drain` has passed; the keys may take so long.
        wait_ms: Option<u64>,
    },
    MaintenanceOff {
        services: Vec<Name>,
        /// None: whatever the reason was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    MaintenanceList {},
    HandOver {},
    /// Look at everything on disk now; answer once what had to be compiled for that is.
    Reload {},
    Plugins {},
    /// Let the version of a plugin in that waits.
    Approve {
        plugin: Name,
        /// What its digest begins with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
}

/// What an agent answers. All but `Progress` are the last line.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It goes on.
    Progress(String),
    /// Not done, and why.
    Refused(String),
    /// The request is meant for another agent than this.
    NotMeant(String),
    Status(Box<StatusReport>),
    Maintenance(MaintenanceReport),
    HandingOver(HandingOver),
    Reloaded(Box<Reloaded>),
    Plugins(Vec<PluginReport>),
    Approved {
        name: Name,
        version: String,
        digest: String,
        /// What may be other than the operator thinks.
        #[serde(default)]
        notes: Vec<String>,
        /// It could not be written down: a next start does not know of it.
        #[serde(default)]
        unwritten: Option<String>,
    },
}

/// Who is in maintenance after a command.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MaintenanceReport {
    pub host: Vec<OrderReport>,
    pub services: BTreeMap<Name, Vec<OrderReport>>,
    /// What may be other than the operator thinks.
    #[serde(default)]
    pub notes: Vec<String>,
    /// It could not be written down, and holds until the agent ends.
    pub unwritten: Option<String>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OrderReport {
    pub reason: String,
    pub since: String,
    pub until: Option<String>,
}

/// The agent ends and leaves its keys to the next one.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HandingOver {
    /// For how long the keys stay without an agent; none where there is no registry.
    pub keys_stay_ms: Option<u64>,
    /// etcd does not answer: there will be no last keepalive.
    pub etcd_away: bool,
    pub process: Process,
}

/// A process, for those who can see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    pub pid: u32,
    /// In another container the number is another process's.
    pub namespace: String,
}

impl Process {
    pub fn own() -> Self {
        Self { pid: std::process::id(), namespace: own_namespace() }
    }
}

/// Tells apart pid namespaces (namespaces(7)); empty where the kernel does not say.
pub fn own_namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid");
    link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

impl From<&Maintenance> for OrderReport {
    fn from(order: &Maintenance) -> Self {
        Self { reason: order.reason.clone(), since: rfc3339(order.since.wall), until: order.until.map(rfc3339) }
    }
}

impl From<&Maintenances> for MaintenanceReport {
    fn from(held: &Maintenances) -> Self {
        Self {
            host: held.host.iter().map(OrderReport::from).collect(),
            services: held.services.iter().map(|(name, orders)| (name.clone(), reports(orders))).collect(),
            ..Self::default()
        }
    }
}

fn reports(orders: &[Maintenance]) -> Vec<OrderReport> {
    orders.iter().map(OrderReport::from).collect()
}

impl Request {
    pub fn new(ask: Ask) -> Self {
        Self { v: VERSION, state_dir: None, main: None, ask }
    }

    /// Reads a line; the error is for the one who wrote it.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        struct Header {
            v: u32,
        }
        let header: Header = serde_json::from_slice(line).map_err(|error| format!("this is no request: {error}"))?;
        let own = env!("CARGO_PKG_VERSION");
        if header.v != VERSION {
            let age = if header.v > VERSION { "older" } else { "newer" };
            return Err(format!("this agent ({own}) is {age} than your vitald: it speaks version {VERSION}"));
        }
        serde_json::from_slice(line)
            .map_err(|error| format!("this agent ({own}) is older than your vitald and cannot do that: {error}"))
    }
}

/// A message as it goes over the socket.
pub fn line<T: serde::Serialize>(message: &T) -> Vec<u8> {
    // Strings, numbers and maps with strings as keys: there is nothing that JSON could not hold.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Whole milliseconds.
pub fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_as_they_went() {
        let on = Ask::MaintenanceOn {
            services: vec!["orders".parse().expect("a name")],
            reason: "disk \"swap\"\n".into(),
            for_ms: Some(7_200_000),
            wait_ms: None,
        };
        let asks = [
            Ask::Status {},
            on,
            Ask::MaintenanceOff { services: vec![], reason: Some("x".into()) },
            Ask::MaintenanceList {},
        ];
        let others = [
            Ask::HandOver {},
            Ask::Reload {},
            Ask::Plugins {},
            Ask::Approve { plugin: "tcp".parse().expect("a name"), digest: Some("0a1b".into()) },
        ];
        for ask in asks.into_iter().chain(others) {
            let request = Request { state_dir: Some("/var/lib/vitald".into()), ..Request::new(ask) };
            let line = line(&request);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(Request::parse(&line), Ok(request));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_says_why() {
        let cases = [
            (r#"{"v":1,"ask":{"reboot":{}}}"#, "older than your vitald"),
            (r#"{"v":1,"ask":{"status":{"colour":"red"}}}"#, "older than your vitald"),
            (r#"{"v":1,"ask":{"status":{}},"dry_run":true}"#, "older than your vitald"),
            (r#"{"v":2,"ask":{"status":{}}}"#, "speaks version 1"),
            (r#"{"ask":{"status":{}}}"#, "no request"),
            ("GET / HTTP/1.1", "no request"),
            ("", "no request"),
        ];
        for (line, why) in cases {
            let error = Request::parse(line.as_bytes()).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn answers_of_a_later_agent_are_understood() {
        let text = r#"{"maintenance":{"host":[],"services":{},"unwritten":null,"colour":"red"}}"#;
        let answer: Answer = serde_json::from_str(text).expect("parses");
        assert_eq!(answer, Answer::Maintenance(MaintenanceReport::default()));
    }
}
