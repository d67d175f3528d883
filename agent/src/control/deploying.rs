//! What a deployment asks for: to look at everything on disk now, which plugins there are, and to let a version in that
//! waits for approval.

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::model::checkset::{PendingInfo, PluginInfo, Power};
use crate::model::name::Name;
use crate::model::requests::{Approved, PluginRequest};

use super::protocol::{Answer, PROGRESS};
use super::{Connection, State};

const STOPPING: &str = "the agent is stopping";
/// Nobody will read it.
const LEFT: &str = "nobody waits any more";

/// One plugin; the words are those of `/api/v1/plugins`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PluginReport {
    pub name: Name,
    /// `bundled`, or the file's path.
    pub source: String,
    pub state: String,
    /// SHA-256, in hex.
    pub digest: Option<String>,
    pub version: Option<String>,
    pub summary: Option<String>,
    /// `network`, `host-numbers`, `files`.
    pub powers: Vec<String>,
    pub pending: Option<PendingReport>,
    /// The digest of a version that is being compiled.
    #[serde(default)]
    pub loading: Option<String>,
    pub checks: Vec<Name>,
    pub error: Option<String>,
}

/// A version that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PendingReport {
    pub digest: String,
    pub version: String,
    pub powers: Vec<String>,
    pub why: String,
}

impl From<&PluginInfo> for PluginReport {
    fn from(info: &PluginInfo) -> Self {
        Self {
            name: info.name.clone(),
            source: info.source.clone(),
            state: info.state.to_owned(),
            digest: info.digest.clone(),
            version: info.version.clone(),
            summary: info.summary.clone(),
            powers: info.powers.iter().map(|power| word(*power)).collect(),
            pending: info.pending.as_ref().map(PendingReport::from),
            loading: info.loading.clone(),
            checks: info.checks.clone(),
            error: info.error.clone(),
        }
    }
}

impl From<&PendingInfo> for PendingReport {
    fn from(pending: &PendingInfo) -> Self {
        Self {
            digest: pending.digest.clone(),
            version: pending.version.clone(),
            powers: pending.powers.iter().map(|power| word(*power)).collect(),
            why: pending.why.clone(),
        }
    }
}

fn word(power: Power) -> String {
    power.words().replace(' ', "-")
}

pub(super) fn plugins(state: &State) -> Answer {
    Answer::Plugins(state.wires.plugins.borrow().iter().map(PluginReport::from).collect())
}

/// Answers once everything is looked at, and what had to be compiled for that is.
pub(super) async fn reload(state: &State, connection: &mut Connection) -> Answer {
    let (sender, answer) = oneshot::channel();
    match ask(state, PluginRequest::Reload { answer: Some(sender) }, answer, connection).await {
        Ok(done) => Answer::Reloaded(Box::new(done)),
        Err(problem) => Answer::Refused(problem),
    }
}

pub(super) async fn approve(state: &State, name: Name, digest: Option<String>, connection: &mut Connection) -> Answer {
    let (sender, answer) = oneshot::channel();
    let request = PluginRequest::Approve { name: name.clone(), digest, answer: sender };
    match ask(state, request, answer, connection).await {
        Ok(Ok(Approved { version, digest, notes, unwritten })) => {
            Answer::Approved { name, version, digest, notes, unwritten }
        }
        Ok(Err(refused)) => Answer::Refused(refused.to_string()),
        Err(problem) => Answer::Refused(problem),
    }
}

/// Asks the plugins, and says what they are doing for as long as that takes: compiling may take minutes.
async fn ask<T>(
    state: &State,
    request: PluginRequest,
    mut answer: oneshot::Receiver<T>,
    connection: &mut Connection,
) -> Result<T, String> {
    let mut say_at = Instant::now() + PROGRESS;
    let asking = state.wires.plugin_requests.send(request);
    tokio::pin!(asking);
    let mut asked = false;
    loop {
        tokio::select! {
            sent = &mut asking, if !asked => match sent {
                Ok(()) => asked = true,
                Err(_) => return Err(STOPPING.to_owned()),
            },
            done = &mut answer => return done.map_err(|_| STOPPING.to_owned()),
            () = sleep_until(say_at) => {
                connection.say(&Answer::Progress(doing(state))).await;
                say_at = Instant::now() + PROGRESS;
            }
            () = connection.gone() => return Err(LEFT.to_owned()),
        }
    }
}

fn doing(state: &State) -> String {
    let infos = state.wires.plugins.borrow().clone();
    let compiling: Vec<&str> = infos.iter().filter(|info| info.loading.is_some()).map(|info| &*info.name).collect();
    match compiling.as_slice() {
        [] => "the agent is looking at its plugins".to_owned(),
        names => format!("being compiled: {}", names.join(", ")),
    }
}
