//! A loaded plugin and the checks bound to it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::check::{BoxFuture, Check, CheckDef};
use crate::model::checkset::{Binding, Checker, Description, LoadError, Powers};
use crate::model::name::Name;
use crate::model::outcome::{Ending, Fault, RunReport, Skipped, Status};

use super::captured::one_line;
use super::code::is_of_the_host;
use super::egress::{Denial, Egress};
use super::observer::Left;
use super::pace::Pace;
use super::run::{Ended, Scene, drive, report};
use super::store::{Guest, Shared};
use super::v0_1::{self, Answer, Plugin};

/// How long a plugin may take to describe itself.
const DESCRIBE: Duration = Duration::from_secs(1);
/// Refused destinations that are remembered per check, so that each is logged once.
const REMEMBERED: usize = 64;

/// Asks the plugin what it is, in a sandbox without any grant. To be polled on the guest runtime.
pub async fn describe(shared: Arc<Shared>, plugin: Plugin) -> Result<Description, LoadError> {
    let pace = Arc::new(Pace::new());
    let deadline = Instant::now() + DESCRIBE;
    let mut store = shared.store(None, deadline, &pace);
    let ended = drive(v0_1::describe(&plugin, &mut store), deadline, &pace).await;
    if let Ended::Failed(error) = &ended
        && is_of_the_host(error)
    {
        return Err(LoadError::NoCompiler(format!("it gets no sandbox: {}", one_line(&format!("{error:#}")))));
    }
    let scene = Scene { guest: store.data(), sockets: 0, pace: &pace, timeout: DESCRIBE, deadline, shared: &shared };
    scene.name(ended).map_err(|ending| match ending {
        Ending::Faulted(fault) => LoadError::Describe(fault.to_string()),
        _ => LoadError::Overloaded,
    })
}

/// A plugin that is linked and known.
pub fn checker(
    shared: Arc<Shared>,
    plugin: Plugin,
    name: Name,
    digest: String,
    description: Description,
    powers: Powers,
) -> Arc<dyn Checker> {
    Arc::new(Loaded { shared, plugin, name, digest, description, powers })
}

struct Loaded {
    shared: Arc<Shared>,
    plugin: Plugin,
    name: Name,
    digest: String,
    description: Description,
    powers: Powers,
}

impl Checker for Loaded {
    fn description(&self) -> &Description {
        &self.description
    }

    fn powers(&self) -> &Powers {
        &self.powers
    }

    fn bind(self: Arc<Self>, binding: Binding) -> Arc<dyn Check> {
        let request = v0_1::request(&binding, &self.shared.agent_id);
        Arc::new(Bound {
            plugin: self,
            binding: Arc::new(binding),
            request,
            refused: Mutex::default(),
            hog: AtomicBool::new(false),
        })
    }
}

/// A check and the plugin that it runs with.
struct Bound {
    plugin: Arc<Loaded>,
    binding: Arc<Binding>,
    request: v0_1::Request,
    refused: Mutex<BTreeSet<Denial>>,
    /// The last run needed long.
    hog: AtomicBool,
}

impl Check for Bound {
    fn definition(&self) -> &Arc<CheckDef> {
        &self.binding.definition
    }

    fn version(&self) -> &str {
        &self.plugin.digest
    }

    fn run(self: Arc<Self>, state: Option<Vec<u8>>) -> BoxFuture<'static, RunReport> {
        let asked = Instant::now();
        Box::pin(async move {
            let timeout = self.definition().policy.timeout;
            // The guest runtime did not get to us in time: what followed would say nothing of the target.
            if asked.elapsed() > timeout / 4 {
                return RunReport::without_sandbox(Ending::NotRun(Skipped::Overloaded));
            }
            self.run_now(state, timeout).await
        })
    }
}

impl Bound {
    async fn run_now(&self, state: Option<Vec<u8>>, timeout: Duration) -> RunReport {
        let shared = &self.plugin.shared;
        let begun = Instant::now();
        let deadline = begun + timeout;
        let pace = Arc::new(Pace::new());
        let mut store = shared.store(Some(self.binding.clone()), deadline, &pace);
        store.data().egress.observer().into_iter().for_each(|observer| observer.begun(begun));
        let was_hog = self.hog.load(Ordering::Relaxed);
        let call = async {
            if was_hog {
                pace.queue(deadline, &shared.turns).await;
            }
            v0_1::check(&self.plugin.plugin, &mut store, &self.request, state).await
        };
        let ended = drive(call, deadline, &pace).await;
        // A run that never began says nothing new.
        self.hog.store(pace.is_hog() || (was_hog && pace.never_began()), Ordering::Relaxed);
        let sockets = store.data_mut().sockets_open();
        let guest = store.data();
        let ending = match (Scene { guest, sockets, pace: &pace, timeout, deadline, shared }).name(ended) {
            Ok(answer) => judged(answer, &guest.egress),
            Err(ending) => ending,
        };
        match guest.egress.observer() {
            Some(observer) => observer.ended(self.left(guest)),
            None => self.log_refusals(&guest.egress.seen().denied),
        }
        report(self.masked(ending), begun, &pace, &store)
    }

    /// A guest's words have lost the secrets when they came; our own about it may have what it printed, or asked for.
    fn masked(&self, ending: Ending) -> Ending {
        let masker = &self.binding.definition.masker;
        match ending {
            Ending::Faulted(fault) => Ending::Faulted(Fault { message: masker.mask(fault.message), ..fault }),
            other => other,
        }
    }

    /// What an observer is told at the end, masked as everything is.
    fn left(&self, guest: &Guest) -> Left {
        let mask = |text: &String| self.definition().masker.mask(text.clone());
        let printed = mask(&guest.captured.text());
        let printed = printed.lines().map(|line| mask(&one_line(line))).filter(|line| !line.is_empty()).collect();
        let denied = guest.egress.seen().denied.clone();
        let denied = denied.iter().map(|denial| Denial {
            what: mask(&denial.what),
            advice: mask(&denial.advice),
            allow: denial.allow.as_ref().map(mask),
        });
        Left { printed, denied: denied.collect() }
    }

    fn log_refusals(&self, denied: &[Denial]) {
        if denied.is_empty() {
            return;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for denial in denied {
            if refused.len() < REMEMBERED && refused.insert(denial.clone()) {
                let (check, plugin) = (&self.definition().name, &self.plugin.name);
                let masker = &self.definition().masker;
                let (what, advice) = (masker.mask(denial.what.clone()), masker.mask(denial.advice.clone()));
                tracing::warn!(%check, %plugin, "check {check} may not {what}; {advice}");
            }
        }
    }
}

/// What an answer is worth. A checker may take our refusal, or a resolver that does not answer, for a target that is
/// down; we know better.
fn judged(answer: Answer, egress: &Egress) -> Ending {
    let seen = egress.seen();
    let ours = seen.fault();
    let (kind, said) = match (answer, ours) {
        (Answer::Outcome(outcome), Some(kind)) if outcome.status == Status::Down => (kind, outcome.message),
        (Answer::Outcome(outcome), _) => return Ending::Judged(outcome),
        (Answer::Error(fault), Some(kind)) => (kind, fault.message),
        (Answer::Error(fault), None) => return Ending::Faulted(fault),
    };
    let message = seen.setup.clone().unwrap_or(said);
    Ending::Faulted(Fault { kind, message })
}
