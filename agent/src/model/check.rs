//! A check as configured, and the trait through which the schedule runs one without knowing the sandbox.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::grant::Grant;
use super::name::Name;
use super::outcome::RunReport;
use super::secret::Masker;
use super::target::Target;

/// How much a check's verdict counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    #[default]
    Critical,
    /// DOWN counts as DEGRADED.
    Warning,
    /// Shown, never counted.
    Info,
}

/// What counts while faults hide a check's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFault {
    /// The last status.
    #[default]
    Keep,
    /// DOWN.
    Down,
}

/// Which services a check judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judges {
    /// None: it judges the host and moves no registration.
    Host,
    /// Every service of this host.
    All,
    These(Vec<Name>),
}

impl Judges {
    pub fn judges(&self, service: &Name) -> bool {
        match self {
            Self::Host => false,
            Self::All => true,
            Self::These(names) => names.contains(service),
        }
    }
}

/// How verdicts follow from runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub interval: Duration,
    pub timeout: Duration,
    /// This much worse evidence in a row before the status gets worse.
    pub fall: u32,
    /// This much better evidence in a row before the status gets better.
    pub rise: u32,
    /// Until the next run while evidence differs from the status.
    pub retry_interval: Duration,
    /// Evidence older than this is shown as UNKNOWN.
    pub stale_after: Duration,
    pub on_fault: OnFault,
}

/// What one run of a check may use, where it differs from the sandbox's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Linear memory and tables, in bytes.
    pub memory: Option<u64>,
    /// Sockets that are open at once.
    pub sockets: Option<usize>,
    /// Lines for the agent's log.
    pub log_lines: Option<u32>,
}

/// How a check's connections do TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct TlsDef {
    /// PEM file of the certificate authorities to trust, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the certificate that the agent shows, and its key; both or none.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name to ask for and to verify, in place of the target's.
    pub server_name: Option<String>,
    /// Goes on with a peer that does not verify.
    pub insecure: bool,
}

/// A configured check, secrets put in.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckDef {
    pub name: Name,
    pub checker: Name,
    pub target: Option<Target>,
    pub judges: Judges,
    pub severity: Severity,
    pub policy: Policy,
    /// What `allow` lists; the target's own endpoints are added when the checker is known.
    pub allow: Vec<Grant>,
    pub params: serde_json::Map<String, serde_json::Value>,
    pub tls: TlsDef,
    pub limits: Limits,
    pub masker: Masker,
    /// A secret that cannot be had: the check's own fault, with its key path.
    pub problem: Option<String>,
    /// What was typed where secrets may stand.
    pub written: Written,
    /// File and line, for messages.
    pub origin: String,
}

/// Target and parameters before secrets were put in: what tells a changed definition from a changed secret. May hold
/// secrets that were typed in plainly.
#[derive(Clone, Default, PartialEq)]
pub struct Written {
    pub target: String,
    pub params: serde_json::Map<String, serde_json::Value>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(..)")
    }
}

impl CheckDef {
    /// Does a change from `self` to `next` make the checker's remembered state useless?
    pub fn keeps_state(&self, next: &Self) -> bool {
        self.checker == next.checker && self.written.target == next.written.target
    }

    /// Is it the same definition, wherever it stands and whatever its secrets are now?
    pub fn is_defined_as(&self, other: &Self) -> bool {
        let Self { name, checker, judges, severity, policy, allow, tls, limits, written, .. } = self;
        (name, checker, judges, severity) == (&other.name, &other.checker, &other.judges, &other.severity)
            && (policy, allow, tls, limits) == (&other.policy, &other.allow, &other.tls, &other.limits)
            && *written == other.written
    }
}

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A check bound to its checker, ready to run.
pub trait Check: Send + Sync {
    fn definition(&self) -> &Arc<CheckDef>;

    /// Can it run? Not while its checker is being made for the first time: it then waits, and is pending.
    fn is_ready(&self) -> bool {
        true
    }

    /// Tells apart versions of what would run: another value means that a new run may judge differently.
    fn version(&self) -> &str;

    /// One run, from the state that the last one left. Returns by the deadline, whatever the checker does. To be
    /// polled on the guest runtime.
    fn run(self: Arc<Self>, state: Option<Vec<u8>>) -> BoxFuture<'static, RunReport>;
}

impl fmt::Debug for dyn Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({} with {})", self.definition().name, self.version())
    }
}
