//! What each request comes to.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock;
use crate::model::name::Name;
use crate::model::requests::{MaintenanceOrder, MaintenanceRequest, NextRun, Scope};

use super::protocol::{Answer, Ask, HandingOver, MaintenanceReport, Process, Request, millis};
use super::report::{Known, StatusReport};
use super::{Connection, State, deploying, waiting};

/// The schedule tells within this, unless it is stopping.
const NEXT_RUNS_PATIENCE: Duration = Duration::from_millis(500);
/// Health answers within this: a disk that is slow has ten seconds, and so have those who ordered before.
const HEALTH_PATIENCE: Duration = Duration::from_secs(45);
/// A line or two.
const MAX_REASON: usize = 512;
/// Longer ones are typing errors.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Answers one line; `peer` is the uid of who sent it.
pub async fn answer(state: &State, line: &[u8], peer: u32, connection: &mut Connection) -> Answer {
    let request = match Request::parse(line) {
        Ok(request) => request,
        Err(problem) => return Answer::Refused(problem),
    };
    let own = &state.config.state_dir;
    let is_of_file = request.main.is_some() && request.main == state.config.main;
    if let Some(other) = request.state_dir.filter(|other| other != own && !is_of_file) {
        let (own, other) = (own.display(), other.display());
        return Answer::NotMeant(format!("the agent there keeps its state in {own}, not in {other}"));
    }
    match request.ask {
        Ask::Status {} => Answer::Status(Box::new(status(state).await)),
        Ask::HandOver {} => hand_over(state, peer),
        Ask::Plugins {} => deploying::plugins(state),
        Ask::Reload {} => {
            tracing::info!("uid {peer} asks to look at everything on disk");
            deploying::reload(state, connection).await
        }
        Ask::Approve { plugin, digest } => {
            tracing::info!(%plugin, "uid {peer} approves what waits of the plugin {plugin}");
            deploying::approve(state, plugin, digest, connection).await
        }
        Ask::MaintenanceList {} => order(state, MaintenanceOrder::List).await,
        Ask::MaintenanceOff { services, reason } => {
            tracing::info!("uid {peer} asks to end the maintenance of {}", whom(&services));
            order(state, MaintenanceOrder::End { scope: scope(services), reason }).await
        }
        Ask::MaintenanceOn { services, reason, for_ms, wait_ms } => {
            tracing::info!("uid {peer} asks for maintenance of {}", whom(&services));
            let wait = wait_ms.map(Duration::from_millis);
            begin(state, services, reason, for_ms.map(Duration::from_millis), wait, connection).await
        }
    }
}

fn scope(services: Vec<Name>) -> Scope {
    if services.is_empty() { Scope::Host } else { Scope::These(services) }
}

fn whom(services: &[Name]) -> String {
    match services {
        [] => "the whole host".to_owned(),
        names => names.iter().map(|name| &**name).collect::<Vec<_>>().join(", "),
    }
}

async fn begin(
    state: &State,
    services: Vec<Name>,
    reason: String,
    length: Option<Duration>,
    wait: Option<Duration>,
    connection: &mut Connection,
) -> Answer {
    if reason.len() > MAX_REASON || reason.contains(char::is_control) {
        return Answer::Refused(format!("a reason is one line of at most {MAX_REASON} bytes"));
    }
    if length.is_some_and(|length| length.is_zero() || length > LONGEST) {
        return Answer::Refused("a maintenance lasts for a year at most, and longer than nothing".to_owned());
    }
    let scope = scope(services);
    let begin = MaintenanceOrder::Begin { scope: scope.clone(), reason, length };
    let done = order(state, begin).await;
    match (wait, &done) {
        (Some(patience), Answer::Maintenance(_)) => {
            match waiting::until_gone(state, &scope, patience, connection).await {
                Ok(()) => done,
                Err(problem) => Answer::Refused(problem),
            }
        }
        _ => done,
    }
}

async fn order(state: &State, order: MaintenanceOrder) -> Answer {
    let (sender, answer) = oneshot::channel();
    let asked = async {
        state.wires.orders.send(MaintenanceRequest { order, answer: sender }).await.ok()?;
        answer.await.ok()
    };
    match timeout(HEALTH_PATIENCE, asked).await {
        Ok(Some(Ok(done))) => {
            let report = MaintenanceReport::from(&done.held);
            Answer::Maintenance(MaintenanceReport { notes: done.notes, unwritten: done.unwritten, ..report })
        }
        Ok(Some(Err(refused))) => Answer::Refused(refused.to_string()),
        Ok(None) => Answer::Refused("the agent is stopping: nothing was changed".to_owned()),
        Err(_) => Answer::Refused(format!(
            "the agent did not say within {} s whether it was done: see `vitald maintenance list`",
            HEALTH_PATIENCE.as_secs()
        )),
    }
}

async fn status(state: &State) -> StatusReport {
    let next_runs = next_runs(state).await;
    let registry = state.wires.registry.as_ref().map(|registry| registry.borrow().clone());
    let snapshot = state.wires.snapshot.borrow().clone();
    let reload = state.wires.reload.borrow().clone();
    let known = Known {
        agent: &state.config.agent_id,
        reload: &reload,
        registry: registry.as_deref(),
        snapshot: &snapshot,
        next_runs: &next_runs,
        now: clock::now(),
    };
    known.report()
}

async fn next_runs(state: &State) -> BTreeMap<Name, NextRun> {
    let (sender, answer) = oneshot::channel();
    if state.wires.next_runs.try_send(sender).is_err() {
        return BTreeMap::new();
    }
    timeout(NEXT_RUNS_PATIENCE, answer).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// What is answered before app is asked to end as SIGUSR2 does. Only one may ask: the keys are handed over once.
fn hand_over(state: &State, peer: u32) -> Answer {
    if *state.wires.stopping.borrow() || state.handing_over.swap(true, Ordering::Relaxed) {
        return Answer::Refused("the agent is stopping already".to_owned());
    }
    tracing::info!("uid {peer} asks to hand over to the next agent");
    let view = state.wires.registry.as_ref().map(|registry| registry.borrow().clone());
    let lease = view.as_ref().and_then(|view| view.lease.as_ref());
    Answer::HandingOver(HandingOver {
        keys_stay_ms: lease.map(|lease| millis(lease.granted)),
        etcd_away: view.is_some_and(|view| !view.up),
        process: Process::own(),
    })
}
