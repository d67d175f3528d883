//! `--wait`: until the keys of services are gone from etcd and those who had read them have gone elsewhere (`drain`).
//! The service itself waits for that before it stops (`ExecStop`, `preStop`).

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock;
use crate::model::name::Name;
use crate::model::registration::RegistryView;
use crate::model::requests::Scope;
use crate::model::time::{Moment, brief};

use super::protocol::{Answer, PROGRESS};
use super::report::word;
use super::{Connection, State};

const STOPPING: &str = "the agent is stopping: whether its keys go is not known; the maintenance stays";
/// Nobody will read it.
const LEFT: &str = "nobody waits any more";

/// Returns once the services take no new traffic; the error says why they may still. To be called once the order is in
/// the snapshot: what the registry did before it has seen that says nothing.
pub async fn until_gone(
    state: &State,
    scope: &Scope,
    patience: Duration,
    connection: &mut Connection,
) -> Result<(), String> {
    let Some(mut registry) = state.wires.registry.clone() else { return Ok(()) };
    let services = services(state, scope);
    let ordered = state.wires.snapshot.borrow().at;
    let deadline = Instant::now() + patience;
    let (mut said, mut say_at) = (String::new(), Instant::now());
    loop {
        let view = registry.borrow_and_update().clone();
        let left = remaining(&view, &services, ordered);
        if left.is_empty() {
            return drain(state, &view, &services, connection).await;
        }
        let waiting = format!("waiting for keys to go: {}", left.join(", "));
        if waiting != said || Instant::now() >= say_at {
            connection.say(&Answer::Progress(waiting.clone())).await;
            (said, say_at) = (waiting, Instant::now() + PROGRESS);
        }
        tokio::select! {
            changed = timeout_at(say_at.min(deadline), registry.changed()) => match changed {
                Ok(Err(_)) => return Err(STOPPING.to_owned()),
                _ if Instant::now() >= deadline => return Err(too_long(patience, &registry.borrow(), &services, ordered)),
                _ => {}
            },
            () = connection.gone() => return Err(LEFT.to_owned()),
        }
    }
}

fn services(state: &State, scope: &Scope) -> Vec<Name> {
    match scope {
        Scope::Host => state.wires.snapshot.borrow().services.keys().cloned().collect(),
        Scope::These(names) => names.clone(),
    }
}

/// What consumers may still find, a few words for each service.
fn remaining(view: &RegistryView, services: &[Name], ordered: Moment) -> Vec<String> {
    let left = |service: &Name| match view.services.get(service) {
        // The registry has not looked yet: there may be keys of the agent before us.
        None => Some(format!("{service} (not known yet)")),
        Some(keys) => {
            // A write may be under way, or its answer be lost.
            let unseen = ordered.since(view.looked) > Duration::ZERO;
            (unseen || view.is_registered(service)).then(|| {
                let states: Vec<String> =
                    keys.iter().map(|key| format!("{} {}", key.dialect, word(key.state))).collect();
                let seen = if unseen { ", as last seen" } else { "" };
                format!("{service} ({}{seen})", states.join(", "))
            })
        }
    };
    services.iter().filter_map(left).collect()
}

fn too_long(patience: Duration, view: &RegistryView, services: &[Name], ordered: Moment) -> String {
    let left = remaining(view, services, ordered).join(", ");
    let why = match &view.last_error {
        Some((_, error)) if !view.up => format!("; etcd is away: {error}"),
        _ => String::new(),
    };
    format!("after {} keys may still be there: {left}{why}; the maintenance stays", brief(patience))
}

/// When the last of the keys went.
fn gone_since(view: &RegistryView, services: &[Name]) -> Option<Moment> {
    services.iter().filter_map(|service| view.services.get(service)).flatten().map(|key| key.since).max()
}

async fn drain(
    state: &State,
    view: &RegistryView,
    services: &[Name],
    connection: &mut Connection,
) -> Result<(), String> {
    let passed = gone_since(view, services).map_or(Duration::MAX, |since| clock::now().since(since));
    let left = state.config.drain.saturating_sub(passed);
    let over = Instant::now() + left;
    while Instant::now() < over {
        let left = brief(over.saturating_duration_since(Instant::now()));
        connection.say(&Answer::Progress(format!("the keys are gone, draining for another {left}"))).await;
        tokio::select! {
            () = sleep_until(over.min(Instant::now() + PROGRESS)) => {}
            () = connection.gone() => return Err(LEFT.to_owned()),
        }
    }
    Ok(())
}
